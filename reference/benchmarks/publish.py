"""Publishes per second of `onejob serve`, as a ratio to the bare handler of `bare.py`.

Both servers run at once on the same disk; short rounds alternate between them, so that
whatever else the machine does slows both. Prints one line per round and the median ratio;
exits 1 below the threshold.

    python reference/benchmarks/publish.py [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

THRESHOLD = 0.8
_CLIENTS = 4
_BOUNDARY = "benchmark"
_sessions = itertools.count()


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    image = BytesIO()
    Image.effect_noise((64, 64), 60).save(image, "PNG")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bare = stack.enter_context(_server(_bare_command(folder), {}))
        ours = stack.enter_context(_server(_our_command(), _our_settings(folder)))
        for url in (bare, ours):
            _publishes_per_second(url, image.getvalue(), options.seconds)  # warm
        ratios = []
        for number in range(options.rounds):
            ours_rate = _publishes_per_second(ours, image.getvalue(), options.seconds)
            bare_rate = _publishes_per_second(bare, image.getvalue(), options.seconds)
            ratios.append(ours_rate / bare_rate)
            print(f"round {number + 1}: {ours_rate:.0f}/s of {bare_rate:.0f}/s")  # noqa: T201
    ratio = statistics.median(ratios)
    print(f"median ratio {ratio:.2f} (threshold {THRESHOLD})")  # noqa: T201
    return 0 if ratio >= THRESHOLD else 1


def _bare_command(folder: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("bare.py")), str(folder)]


def _our_command() -> list[str]:
    return [
        sys.executable,
        "-c",
        "from onejob_reference.commands import serve; serve()",
        "--bind=127.0.0.1:0",
    ]


def _our_settings(folder: Path) -> dict[str, str]:
    return {
        "ONEJOB_DATABASE": f"sqlite:///{folder / 'jobs.sqlite3'}",
        "ONEJOB_UPLOAD_ROOT": str(folder),
        "ONEJOB_RESULT_ROOT": str(folder / "results"),
    }


@contextmanager
def _server(command: list[str], settings: dict[str, str]) -> Iterator[str]:
    """Run a server and yield its URL; end it afterwards."""
    process = subprocess.Popen(
        command,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        yield process.stdout.readline().removeprefix("listening on ").strip()
    finally:
        process.terminate()
        process.wait()


def _publishes_per_second(url: str, image: bytes, seconds: float) -> float:
    """Publish from a few keep-alive clients, each time into a fresh session."""
    until = time.perf_counter() + seconds
    counts = [0] * _CLIENTS

    def publish(client: int) -> None:
        target = urlsplit(url)
        connection = http.client.HTTPConnection(target.hostname or "", target.port)
        headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        while time.perf_counter() < until:
            connection.request("POST", "/publish", _form(next(_sessions), image), headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{url} answered {answer.status}: {body!r}")
            counts[client] += 1
        connection.close()

    clients = [threading.Thread(target=publish, args=(number,)) for number in range(_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum(counts) / seconds


def _form(session: int, image: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"sessionId"\r\n\r\n{session}\r\n'.encode()]
    for name in ("image1", "image2"):
        parts += [f'{head}"{name}"; filename="{name}.png"\r\n\r\n'.encode(), image, b"\r\n"]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])


if __name__ == "__main__":
    sys.exit(main())
