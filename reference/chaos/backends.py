"""Redis, PostgreSQL and RabbitMQ of our own, on free ports, to be killed and started again.

Each raises MissingProgramError if its program is not installed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

_START_LIMIT_S = 60.0


class MissingProgramError(Exception):
    """A program this backend needs is not on the PATH."""


class Backend(Protocol):
    """A service that can die and come back at the same address."""

    name: str
    url: str

    def start(self) -> None:
        """Start it and wait until it takes connections."""

    def kill(self) -> None:
        """End it at once, as a crash would."""


class _Process:
    """One program, its output in a log, known to be up when its port is."""

    name: str
    url: str

    def __init__(self, folder: Path, command: list[str], port: int, user: str | None) -> None:
        if shutil.which(command[0]) is None:
            raise MissingProgramError(f"{command[0]} is not installed")
        self._command = command
        self._log = folder / f"{self.name}.log"
        self._port = port
        self._user = user
        self._environment = dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See `Backend.start`."""
        with self._log.open("ab") as log:
            self._process = self._spawn(log)
        wait_for_port(self._port)

    def kill(self) -> None:
        """See `Backend.kill`."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=self._user,
        )


class OwnRedis(_Process):
    """A Redis without persistence: a restart loses every lock and every message."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        super().__init__(folder, ["redis-server", *options], port, user=None)


class OwnPostgres(_Process):
    """A PostgreSQL whose kill is a crash: it recovers from its log when started again."""

    name = "postgresql"

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        data = folder / "postgresql"
        data.mkdir()
        user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        if user is not None:
            _give(data, user)
        command = ["postgres", "-D", str(data), "-p", str(port), "-k", "", "-h", "127.0.0.1"]
        super().__init__(folder, command, port, user)
        subprocess.run(
            ["initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"],
            user=user,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start it and wait until it has recovered from its last crash."""
        super().start()
        deadline = time.monotonic() + _START_LIMIT_S
        question = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self._port}"]
        while subprocess.run(question, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL does not recover")
            time.sleep(0.05)

    def kill(self) -> None:
        """Crash it: an immediate shutdown ends all its processes and writes nothing.

        They are in sessions of their own, and one that survives its postmaster for a moment keeps
        the next from starting.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_START_LIMIT_S)
            self._process = None


class OwnRabbit(_Process):
    """A RabbitMQ node without plugins."""

    name = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{port}//"
        super().__init__(folder, ["rabbitmq-server"], port, user=None)
        home = folder / "rabbitmq"
        home.mkdir()
        (home / "enabled_plugins").write_text("[].")
        (home / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
        if os.geteuid() == 0:  # its start script changes to this user
            _give(home, "rabbitmq")
        self._pid_file = home / "node.pid"
        self._environment |= {
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"chaos{port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(home),
            "RABBITMQ_PID_FILE": str(self._pid_file),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        }

    def kill(self) -> None:
        """End the node; the Erlang port mapper of the machine stays."""
        if self._process is not None:  # its start script puts it into a session of its own
            with suppress(ProcessLookupError, FileNotFoundError):
                os.kill(int(self._pid_file.read_text()), signal.SIGKILL)
        super().kill()
        wait_until_closed(self._port)


def _give(folder: Path, user: str) -> None:
    """Let another user own the folder and reach it."""
    account = pwd.getpwnam(user)
    os.chown(folder, account.pw_uid, account.pw_gid)
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o011)


def free_port() -> int:
    """Return a port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Return once somebody takes connections. Raises TimeoutError."""
    _wait(port, is_open=True)


def wait_until_closed(port: int) -> None:
    """Return once nobody takes connections any more. Raises TimeoutError."""
    _wait(port, is_open=False)


def _wait(port: int, *, is_open: bool) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while _takes_connections(port) is not is_open:
        if time.monotonic() > deadline:
            raise TimeoutError(f"port {port} is {'closed' if is_open else 'open'} for too long")
        time.sleep(0.02)


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
