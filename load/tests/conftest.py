"""What the tests of the load tests share: runs told by hand, and the command as users start it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_load.batch import Batch, Health, Incident, IncidentKind, Round, Sample
from onejob_load.observer.observing import Observer, RunDescription
from onejob_load.settings import Settings

MS = 1_000_000


@dataclass
class Story:
    """A run told in milliseconds: what each client was told, and when."""

    clock: str = "here"
    generator: str = "here.1"
    operations: list[Operation] = field(default_factory=list)

    def publish(
        self, at: float, outcome: Outcome, job: str | None = None, *, session: str = "s", who="ann"
    ) -> "Story":
        """A publish that takes two milliseconds."""
        return self._add(OperationKind.PUBLISH, at, outcome, session, who=who, job=job, url=None)

    def update(
        self, at: float, job: str, *, session: str = "s", who="ann", url="https://r/1"
    ) -> "Story":
        """A successful update that takes two milliseconds."""
        return self._add(OperationKind.UPDATE, at, Outcome.OK, session, who=who, job=job, url=url)

    def status(self, at: float, outcome: Outcome, job: str, *, session: str = "s") -> "Story":
        """A poll that takes two milliseconds."""
        url = "https://r/1" if outcome is Outcome.COMPLETED else None
        return self._add(OperationKind.STATUS, at, outcome, session, who="ann", job=job, url=url)

    def batch(
        self,
        until: float,
        *,
        last: bool = False,
        incidents: tuple[Incident, ...] = (),
        rounds: tuple[Round, ...] = (),
        lag: float = 0.0,
    ) -> Batch:
        """Everything told so far, as one batch that ends at a time."""
        samples = tuple(Sample(one, one.invoked_ns) for one in self.operations)
        self.operations = []
        health = Health(int(until * MS), int(lag * MS), 10.0, 1)
        watermark = int(until * MS)
        return Batch(
            self.clock, self.generator, watermark, samples, incidents, rounds, health, last
        )

    def _add(self, kind, at, outcome, session, *, who, job, url) -> "Story":
        returned = None if outcome is Outcome.UNKNOWN else int((at + 2) * MS)
        self.operations.append(
            Operation(session, who, kind, job, url, int(at * MS), returned, outcome)
        )
        return self


@pytest.fixture
def story() -> type[Story]:
    """Tell a run by hand."""
    return Story


@pytest.fixture
def observer() -> Callable[..., Observer]:
    """An observer of a run with given settings."""

    def make(*, live_worker: bool = False, **settings: object) -> Observer:
        chosen = Settings(**settings)
        return Observer(
            RunDescription(
                "http://server",
                chosen.as_json(),
                started_at="2026-01-01T00:00:00+00:00",
                live_worker=live_worker,
            )
        )

    return make


@pytest.fixture
def no_connection() -> Callable[[float], Incident]:
    """An attempt at a time (ms) that found no connection."""
    return lambda at: Incident(IncidentKind.REFUSED, int(at * MS), "publish", "refused")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said and how it ended."""

    exit: int
    out: str
    err: str


@pytest.fixture
def onejob_load(tmp_path: Path) -> Callable[..., Said]:
    """Run `onejob load ARGUMENTS` as a user does; it must end within two minutes."""

    def run(*arguments: object) -> Said:
        command = [sys.executable, "-m", "onejob_contract.cli", "load", *map(str, arguments)]
        environment = {**os.environ, "PYTHONWARNINGS": "default"}
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run
