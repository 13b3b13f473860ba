"""One session of the kit: preflight, the checks, cleaning up, the conclusion."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from onejob_contract.catalogue import requirements
from onejob_contract.checks import Cost
from onejob_contract.client import Client
from onejob_contract.faults import injected
from onejob_contract.findings import HealFailed, Unobservable
from onejob_contract.open_questions import answers
from onejob_contract.preflight import (
    NotJudgeable,
    Preflight,
    look,
    must_be_whole,
    watch_for_worker,
)
from onejob_contract.run import PROFILES, SHARE_FOR_CLEANING, Run
from onejob_contract.scheduler import Scheduler, Task
from onejob_contract.target import (
    Target,
    UsageError,
    WorkerMode,
    load_target,
    parse_url,
    worker_mode,
)
from onejob_contract.verdict import CheckResult, Conclusion, Exit, conclude

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the person who runs the kit chose. `select` is empty for everything."""

    profile: str = "standard"
    seed: int = 0
    select: frozenset[str] = frozenset()
    gate_should: bool = False
    hold_s: float | None = None
    fail_fast: bool = False
    known_failures: Mapping[str, str] = field(default_factory=dict)


class Session:
    """Judges one target once.

    Where the kit may stop the server's own worker, it is watched first and then out of the way:
    because `end_worker` ends it for good, or because the target file declares the fault
    `worker_stop`, whose worker is back before the faults are judged.
    """

    def __init__(
        self, target: Target, options: Options, end_worker: Callable[[], None] | None = None
    ) -> None:
        self.target = target
        self.options = options
        self.client = Client(target)
        self.results: list[CheckResult] = []
        self.open_answers: Mapping[str, str] = {}
        self.seconds = 0.0
        self._end_worker = end_worker
        self._preflight: Preflight | None = None
        self._run: Run | None = None

    @classmethod
    def from_pytest(cls, config: pytest.Config) -> Session:
        """Prepare a session from pytest's options. Raises pytest.UsageError, or ends pytest."""
        option = config.getoption
        try:
            if option("onejob_target"):
                target = load_target(Path(option("onejob_target")), option("onejob_url"))
            else:
                target = Target(parse_url(option("onejob_url")))
            if option("onejob_worker"):
                target = replace(target, worker=worker_mode(option("onejob_worker")))
            if option("onejob_profile") not in PROFILES:
                raise UsageError(
                    f"profile {option('onejob_profile')!r} is unknown; use {', '.join(PROFILES)}."
                )
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        seed = option("onejob_seed")
        session = cls(
            target,
            Options(
                profile=option("onejob_profile"),
                seed=new_seed() if seed is None else seed,
                hold_s=option("onejob_hold"),
            ),
        )
        try:
            session.prepare()
        except NotJudgeable as error:
            pytest.exit(str(error), returncode=int(Exit.NOT_JUDGED))
        return session

    @property
    def run_state(self) -> Run:
        """What the checks share and found out. Only after `prepare`."""
        assert self._run is not None, "prepare() first"  # noqa: S101
        return self._run

    @property
    def preflight(self) -> Preflight:
        """What the first requests showed. Only after `prepare`."""
        assert self._preflight is not None, "prepare() first"  # noqa: S101
        return self._preflight

    def prepare(self) -> None:
        """Look at the target. Raises NotJudgeable, also for a fault that was left injected."""
        must_be_whole(self.target)
        profile = PROFILES[self.options.profile]
        patience_s = min(_PATIENCE_S, profile.seconds)
        seen = look(self.client, patience_s)
        around = seen.surroundings
        if (
            self._may_pause_worker
            and around.update_status
            and not around.live_worker
            and watch_for_worker(self.client, patience_s) is not None
        ):
            around = replace(around, live_worker=True)
            seen = replace(seen, surroundings=around)
        self._preflight = seen
        self._run = Run(
            client=self.client,
            target=self.target,
            profile=profile,
            seed=self.options.seed,
            surroundings=around,
            hold_s=self.options.hold_s if self.options.hold_s is not None else profile.hold_s,
            known_failures=frozenset(self.options.known_failures),
            unfinished=dict(seen.left_active),
        )

    def selects(self, ids: Sequence[str]) -> bool:
        """Whether a check with these requirements is part of the run."""
        return not self.options.select or bool(self.options.select.intersection(ids))

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, CheckResult]]:
        """Run the checks; yields each result as it comes, and keeps them all."""
        run = self.run_state
        try:
            for task, result in self._phases(run, tasks):
                self.results.append(result)
                yield task, result
            if not (run.stop.is_set() or run.gone or self.options.select):
                self.open_answers = answers(run, run.profile.seconds)
        finally:
            self.seconds = run.elapsed
            if self.client.failed:
                run.measured["publishes that failed as documented"] = str(len(self.client.failed))
            self.client.cancelled = False
            run.complete_unfinished(run.profile.seconds * SHARE_FOR_CLEANING)
            self.client.close()

    def abandon(self) -> None:
        """Stop as soon as possible; what did not run is not judged."""
        self.run_state.stop.set()

    def conclusion(self) -> Conclusion:
        """The verdict on everything that ran."""
        chosen = [r for r in requirements().values() if self.selects((r.id,))]
        run = self.run_state
        return conclude(
            chosen,
            self.results,
            run.violations,
            gate_should=self.options.gate_should,
            accepted=self.target.accepted,
            known_failures=self.options.known_failures,
            gone=run.gone,
            unhealed=run.unhealed,
        )

    def explain(self, result: CheckResult) -> str:
        """Why a check failed, for people: requirement, expected, actual, requests to repeat."""
        from onejob_contract.report.evidence import explain_violation  # noqa: PLC0415

        for violation in self.run_state.violations:
            if violation.requirement == result.blamed:
                return explain_violation(violation, self.target.origin)
        return result.reason

    def _phases(self, run: Run, tasks: Sequence[Task]) -> Iterator[tuple[Task, CheckResult]]:
        """First what watches the worker, then the most without it, and the faults at the end."""
        scheduler = Scheduler(run, fail_fast=self.options.fail_fast)
        around = run.surroundings
        if self._end_worker is None and not (
            self._may_pause_worker and around.live_worker and around.update_status
        ):
            run.started = time.monotonic()
            yield from scheduler.results(tasks)
            return
        watching = [task for task in tasks if task.proof.cost is Cost.WORKER]
        breaking = [task for task in tasks if task.proof.breaks_the_server]
        for task in watching:
            yield task, scheduler.run_one(task)
        with self._without_worker(run):
            run.started = time.monotonic()
            yield from scheduler.results(
                [task for task in tasks if task not in watching and task not in breaking]
            )
        yield from scheduler.results(breaking)

    @property
    def _may_pause_worker(self) -> bool:
        return self.target.worker is WorkerMode.AUTO and "worker_stop" in self.target.faults

    @contextmanager
    def _without_worker(self, run: Run) -> Iterator[None]:
        """Only the kit completes jobs meanwhile; a worker that cannot be stopped goes on."""
        if self._end_worker is not None:
            self._end_worker()
            run.worker_stopped(WorkerMode.HARNESS)
            yield
            return
        try:
            with ExitStack() as stopped:
                try:
                    stopped.enter_context(injected(self.target.faults["worker_stop"], self.client))
                    # Who says that it is stopped may be wrong: nobody must be accused of that.
                    run.worker_stopped(WorkerMode.AUTO)
                except Unobservable as failed:
                    run.measured["the live worker goes on"] = failed.reason
                try:
                    yield
                finally:
                    # Thousands of jobs would keep the worker from all that is asked of it next.
                    run.complete_unfinished(run.profile.seconds)
        except HealFailed as failed:
            run.unhealed = failed.reason
            run.stop.set()
        run.worker_back()


def new_seed() -> int:
    """A seed for a run that was given none."""
    return random.SystemRandom().randrange(1_000_000)
