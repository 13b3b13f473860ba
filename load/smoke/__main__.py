"""A short load test of what must pass and of what must be convicted; exits 1 where one is not.

    python load/smoke [--redis URL]

Passes: the reference on each of its lock backends (Redis only where one is named) and the correct
server of the fixtures.  Convicted: fixture servers whose lock is broken.  Bounded: six seconds of
load each, on loopback.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from onejob_contract.verdict import Exit
from onejob_fixtures.servers import running

BROKEN: Final = ("no-lock", "two-jobs-per-session", "check-then-set-20-ms", "release-by-session")
_ONEJOB: Final = (sys.executable, "-m", "onejob_contract.cli")
_LOAD: Final = ("--headless", "--users", "12", "--run-time", "6", "--upload-s", "0.3")


def main() -> int:
    """Run all, print a line for each, and give the exit code."""
    parser = argparse.ArgumentParser(description="A short load test of good and broken locks.")
    parser.add_argument("--redis", metavar="URL", help="redis://HOST:PORT/N for the Redis lock.")
    options = parser.parse_args()
    locks = ["sql:", "memory:", *([options.redis] if options.redis else [])]
    results = [
        _ends_with(Exit.CONFORMANT, f"reference, {lock}", _reference(lock)) for lock in locks
    ]
    results.append(_ends_with(Exit.CONFORMANT, "correct", running("correct")))
    results += [_ends_with(Exit.NONCONFORMANT, name, running(name)) for name in BROKEN]
    return 0 if all(results) else 1


def _ends_with(expected: Exit, name: str, server: AbstractContextManager[str]) -> bool:
    with server as url:
        done = subprocess.run(
            [*_ONEJOB, "load", url, *_LOAD],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=180,
        )
    right = done.returncode == expected
    print(f"{'right' if right else 'WRONG'}  exit {done.returncode}  {name}", flush=True)  # noqa: T201
    if not right:
        print(done.stdout, flush=True)  # noqa: T201
    return right


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
