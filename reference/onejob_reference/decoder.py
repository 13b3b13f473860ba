"""Decode images in a process of its own: one that hangs or crashes takes nothing else along.

The worker starts this module as a program and passes it one end of a pipe. A task is JSON;
the answer begins with one of the letters below, then comes the PNG or the reason.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from onejob_reference.composition import UnreadableImageError, side_by_side

_PNG, _UNREADABLE, _FAILED = b"P", b"U", b"F"


class Decoder:
    """A decoding process, started when it is needed and again after it ended.

    `max_pixels` limits each image, `max_seconds` the time for both. Use it in one thread at a time.
    """

    def __init__(self, max_pixels: int, max_seconds: float) -> None:
        self._max_pixels = max_pixels
        self._max_seconds = max_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection

    def side_by_side(self, first: Path, second: Path) -> bytes:
        """Return what `composition.side_by_side` makes of the images.

        Raises UnreadableImageError, also for images that took too long, and OSError for files
        that cannot be opened and for a decoder that crashed.
        """
        task = [str(first), str(second), self._max_pixels, self._max_seconds]
        self._make_sure_it_runs()
        try:
            self._pipe.send_bytes(json.dumps(task).encode())
            if not self._pipe.poll(self._max_seconds):
                self.close()
                raise UnreadableImageError(f"decoding took more than {self._max_seconds:g} seconds")
            answer = self._pipe.recv_bytes()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.close()
            raise OSError("the decoder crashed") from None
        kind, content = answer[:1], answer[1:]
        if kind == _UNREADABLE:
            raise UnreadableImageError(content.decode())
        if kind == _FAILED:
            raise OSError(content.decode())
        return content

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._pipe.close()

    def _make_sure_it_runs(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "onejob_reference.decoder", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )


def _serve(pipe: Connection) -> None:
    """Answer until the worker closes its end. It decides when that is, and no signal does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(EOFError):
        while True:
            first, second, max_pixels, max_seconds = json.loads(pipe.recv_bytes())
            # A worker that was killed cannot end its decoder when that hangs.
            signal.setitimer(signal.ITIMER_REAL, 2 * max_seconds)
            pipe.send_bytes(_answer(Path(first), Path(second), max_pixels))
            signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(first: Path, second: Path, max_pixels: int) -> bytes:
    try:
        return _PNG + side_by_side(first, second, max_pixels)
    except UnreadableImageError as unreadable:
        return _UNREADABLE + str(unreadable).encode()
    except OSError as failure:
        return _FAILED + (failure.strerror or type(failure).__name__).encode()


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
