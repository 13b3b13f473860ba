"""What the operations that name one job say about its grant and its completion.

A job matters to its session only by two instants: its grant and its completion.  Every operation
that names the job bounds one of them, and together they leave a few `Window`s, each an
independent earliest and latest instant for both (Gibbons & Korach 1997 call them zones).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability.budget import Budget
from onejob_contract.linearizability.urls import earliest_completion

Instant = float
"""Nanoseconds of the history's clock, or minus or plus infinity."""


@dataclass(slots=True)
class Job:
    """Everything the history says so far about one job, reduced to what can still matter."""

    name: str
    stated: Operation | None = None
    """The answered operation with a session that was invoked first: which session, if no grant."""
    grant: Operation | None = None
    seen: Operation | None = None
    """The operation that proves earliest (by its return) that the job exists."""
    missed: Operation | None = None
    """The status that answered not_found latest (by its invocation)."""
    active: Operation | None = None
    """The status that answered processing latest (by its invocation)."""
    updates: list[Operation] = field(default_factory=list)
    """Updates that took effect or may have: outcome ok or unknown."""
    refused_updates: list[Operation] = field(default_factory=list)
    reads: list[Operation] = field(default_factory=list)
    """Statuses that showed the job completed with a URL."""
    successor: "Job | None" = None
    """The job granted next in the session, once the order of the two is settled."""

    def record(self, operation: Operation) -> None:
        """Take in one operation that names this job; a grant at most once."""
        outcome = operation.outcome
        if outcome is Outcome.NOT_FOUND:
            if operation.operation is OperationKind.UPDATE:
                self.refused_updates.append(operation)
            elif self.missed is None or operation.invoked_ns > self.missed.invoked_ns:
                self.missed = operation
            return
        if operation.operation is OperationKind.UPDATE:
            self.updates.append(operation)
        elif outcome is Outcome.COMPLETED:
            self.reads.append(operation)
        elif outcome is Outcome.PROCESSING:
            if self.active is None or operation.invoked_ns > self.active.invoked_ns:
                self.active = operation
        elif outcome is Outcome.GRANTED:
            self.grant = operation
        if outcome is Outcome.UNKNOWN:
            return
        if self.seen is None or returned(operation) < returned(self.seen):
            self.seen = operation
        if operation.session is not None and self.grant is None:
            stated = (self.stated, operation) if self.stated else (operation,)
            self.stated = min(stated, key=lambda o: (o.invoked_ns, str(o.session)))

    @property
    def session(self) -> str | None:
        """The session of the job, None while nothing that was answered has said."""
        stated = self.grant or self.stated
        return stated.session if stated else None

    def operations(self) -> Iterator[Operation]:
        """Give every operation still remembered, the grant first."""
        first = (self.grant, self.seen, self.missed, self.active)
        remembered = [operation for operation in first if operation is not None]
        remembered += [*self.updates, *self.refused_updates, *self.reads]
        yield from dict.fromkeys(remembered)

    def first_update(self) -> Operation | None:
        """Give the effective update invoked first."""
        return min(self.updates, key=lambda update: update.invoked_ns, default=None)

    def completed_by(self) -> Operation | None:
        """Give the operation whose return proves earliest that the job is completed."""
        proofs = [*self.reads, *(u for u in self.updates if u.outcome is Outcome.OK)]
        return min(proofs, key=returned, default=None)

    def urls(self) -> set[str | None]:
        """Give every URL that an update carried or a status showed."""
        return {operation.url for operation in (*self.updates, *self.reads)}

    def forget_repeats(self, watermark: Instant) -> None:
        """Drop operations that returned before the watermark and bound nothing any more."""
        if len(self.urls()) <= 1 and len(self.reads) > 1:
            first = min(self.reads, key=returned)
            self.reads = [first, *(r for r in self.reads if returned(r) >= watermark)]
            self.reads = list(dict.fromkeys(self.reads))


@dataclass(frozen=True, slots=True)
class Window:
    """The instants one job may be granted and completed at, chosen independently.

    Normal form: ``grant_from <= completed_from`` and ``grant_until <= completed_until``.  The job
    certainly holds its session from ``grant_until`` to ``completed_from`` if that is an interval.
    """

    job: Job
    grant_from: Instant
    grant_until: Instant
    completed_from: Instant
    completed_until: Instant

    @property
    def has_core(self) -> bool:
        """Say whether there are instants at which the job certainly holds its session."""
        return self.grant_until < self.completed_from

    @property
    def granted_untold(self) -> bool:
        """Say whether no publish of the history was told that it was granted this job."""
        return self.job.grant is None

    def no_later_than(self, other: "Window") -> bool:
        """Say whether every bound is at most the other's, so that this job may go first."""
        return (
            self.grant_from <= other.grant_from
            and self.grant_until <= other.grant_until
            and self.completed_from <= other.completed_from
            and self.completed_until <= other.completed_until
        )


def returned(operation: Operation) -> Instant:
    """Give the instant by which the operation took effect: infinity for an unknown outcome."""
    if operation.returned_ns is None or operation.outcome is Outcome.UNKNOWN:
        return math.inf
    return operation.returned_ns


def windows(
    job: Job, *, live_worker: bool, budget: Budget, watermark: Instant = math.inf
) -> tuple[Window, ...]:
    """Give the windows of a job; none if the operations that name it contradict each other.

    A read that returned at the ``watermark`` or later may have seen an update not recorded yet,
    so its URL says nothing so far.

    More than one window comes only from updates that answered not_found while both the grant and
    the completion are uncertain: each was before the grant or after the completion.
    """
    hull = hull_of(job, live_worker=live_worker)
    explained = earliest_completion(
        job.updates,
        [read for read in job.reads if returned(read) < watermark],
        worker_from=hull.completed_from if live_worker else None,
        latest=hull.completed_until,
        budget=budget,
    )
    if explained is None:
        return ()
    hull = replace(hull, completed_from=max(hull.completed_from, explained))
    return tuple(_split(hull))


def hull_of(job: Job, *, live_worker: bool) -> Window:
    """Bound a job by everything but its URLs and its refused updates; the window may be empty."""
    grant_from = max(
        job.grant.invoked_ns if job.grant else -math.inf,
        job.missed.invoked_ns if job.missed else -math.inf,
    )
    completed_from = max(grant_from, job.active.invoked_ns if job.active else -math.inf)
    first = job.first_update()
    if not live_worker:
        completed_from = max(completed_from, first.invoked_ns if first else math.inf)
    proof = job.completed_by()
    completed_until = returned(proof) if proof else math.inf
    if job.successor is not None and job.successor.seen is not None:
        completed_until = min(completed_until, returned(job.successor.seen))
    grant_until = min(returned(job.seen) if job.seen else math.inf, completed_until)
    return Window(job, grant_from, grant_until, completed_from, completed_until)


def _split(hull: Window) -> Iterator[Window]:
    refused = sorted(
        (
            update
            for update in hull.job.refused_updates
            if update.invoked_ns > hull.grant_from and returned(update) < hull.completed_until
        ),
        key=lambda update: update.invoked_ns,
    )
    # The first `before` refusals precede the grant, the others follow the completion.
    for before in range(len(refused) + 1):
        grant_from = refused[before - 1].invoked_ns if before else hull.grant_from
        completed_until = min(map(returned, refused[before:]), default=hull.completed_until)
        window = replace(
            hull,
            grant_from=grant_from,
            grant_until=min(hull.grant_until, completed_until),
            completed_from=max(hull.completed_from, grant_from),
            completed_until=completed_until,
        )
        if (
            window.grant_from <= window.grant_until
            and window.completed_from <= window.completed_until
        ):
            yield window
