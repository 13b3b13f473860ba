"""The implementation under fire: server and worker processes that are killed, stopped, replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from backends import free_port, wait_for_port, wait_until_closed

_RESPAWN_LIMIT_S = 30.0
_RUN = "from onejob_reference.commands import {name}; {name}()"


@dataclass(slots=True)
class Member:
    """One command of the cluster: `serve` with its server processes, or a `worker`."""

    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a process group of its own."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process of the group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        if self.process is None:
            return []
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in path.read_text().split()]
        except OSError:
            return []

    def some_child(self, random: Random) -> int:
        """Return the process id of one of its children, waiting until it has any."""
        deadline = time.monotonic() + _RESPAWN_LIMIT_S
        while not (children := self.children()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody serves any more, see {self.log.name}")
            time.sleep(0.02)
        return random.choice(children)

    def kill(self) -> None:
        """End the group at once."""
        self.signal_all(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self, limit_s: float = 20.0) -> int:
        """End it gracefully and return its exit code; kill it after `limit_s`."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


class Cluster:
    """One `onejob serve` and some `onejob worker`, all with the same settings."""

    def __init__(self, settings: Mapping[str, str], processes: int, workers: int, folder: Path):
        self.port = free_port()
        environment = {
            **os.environ,
            **settings,
            "ONEJOB_BIND": f"127.0.0.1:{self.port}",
            "ONEJOB_PROCESSES": str(processes),
            "ONEJOB_URL": f"http://127.0.0.1:{self.port}",
        }
        self.server = Member(_command("serve"), environment, folder / "serve.log")
        self.workers = [
            Member(_command("worker"), environment, folder / f"worker{number}.log")
            for number in range(workers)
        ]

    def start(self) -> None:
        """Start everything and wait until the server takes requests."""
        for member in (self.server, *self.workers):
            member.start()
        wait_for_port(self.port)

    def restart_server(self) -> None:
        """Kill the server with all its processes and start it again on the same port."""
        self.server.kill()
        wait_until_closed(self.port)
        self.server.start()
        wait_for_port(self.port)

    def revive(self) -> None:
        """Start what ended by itself, as a service manager does.

        A command that finds no database when it starts says so and ends.
        """
        for member in (self.server, *self.workers):
            if member.process is not None and member.process.poll() is not None:
                member.start()

    def stop(self) -> list[int]:
        """End everything gracefully and return the exit codes."""
        return [member.stop() for member in (*self.workers, self.server)]

    def kill(self) -> None:
        """End everything at once."""
        for member in (*self.workers, self.server):
            member.kill()


def pause(pids: list[int], seconds: float) -> None:
    """Stop processes for a while, as a machine that swaps or migrates does."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _command(name: str) -> list[str]:
    return [sys.executable, "-c", _RUN.format(name=name)]
