"""A short load test of what must pass and of what must be convicted; exits 1 where one is not.

    python load/smoke [--redis URL] [--postgresql URL]

Passes: the reference on each of its lock backends and the correct server of the fixtures.
Convicted: fixture servers whose lock is broken, or whose worker stops. Without a URL Redis is
started where it is installed, and PostgreSQL is left out. Bounded: six seconds of load each, on
loopback. Exits 3 in CI if a backend is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from onejob_contract.verdict import Exit
from onejob_fixtures.servers import running

BROKEN: Final = ("no-lock", "two-jobs-per-session", "check-then-set-20-ms", "release-by-session")
_ONEJOB: Final = (sys.executable, "-m", "onejob_contract.cli")
_STUCK: Final = "worker-dies-after-ten-jobs"
_WATCH: Final = ("--job-worker", "live", "--job-timeout", "2")
_LOAD: Final = ("--headless", "--users", "12", "--run-time", "6", "--upload-s", "0.3")


def main() -> int:
    """Run all, print a line for each, and give the exit code."""
    parser = argparse.ArgumentParser(description="A short load test of good and broken locks.")
    parser.add_argument("--redis", metavar="URL", help="redis://HOST:PORT/N for the Redis lock.")
    parser.add_argument("--postgresql", metavar="URL", help="postgresql://USER@HOST/NAME.")
    options = parser.parse_args()
    with _redis(options.redis) as redis:
        backends = {"sql:": "sql:", "memory:": "memory:", "Redis": redis}
        backends["PostgreSQL"] = options.postgresql and f"sql:{options.postgresql}"
        missing = [name for name, lock in backends.items() if not lock]
        results = [
            _ends_with(Exit.CONFORMANT, f"reference, {name}", _reference(lock))
            for name, lock in backends.items()
            if lock
        ]
    results.append(_ends_with(Exit.CONFORMANT, "correct", running("correct")))
    results += [_ends_with(Exit.NONCONFORMANT, name, running(name)) for name in BROKEN]
    results.append(_ends_with(Exit.NONCONFORMANT, _STUCK, running(_STUCK), *_WATCH))
    for name in missing:
        _say(f"skipped  reference, {name}: give its URL, see --help")
    if not all(results):
        return 1
    return 3 if missing and os.environ.get("CI") == "true" else 0


def _ends_with(
    expected: Exit, name: str, server: AbstractContextManager[str], *options: str
) -> bool:
    with server as url:
        done = subprocess.run(
            [*_ONEJOB, "load", url, *_LOAD, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=180,
        )
    right = done.returncode == expected
    _say(f"{'right' if right else 'WRONG'}  exit {done.returncode}  {name}")
    if not right:
        _say(done.stdout)
    return right


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


@contextmanager
def _redis(url: str | None) -> Iterator[str | None]:
    """Give a Redis: the named one, one of our own, or None where it is not installed."""
    program = shutil.which("redis-server")
    if url is not None or program is None:
        yield url
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    with subprocess.Popen([program, *where], stdout=subprocess.DEVNULL) as process:
        try:
            while not _takes_connections(port):
                if process.poll() is not None:
                    raise RuntimeError(f"redis-server ended with {process.returncode}")
                time.sleep(0.02)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _reference(lock: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="onejob-smoke-") as folder:
        settings = {
            "ONEJOB_DATABASE": f"sqlite:///{Path(folder) / 'jobs.sqlite3'}",
            "ONEJOB_LOCK": lock,
            "ONEJOB_DISPATCH": "local:",
            "ONEJOB_UPLOAD_ROOT": folder,
            "ONEJOB_RESULT_ROOT": folder,
            "ONEJOB_BIND": "127.0.0.1:0",
        }
        process = subprocess.Popen(
            [*_ONEJOB, "serve"],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                yield line.strip().removeprefix("listening on ")
            finally:
                process.terminate()


if __name__ == "__main__":
    sys.exit(main())
