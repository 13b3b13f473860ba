"""The judge: whether there is an order of a history's operations that the model allows.

Each operation must take its place within its closed interval.  Sessions are judged apart, because
linearizability is local (Herlihy & Wing 1990); only job ids are looked at across the whole
history.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability.budget import Budget, BudgetExceeded
from onejob_contract.linearizability.findings import (
    Contradiction,
    Finding,
    GrantedTwice,
    NeverGranted,
    NoOrder,
    Overlap,
)
from onejob_contract.linearizability.jobs import Instant, Job, hull_of, returned, windows
from onejob_contract.linearizability.sections import (
    Candidate,
    Conflict,
    Front,
    Session,
    clusters,
)
from onejob_contract.linearizability.settling import (
    is_complete,
    says_nothing,
    settled_groups,
    unexplained,
)
from onejob_contract.linearizability.witness import Witness, explain

DEFAULT_BUDGET_S = 60.0
SETTLING_S = 1.0
"""How long one `Judge.advance` may search; what it does not settle stays open."""


class Verdict(StrEnum):
    """The three answers of the judge."""

    LINEARIZABLE = "linearizable"
    VIOLATION = "violation"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer for one history.

    ``seconds`` is the time spent judging; ``witness`` holds the operations that contradict each
    other, empty without a violation; ``session`` is the one they belong to, None if several.
    """

    verdict: Verdict
    operations: int
    seconds: float
    witness: tuple[Operation, ...]
    explanation: str
    session: str | None


def judge(
    operations: Iterable[Operation],
    *,
    live_worker: bool = False,
    budget_s: float = DEFAULT_BUDGET_S,
) -> Judgement:
    """Judge a whole history, given in any order.

    With ``live_worker`` each granted job may besides be completed once, at any time after its
    grant, by the server's own worker with a URL that is known only from reads.
    """
    judge_ = Judge(live_worker=live_worker, budget_s=budget_s)
    judge_.extend(operations)
    return judge_.judgement()


@dataclass(slots=True)
class _Record:
    """What is still open in one session."""

    jobs: list[Job] = field(default_factory=list)
    busy: list[Operation] = field(default_factory=list)
    untold: list[Operation] = field(default_factory=list)
    fronts: tuple[Front, ...] = (Front(),)


class Judge:
    """Judges a history that arrives piece by piece.

    Operations may be added in any order.  `advance` promises that every operation still to come
    was invoked at the watermark or later; whatever that settles is judged and forgotten.  What
    stays in memory is what is open, and one small record for every job.
    """

    def __init__(self, *, live_worker: bool = False, budget_s: float = DEFAULT_BUDGET_S) -> None:
        self._live_worker = live_worker
        self._budget_s = budget_s
        self._records: defaultdict[str | None, _Record] = defaultdict(_Record)
        self._jobs: dict[str, Job] = {}
        self._ungranted: dict[str, Job] = {}
        self._late: dict[str, Job] = {}
        self._operations = 0
        self._origin: Instant = math.inf
        self._seconds = 0.0
        self._found: Finding | None = None

    def add(self, operation: Operation) -> None:
        """Take in one operation."""
        self.extend((operation,))

    def extend(self, operations: Iterable[Operation]) -> None:
        """Take in many operations, in any order."""
        started = time.perf_counter()
        records = self._records
        busy, unknown = Outcome.BUSY, Outcome.UNKNOWN
        publish, update = OperationKind.PUBLISH, OperationKind.UPDATE
        origin = self._origin
        count = 0
        for operation in operations:
            count += 1
            if operation.invoked_ns < origin:  # noqa: PLR1730 (this loop decides the speed)
                origin = operation.invoked_ns
            outcome = operation.outcome
            if outcome is busy:
                records[operation.session].busy.append(operation)
            elif operation.operation is publish:
                if outcome is unknown:
                    records[operation.session].untold.append(operation)
                else:
                    self._grant(operation)
            elif outcome is not unknown or operation.operation is update:
                self._job_of(operation).record(operation)
        self._operations += count
        self._origin = origin
        self._seconds += time.perf_counter() - started

    def advance(self, watermark_ns: int) -> None:
        """Settle and forget what no operation invoked at ``watermark_ns`` or later can change.

        The watermark of several clients is the earliest invocation among the operations not
        added yet, those in flight included.
        """
        started = time.perf_counter()
        budget = Budget(min(self._budget_s, SETTLING_S))
        try:
            if self._found is None:
                self._found = self._finding_among_late_jobs(watermark_ns, budget)
            for name, record in self._records.items():
                if self._found is None:
                    self._found = self._settle(name, record, watermark_ns, budget)
        except BudgetExceeded:
            pass  # Nothing is lost: what could not be settled now stays open.
        self._forget_unknown_ids(watermark_ns)
        self._seconds += time.perf_counter() - started

    def _forget_unknown_ids(self, watermark: int) -> None:
        """Forget ids nobody was granted, unless a publish of unknown outcome may turn out so."""
        if not any(record.untold for record in self._records.values()):
            names = [n for n, job in self._ungranted.items() if says_nothing(job, watermark)]
            for name in names:
                del self._ungranted[name], self._jobs[name]

    @property
    def convicted(self) -> bool:
        """Whether what is settled already contradicts the model; `judgement` says why."""
        return self._found is not None

    def judgement(self) -> Judgement:
        """Judge everything added so far as a whole history."""
        started = time.perf_counter()
        try:
            finding = self.finding()
        except BudgetExceeded:
            self._seconds += time.perf_counter() - started
            return self._judgement(
                Verdict.UNDECIDED,
                Witness((), f"not decided within {self._budget_s:g} s of searching", None),
            )
        self._seconds += time.perf_counter() - started
        if finding is None:
            return self._judgement(Verdict.LINEARIZABLE, Witness((), "", None))
        witness = explain(finding, origin=self._origin, still_violates=self._still_violates)
        return self._judgement(Verdict.VIOLATION, witness)

    def finding(self) -> Finding | None:
        """Give what the history is convicted of, None if it is linearizable.

        Raises `BudgetExceeded` if that could not be decided in time.
        """
        if self._found is not None:
            return self._found
        budget = Budget(self._budget_s)
        return (
            self._finding_among_late_jobs(math.inf, budget)
            or self._finding_among_sessions(budget)
            or self._finding_among_untold_jobs(budget)
        )

    def _judgement(self, verdict: Verdict, witness: Witness) -> Judgement:
        return Judgement(
            verdict,
            self._operations,
            self._seconds,
            witness.operations,
            witness.explanation,
            witness.session,
        )

    def _still_violates(self, operations: Sequence[Operation]) -> bool:
        judge_ = Judge(live_worker=self._live_worker, budget_s=1.0)
        judge_.extend(operations)
        try:
            return judge_.finding() is not None
        except BudgetExceeded:
            return False

    def _job_of(self, operation: Operation) -> Job:
        name = operation.job
        if name is None:
            raise ValueError(f"a {operation.outcome} {operation.operation} names its job")
        job = self._jobs.get(name)
        if job is None:
            job = self._jobs[name] = self._ungranted[name] = Job(name)
        elif job.successor is not None:
            self._late[name] = job
        return job

    def _grant(self, operation: Operation) -> None:
        job = self._job_of(operation)
        if job.grant is not None:
            self._found = self._found or GrantedTwice(job.grant, operation)
            return
        job.record(operation)
        self._ungranted.pop(job.name, None)
        self._records[operation.session].jobs.append(job)

    def _windows(self, job: Job, budget: Budget, watermark: Instant = math.inf) -> Candidate:
        live_worker = self._live_worker
        return windows(job, live_worker=live_worker, budget=budget, watermark=watermark)

    def _session(self, busy: list[Operation], record: _Record, budget: Budget) -> Session:
        return Session(busy, record.untold, live_worker=self._live_worker, budget=budget)

    def _finding_among_sessions(self, budget: Budget) -> Finding | None:
        """Judge the sessions in which no job stays unaccounted for."""
        accountable = self._sessions_of_untold_jobs()
        for name in self._records:
            if name not in accountable:
                finding = self._finding_in(name, (), budget)
                if finding is not None:
                    return finding
        return None

    def _finding_in(
        self, name: str | None, untold_jobs: Iterable[Job], budget: Budget
    ) -> Finding | None:
        record = self._records[name]
        candidates = []
        for job in (*record.jobs, *untold_jobs):
            candidate = self._windows(job, budget)
            if not candidate:
                return Contradiction(job)
            candidates.append(candidate)
        groups = list(clusters(candidates))
        session = self._session(unexplained(record.busy, groups, math.inf), record, budget)
        result = session.arrange(record.fronts, groups, to_the_end=True)
        if isinstance(result, Conflict):
            return NoOrder(name, session, result, tuple(c[0] for c in candidates))
        return None

    def _untold_jobs(self) -> dict[str, tuple[str | None, ...]]:
        """Give for each job that no grant names the sessions whose unknown publish may be its.

        The first choice of a job that nobody certainly saw is None: it never existed.
        """
        with_untold = tuple(name for name, record in self._records.items() if record.untold)
        choices: dict[str, tuple[str | None, ...]] = {}
        for job in self._ungranted.values():
            possible: tuple[str | None, ...] = with_untold
            if job.session is not None:
                possible = tuple(name for name in with_untold if name == job.session)
            if job.seen is not None:
                choices[job.name] = possible
            elif job.updates and possible and not self._live_worker:
                choices[job.name] = (None, *possible)
        return choices

    def _sessions_of_untold_jobs(self) -> set[str | None]:
        return {name for choices in self._untold_jobs().values() for name in choices}

    def _finding_among_untold_jobs(self, budget: Budget) -> Finding | None:
        """Try every way to give jobs that no grant names to sessions with unknown publishes."""
        choices = self._untold_jobs()
        for name, possible in choices.items():
            if not possible:
                return NeverGranted(self._jobs[name])
        sessions = self._sessions_of_untold_jobs() - {None}
        judged: dict[tuple[str | None, tuple[str, ...]], Finding | None] = {}
        first: Finding | None = None
        for given in product(*choices.values()):
            budget.spend()
            finding = None
            for session in sessions:
                jobs = tuple(n for n, to in zip(choices, given, strict=True) if to == session)
                if (session, jobs) not in judged:
                    untold = [self._jobs[name] for name in jobs]
                    judged[session, jobs] = self._finding_in(session, untold, budget)
                finding = finding or judged[session, jobs]
            if finding is None:
                return None
            first = first or finding
        return first

    def _finding_among_late_jobs(self, watermark: Instant, budget: Budget) -> Finding | None:
        """Judge settled jobs again that operations have named since."""
        for job in list(self._late.values()):
            hull = hull_of(job, live_worker=self._live_worker)
            if job.successor is not None:
                following = hull_of(job.successor, live_worker=self._live_worker)
                if hull.completed_from > following.grant_until:
                    return Overlap(hull, following)
            if is_complete(job, watermark):
                if not self._windows(job, budget):
                    return Contradiction(job)
                del self._late[job.name]
        return None

    def _settle(
        self, name: str | None, record: _Record, watermark: int, budget: Budget
    ) -> Finding | None:
        candidates = []
        for job in record.jobs:
            job.forget_repeats(watermark)
            candidate = self._windows(job, budget, watermark)
            if not candidate and is_complete(job, watermark):
                return Contradiction(job)
            candidates.append(candidate)
        if not all(candidates) or self._is_open_ended(record):
            return None
        groups = list(clusters(candidates))
        returned_busy = [busy for busy in record.busy if returned(busy) < watermark]
        record.busy = [busy for busy in record.busy if returned(busy) >= watermark]
        record.busy += unexplained(returned_busy, groups, watermark)
        session = self._session(record.busy, record, budget)
        count = settled_groups(groups, watermark, live_worker=self._live_worker)
        settled = [candidate for group in groups[:count] for candidate in group]
        rest = [candidate for group in groups[count:] for candidate in group]
        result = session.arrange(record.fronts, groups[:count], to_the_end=False)
        if isinstance(result, Conflict):
            return NoOrder(name, session, result, tuple(c[0] for c in settled))
        for window, *_ in settled:
            window.job.successor = rest[0][0].job
            if not is_complete(window.job, watermark):
                self._late[window.job.name] = window.job
        record.fronts = result
        record.jobs = [window.job for (window, *_) in rest]
        free_from = min(front.free_from for front in result)
        record.busy = [busy for busy in record.busy if busy.invoked_ns > free_from]
        return None

    def _is_open_ended(self, record: _Record) -> bool:
        """Say whether a job that nobody was told of may still turn up anywhere in the past."""
        if not record.untold:
            return False
        return self._live_worker or any(job.updates or job.seen for job in self._ungranted.values())
