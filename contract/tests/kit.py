"""The kit as its tests use it: the command as a user starts it, and checks run right here."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onejob_contract.checks import MARK
from onejob_contract.scheduler import Task
from onejob_contract.session import Options, Session
from onejob_contract.suite import (
    test_health,
    test_publish,
    test_races,
    test_robustness,
    test_session_independence,
    test_session_lock,
    test_status,
    test_update_status,
)
from onejob_contract.target import Target, WorkerMode
from onejob_contract.wire import Origin


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said and how it ended; `seconds` is how long it took."""

    exit: int
    out: str
    err: str
    seconds: float

    @property
    def everything(self) -> str:
        """Both streams."""
        return self.out + self.err


def command(module: str, *arguments: str | Path) -> list[str]:
    """A module of this environment as a command; what lies in the current folder stays out."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs commands in the folder where the user stands."""

    folder: Path

    def onejob(self, *arguments: str | Path, deadline: float = 60.0) -> Said:
        """Run `onejob ARGUMENTS`; it must end within `deadline` seconds."""
        return self.run("onejob_contract.cli", *arguments, deadline=deadline)

    def run(
        self,
        module: str,
        *arguments: str | Path,
        deadline: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> Said:
        """Run `python -m MODULE ARGUMENTS`."""
        began = time.monotonic()
        done = subprocess.run(
            command(module, *arguments),
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def session_on(url: str) -> Session:
    """A session that looked at a server and has judged nothing yet."""
    target = Target(Origin.parse(url), worker=WorkerMode.HARNESS, response_timeout_s=5.0)
    session = Session(target, Options(profile="quick", seed=1))
    session.prepare()
    return session


def judged(url: str, *ids: str, seed: int = 1, target: Target | None = None) -> Session:
    """Judge a server by the plain checks of these requirements, without pytest in between."""
    target = target or Target(Origin.parse(url), worker=WorkerMode.HARNESS, response_timeout_s=2.0)
    session = Session(target, Options(profile="quick", seed=seed, select=frozenset(ids)))
    session.prepare()
    for _ in session.run(
        [task for task in plain_tasks() if session.selects(task.proof.requirements)]
    ):
        pass
    return session


def plain_tasks() -> list[Task]:
    """The checks of the modules that need nothing special."""
    checks = [
        check
        for module in (
            test_health,
            test_publish,
            test_status,
            test_update_status,
            test_session_independence,
            test_session_lock,
            test_races,
            test_robustness,
        )
        for name, check in vars(module).items()
        if name.startswith("test_")
    ]
    return [
        Task(check.__name__, number, mark.args[0], check)
        for number, check in enumerate(checks)
        for mark in check.pytestmark
        if mark.name == MARK
    ]
