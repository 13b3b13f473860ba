"""The pipe to the observer's process."""

from __future__ import annotations

import json
import sys
from typing import Any, Final, cast

import gevent
import gevent.subprocess
from gevent.event import AsyncResult
from gevent.queue import Queue

_FINISH_TIMEOUT_S: Final = 600.0


class ObserverDied(Exception):
    """The observer ended before it gave its verdict: a fault of this kit."""


class ObserverProcess:
    """Starts the observer and talks to it without ever blocking the generator."""

    def __init__(self) -> None:
        self.latest = b"{}"
        """The newest snapshot, as JSON."""
        self._process = gevent.subprocess.Popen(
            [sys.executable, "-m", "onejob_load.observer"],
            stdin=gevent.subprocess.PIPE,
            stdout=gevent.subprocess.PIPE,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("pipes were asked for")
        self._input, self._output = self._process.stdin, self._process.stdout
        self._commands: Queue[bytes] = Queue()
        self._final: AsyncResult[dict[str, Any]] | None = None
        self._greenlets = [gevent.spawn(self._write), gevent.spawn(self._read)]

    def tell(self, command: str, argument: Any) -> None:
        """Send a command; it leaves when the generator has a moment."""
        self._commands.put(json.dumps({command: argument}).encode() + b"\n")

    def finish(self) -> dict[str, Any]:
        """End the run and wait for the final snapshot. Raises ObserverDied."""
        self._final = AsyncResult()
        self.tell("finish", argument=True)
        try:
            return cast("dict[str, Any]", self._final.get(timeout=_FINISH_TIMEOUT_S))
        except gevent.Timeout:
            raise ObserverDied("the observer gave no verdict in time") from None

    def close(self) -> None:
        """End the process."""
        gevent.killall(self._greenlets)
        self._input.close()
        self._process.wait()
        self._output.close()

    def _write(self) -> None:
        for command in self._commands:
            try:
                self._input.write(command)
                self._input.flush()
            except OSError:
                return  # The reader sees the end of the process and says so.

    def _read(self) -> None:
        for line in self._output:
            self.latest = line
            if self._final is not None and (snapshot := json.loads(line))["finished"]:
                self._final.set(snapshot)
                self._final = None
        if self._final is not None:
            code = self._process.wait()
            self._final.set_exception(ObserverDied(f"the observer ended with code {code}"))
