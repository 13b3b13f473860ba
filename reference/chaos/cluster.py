"""The implementation under fire: server and worker processes that are killed, stopped, replaced."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from service import children, free_port, takes_connections, wait

_RUN = "from onejob_reference.commands import {name}; {name}()"
_ROOTS_PRIVILEGE = "-dac_override,-dac_read_search"


@dataclass(slots=True)
class Member:
    """One command of the cluster: `serve` with its server processes, or a `worker`.

    Its process id is in the file `<log without suffix>.pid`.
    """

    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _printed: int = field(default=0, init=False)

    def start(self) -> None:
        """Start it in a process group of its own."""
        self._printed = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.log.with_suffix(".pid").write_text(f"{self.process.pid}\n")

    def is_ready(self) -> bool:
        """Whether it has said so since it was started; starts it again if it ended by itself.

        A command that finds no database when it starts says so and ends; a service manager
        starts it again.
        """
        if self.process is not None and self.process.poll() is not None:
            self.start()
        with self.log.open("rb") as log:
            log.seek(self._printed)
            said = log.read(100_000)
        return b"working for http" in said or b"listening on http" in said

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process of the group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        return [] if self.process is None else children(self.process.pid)

    def some_child(self, random: Random) -> int:
        """Return the process id of one of its children, waiting until it has any."""
        wait(lambda: bool(self.children()), f"somebody serves, see {self.log}")
        return random.choice(self.children())

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
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            **os.environ,
            **settings,
            "ONEJOB_BIND": f"127.0.0.1:{self.port}",
            "ONEJOB_PROCESSES": str(processes),
            "ONEJOB_URL": self.url,
        }
        self.server = Member(_command("serve"), environment, folder / "serve.log")
        self.workers = [
            Member(_command("worker"), environment, folder / f"worker{number}.log")
            for number in range(workers)
        ]

    def start(self) -> None:
        """Start everything and wait until it is ready."""
        for member in (self.server, *self.workers):
            member.start()
        self.wait_until_ready()

    def restart_server(self) -> None:
        """Kill the server with all its processes and start it again on the same port."""
        self.server.kill()
        wait(lambda: not takes_connections(self.port), "the server ends")
        self.server.start()

    def wait_until_ready(self) -> None:
        """Return once everything that was started says that it is ready."""
        for member in (self.server, *self.workers):
            wait(member.is_ready, f"the command is ready, see {member.log}")

    def stop(self) -> list[int]:
        """End everything gracefully and return the exit codes."""
        return [member.stop() for member in (*self.workers, self.server)]

    def kill(self) -> None:
        """End everything at once."""
        for member in (*self.workers, self.server):
            member.kill()


def _command(name: str) -> list[str]:
    """Return the command, without root's privilege to ignore the permissions of files."""
    command = [sys.executable, "-c", _RUN.format(name=name)]
    if os.geteuid() == 0 and shutil.which("setpriv") is not None:
        drop = [f"--bounding-set={_ROOTS_PRIVILEGE}", f"--inh-caps={_ROOTS_PRIVILEGE}"]
        return ["setpriv", *drop, *command]
    return command
