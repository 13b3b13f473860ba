"""A combination of lock, store and dispatch, set up in a folder: backends, server, workers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cluster import Cluster
from service import Service, own_postgresql, own_rabbitmq, own_redis

DISK = "size=32m,nr_inodes=4k"


@dataclass(frozen=True, slots=True)
class Combination:
    """Which lock, store and dispatch work together, and with how many server processes."""

    lock: str
    store: str
    dispatch: str
    processes: int

    @property
    def name(self) -> str:
        """Short and unique, as in `redis+postgresql+rabbitmq`."""
        return f"{self.lock}+{self.store}+{self.dispatch}"


COMBINATIONS = (
    Combination("memory", "sqlite", "local", processes=1),
    Combination("sql", "sqlite", "local", processes=2),
    Combination("redis", "sqlite", "local", processes=2),
    Combination("sql", "postgresql", "local", processes=2),
    Combination("redis", "postgresql", "redis", processes=2),
    Combination("sql", "postgresql", "rabbitmq", processes=2),
)


class Stage:
    """Runs while it is entered; `start` raises MissingProgramError, OSError.

    `services` are by role: `lock`, `database`, `broker`, as far as the combination needs them.
    `through` says at which port the cluster finds a service. Uploads and SQLite are each on a
    small file system of their own where the machine allows it (Linux, root); `disk` are their
    mount options.
    """

    def __init__(
        self,
        combination: Combination,
        folder: Path,
        *,
        lease: float,
        workers: int,
        disk: str = DISK,
        through: Callable[[Service], int] = lambda service: service.port,
    ) -> None:
        self.combination = combination
        self.folder = folder
        self.lease = lease
        self.services: dict[str, Service] = {}
        self.cluster: Cluster
        self._workers = workers
        self._disk = disk
        self._through = through
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            self._set_up(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What commands that break and mend it need to know."""
        environment = {"STAGE": str(self.folder), "URL": self.cluster.url}
        if self.combination.store == "postgresql":
            port = str(self.services["database"].port)
            environment |= {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "postgres"}
        return environment

    def _set_up(self, stack: ExitStack) -> None:
        for name in ("files", "data"):
            disk = self.folder / name
            disk.mkdir()
            if _mount(disk, self._disk):
                stack.callback(_unmount, disk)
        (self.folder / "files" / "uploads").mkdir()
        makers = {
            "lock": {"redis": own_redis}.get(self.combination.lock),
            "database": {"postgresql": own_postgresql}.get(self.combination.store),
            "broker": {"redis": own_redis, "rabbitmq": own_rabbitmq}.get(self.combination.dispatch),
        }
        for role, make in makers.items():
            if make is not None:
                service = self.services[role] = make(self.folder, role)
                stack.callback(service.crash)
                service.start()
        self.cluster = Cluster(
            self._settings(), self.combination.processes, self._workers, self.folder
        )
        stack.callback(self.cluster.kill)
        self.cluster.start()

    def _settings(self) -> dict[str, str]:
        urls = {
            role: service.url.replace(f":{service.port}/", f":{self._through(service)}/")
            for role, service in self.services.items()
        }
        return {
            "ONEJOB_LOCK": urls.get("lock", f"{self.combination.lock}:"),
            "ONEJOB_DATABASE": urls.get("database", f"sqlite:///{self.folder}/data/jobs.sqlite3"),
            "ONEJOB_DISPATCH": urls.get("broker", "local:"),
            "ONEJOB_LEASE": str(self.lease),
            "ONEJOB_UPLOAD_ROOT": str(self.folder / "files" / "uploads"),
            "ONEJOB_RESULT_ROOT": str(self.folder / "results"),
            "ONEJOB_MAX_ATTEMPTS": "50",
        }


def _mount(disk: Path, options: str) -> bool:
    """Put a small file system there, if we may."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if os.geteuid() != 0:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _unmount(disk: Path) -> None:
    subprocess.run(["umount", "--lazy", str(disk)], check=False)
