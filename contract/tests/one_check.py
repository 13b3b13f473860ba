"""One check of the suite against one server of the fixtures, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from onejob_contract.checks import MARK
from onejob_contract.findings import Violation
from onejob_contract.iut import Iut
from onejob_contract.run import PROFILES
from onejob_contract.scheduler import Task
from onejob_contract.session import Options, Session
from onejob_contract.target import Target, WorkerMode, parse_url
from onejob_contract.verdict import CheckResult
from onejob_fixtures.servers.process import running


@dataclass(frozen=True, slots=True)
class Judged:
    """How the check ended, what it reported, and what it told of its coverage."""

    result: CheckResult
    violations: tuple[Violation, ...]
    measured: dict[str, str]

    @property
    def blamed(self) -> set[str]:
        """The requirements that were found broken."""
        return {violation.requirement for violation in self.violations}


def judge(
    check: Callable[[Iut], None],
    server: str,
    *,
    seed: int = 1,
    seconds: float = 6.0,
    profile: str = "standard",
    worker: WorkerMode = WorkerMode.AUTO,
) -> Judged:
    """Run one check against a server of the fixtures, for about so many seconds."""
    with running(server) as url:
        session = Session(
            Target(parse_url(url), worker=worker), Options(profile=profile, seed=seed)
        )
        session.prepare()
        run = session.run_state
        run.profile = replace(PROFILES[profile], seconds=seconds)
        marks = getattr(check, "pytestmark")  # noqa: B009 (what pytest adds to a function)
        proof = next(mark.args[0] for mark in marks if mark.name == MARK)
        ((_, result),) = session.run([Task(check.__name__, 0, proof, check)])
        return Judged(result, tuple(run.violations), dict(run.measured))
