"""Redis, PostgreSQL and RabbitMQ of our own, on free ports, to be broken and mended.

    STAGE=FOLDER python reference/chaos/service.py crash|start|pause|resume NAME

A service is described by a file in its folder, so that any process can act on it. Every
action may be repeated: what is done already is done.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

_LIMIT_S = 60.0
_DESCRIPTION = "service.json"
_started: list[subprocess.Popen[bytes]] = []  # to be reaped once they ended


class MissingProgramError(Exception):
    """A program this service needs is not on the PATH; the text names it and the way out."""


@dataclass(frozen=True, slots=True)
class Service:
    """A program known by its port and its pid file; `crash_signal` ends it as a crash would."""

    name: str
    url: str
    folder: str
    port: int
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    crash_signal: int = signal.SIGKILL
    is_ready: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Service:
        """Read the description that `save` left in the folder. Raises OSError."""
        return cls(**json.loads((folder / _DESCRIPTION).read_text()))

    def save(self) -> None:
        """Describe the service in its folder."""
        (Path(self.folder) / _DESCRIPTION).write_text(json.dumps(asdict(self)))

    def start(self) -> None:
        """Start it and wait until it is ready. Raises OSError, also as TimeoutError."""
        if takes_connections(self.port):
            return
        self._pid_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user,
            )
        _started.append(process)

        def is_up() -> bool:
            if process.poll() is not None:
                raise OSError(f"{self.name} ended with {process.returncode}, see {self.log}")
            return takes_connections(self.port) and self.pid is not None and self._is_ready()

        wait(is_up, f"{self.name} starts")

    def crash(self) -> None:
        """End it at once and wait until nothing of it is left. Raises TimeoutError."""
        pid = self.pid
        if pid is None:
            return
        self._signal(self.crash_signal, [pid])
        self.resume()  # who is paused cannot end
        wait(lambda: not _is_alive(pid) and not takes_connections(self.port), f"{self.name} ends")
        _started[:] = [process for process in _started if process.poll() is None]

    def pause(self) -> None:
        """Stop all its processes where they are; its connections stay open and silent."""
        self._signal(signal.SIGSTOP, self._family())

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT, self._family())

    @property
    def log(self) -> Path:
        """What it printed."""
        return Path(self.folder) / "log"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        try:
            pid = int(self._pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return pid if _is_alive(pid) else None

    @property
    def _pid_file(self) -> Path:
        return Path(self.folder) / "pid"

    def _is_ready(self) -> bool:
        return not self.is_ready or subprocess.run(self.is_ready, check=False).returncode == 0

    def _family(self) -> list[int]:
        pid = self.pid
        return [] if pid is None else [pid, *children(pid)]

    def _signal(self, number: int, pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def own_redis(folder: Path, name: str) -> Service:
    """A Redis without persistence: a crash loses every lock and every message."""
    _need("redis-server", "apt-get install redis-server")
    port, home = free_port(), _home(folder, name, user=None)
    options = {"--port": str(port), "--bind": "127.0.0.1", "--save": "", "--appendonly": "no"}
    options |= {"--pidfile": str(home / "pid"), "--dir": str(home)}
    command = ["redis-server", *(word for option in options.items() for word in option)]
    return _saved(Service(name, f"redis://127.0.0.1:{port}/0", str(home), port, command))


def own_postgresql(folder: Path, name: str) -> Service:
    """A PostgreSQL whose crash is an immediate shutdown: it recovers when started again.

    SIGKILL would leave processes behind that keep the next from starting for a while.
    """
    _need("postgres", "apt-get install postgresql, and put its bin folder on the PATH")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    port, home = free_port(), _home(folder, name, user)
    data = home / "data"
    subprocess.run(
        ["initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"],
        user=user,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    options = {"-D": str(data), "-p": str(port), "-k": "", "-h": "127.0.0.1"}
    command = ["postgres", *(word for option in options.items() for word in option)]
    command += ["-c", f"external_pid_file={home / 'pid'}", "-c", "max_connections=400"]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    ready = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
    return _saved(
        Service(name, url, str(home), port, command, {}, user, signal.SIGQUIT, is_ready=ready)
    )


def own_rabbitmq(folder: Path, name: str) -> Service:
    """A RabbitMQ node without plugins; the Erlang port mapper of the machine outlives it."""
    _need("rabbitmq-server", "apt-get install rabbitmq-server")
    user = "rabbitmq" if os.geteuid() == 0 else None  # its start script changes to this user
    port, home = free_port(), _home(folder, name, user)
    (home / "enabled_plugins").write_text("[].")
    (home / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    environment = {
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"onejob{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(home),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
    }
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    return _saved(Service(name, url, str(home), port, ["rabbitmq-server"], environment))


def _need(program: str, way_out: str) -> None:
    if shutil.which(program) is None:
        raise MissingProgramError(f"{program} is not installed; {way_out}")


def _home(folder: Path, name: str, user: str | None) -> Path:
    """Make a folder for the service, which another user owns and can reach."""
    home = folder / name
    home.mkdir()
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(home, account.pw_uid, account.pw_gid)
        folder.chmod(folder.stat().st_mode | 0o011)
    return home


def _saved(service: Service) -> Service:
    service.save()
    return service


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def free_port() -> int:
    """Return a port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def takes_connections(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(is_done: Callable[[], bool], what: str) -> None:
    """Return once it is done. Raises TimeoutError."""
    deadline = time.monotonic() + _LIMIT_S
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_LIMIT_S:g} s")
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits for its parent's notice does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def _main() -> int:
    actions = ("crash", "start", "pause", "resume")
    match sys.argv[1:]:
        case [action, name] if action in actions and "STAGE" in os.environ:
            getattr(Service.load(Path(os.environ["STAGE"]) / name), action)()
            return 0
    print(f"usage: STAGE=FOLDER service.py {'|'.join(actions)} NAME", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(_main())
