"""Why a history is no lock's history: a few operations that contradict each other, in a sentence.

The witness is chosen so that, judged alone, it is a violation again: the operations behind the
violated inequality, and only then whatever else that takes.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability.findings import (
    Contradiction,
    Finding,
    GrantedTwice,
    NeverGranted,
    NoOrder,
    Overlap,
)
from onejob_contract.linearizability.jobs import Instant, Job, Window, hull_of, returned
from onejob_contract.linearizability.sections import BusyPublishes, Front

StillViolates = Callable[[Sequence[Operation]], bool]
"""Judges some operations of a history as if they were all of it."""


@dataclass(frozen=True, slots=True)
class Witness:
    """The operations that contradict each other, the sentence, and the session if there is one."""

    operations: tuple[Operation, ...]
    explanation: str
    session: str | None


def explain(finding: Finding, *, origin: Instant, still_violates: StillViolates) -> Witness:
    """Put a finding into words; times in the sentence are seconds since ``origin`` (ns)."""
    return _Explainer(_Words(origin), still_violates).explain(finding)


class _Words:
    """How operations, jobs and times read in a sentence."""

    def __init__(self, origin: Instant) -> None:
        self._origin = origin

    def at(self, instant: Instant) -> str:
        if instant in (math.inf, -math.inf):
            return "the end" if instant > 0 else "the beginning"
        seconds = f"{(instant - self._origin) / 1e9:.9f}"
        whole, _, fraction = seconds.partition(".")
        # Microseconds say enough, except in histories that are shorter than that.
        digits = fraction[:6] if int(whole) or int(fraction[:6]) else fraction
        return f"{whole}.{digits.rstrip('0') or '0'} s"

    def span(self, operation: Operation) -> str:
        if operation.returned_ns is None:
            return f"from {self.at(operation.invoked_ns)}, answer unknown"
        return f"{self.at(operation.invoked_ns)} to {self.at(operation.returned_ns)}"

    def told(self, operation: Operation) -> str:
        """Say what one operation was told, by whom and when."""
        what = f"{operation.operation} by {operation.client} ({self.span(operation)})"
        if operation.outcome is Outcome.COMPLETED:
            return f'{what} showed "{operation.url}"'
        if operation.operation is OperationKind.UPDATE:
            return f'{what} with "{operation.url}" answered {operation.outcome}'
        return f"{what} answered {operation.outcome}"


class _Explainer:
    def __init__(self, words: _Words, still_violates: StillViolates) -> None:
        self._words = words
        self._still_violates = still_violates

    def explain(self, finding: Finding) -> Witness:
        match finding:
            case GrantedTwice():
                return self._granted_twice(finding.first, finding.second)
            case NeverGranted():
                return self._never_granted(finding.job)
            case Contradiction():
                return self._contradiction(finding.job)
            case Overlap():
                return self._overlap(finding.one, finding.other, ())
            case NoOrder():
                return self._no_order(finding)

    def _granted_twice(self, first: Operation, second: Operation) -> Witness:
        session = first.session if first.session == second.session else None
        text = (
            f"job {first.job} was granted twice: {self._words.told(first)} and "
            f"{self._words.told(second)}"
        )
        return Witness((first, second), text, session)

    def _never_granted(self, job: Job) -> Witness:
        seen = _known(job.seen)
        text = (
            f"job {job.name} was never granted by any publish of the history, "
            f"yet {self._words.told(seen)}"
        )
        return Witness((seen,), text, job.session)

    def _contradiction(self, job: Job) -> Witness:
        hull = hull_of(job, live_worker=True)
        completed = job.completed_by()
        if hull.grant_from > hull.grant_until and job.missed and job.seen:
            return self._of_job(
                job,
                [job.seen, job.missed],
                f"job {job.name} existed by {self._words.at(hull.grant_until)} "
                f"({self._words.told(job.seen)}), yet {self._words.told(job.missed)}",
            )
        if completed and job.active and job.active.invoked_ns > returned(completed):
            return self._of_job(
                job,
                [completed, job.active],
                f"job {job.name} was completed by {self._words.at(returned(completed))} "
                f"({self._words.told(completed)}), yet {self._words.told(job.active)}",
            )
        first = job.first_update()
        if completed and (first is None or first.invoked_ns > returned(completed)):
            why = "no update of it was ever sent"
            if first:
                why = f"its first update was sent at {self._words.at(first.invoked_ns)}"
            text = f"{self._words.told(completed)} for job {job.name}, although {why}"
            alone = self._of_job(job, [completed, *([first] if first else [])], text)
            if self._still_violates(alone.operations):
                return alone
        return self._search(job)

    def _search(self, job: Job) -> Witness:
        """Explain a contradiction among several URLs or refused updates of one job."""
        operations = list(job.operations())
        grants = [job.grant]
        if job.successor is not None:
            operations += job.successor.operations()
            grants.append(job.successor.grant)
        operations = self._minimal(operations, grants)
        told = "; ".join(self._words.told(o) for o in operations if o is not job.grant)
        return Witness(
            tuple(operations),
            f"no order explains what was told of job {job.name}: {told}",
            job.session,
        )

    def _of_job(self, job: Job, operations: Iterable[Operation], text: str) -> Witness:
        grant = [job.grant] if job.grant else []
        return Witness(_in_time([*grant, *operations]), text, job.session)

    def _no_order(self, finding: NoOrder) -> Witness:
        conflict = finding.conflict
        if not conflict.jobs:
            front = conflict.after[0]
            busy = finding.session.busy.first_to_return(after=front.held_until)
            return self._busy_while_free(finding.name, front, busy, None)
        for window in conflict.jobs:
            for front in conflict.after:
                earliest = max(window.grant_from, front.free_from)
                bound = front.bound_by
                if earliest > window.grant_until and bound and bound.job.grant and window.job.grant:
                    witness = self._overlap(bound, window, finding.jobs)
                    if self._still_violates(witness.operations):
                        return witness
                elif len(conflict.jobs) == len(conflict.after) == 1 and _is_gap(
                    finding.session.busy, front.held_until, earliest
                ):
                    busy = finding.session.busy.first_to_return(after=front.held_until)
                    return self._busy_while_free(finding.name, front, busy, window)
        return self._no_order_at_all(finding)

    def _busy_while_free(
        self, session: str | None, front: Front, busy: Operation, following: Window | None
    ) -> Witness:
        last = front.last
        completed = last.job.completed_by() if last else None
        before = "no job was granted before"
        if last and completed:
            before = (
                f"job {last.job.name} was completed by {self._words.at(front.held_until)} "
                f"({self._words.told(completed)})"
            )
        after = "no other job can have held the session"
        granted: list[Operation] = []
        if following:
            granted = [*_some(following.job.grant), *_some(_bounding_grant(following))]
            after = (
                f"the next job {following.job.name} was granted no earlier than "
                f"{self._words.at(max(following.grant_from, front.free_from))}"
            )
        text = (
            f"{self._words.told(busy)} although the session was certainly free: {before}, "
            f"and {after}"
        )
        operations = _in_time([*_some(completed), busy, *granted])
        if not self._still_violates(operations):
            operations = (busy,)
        return Witness(operations, text, session)

    def _overlap(self, one: Window, other: Window, jobs: tuple[Window, ...]) -> Witness:
        held, second = sorted((one, other), key=lambda window: window.grant_until)
        until = _bounding_completion(held)
        granted = second.job.grant
        text = (
            f"job {held.job.name} certainly held the session from "
            f"{self._words.at(held.grant_until)} to {self._words.at(held.completed_from)}; job "
            f"{second.job.name} was granted meanwhile ({self._words.told(_known(granted))})"
        )
        suspect = _suspect(held, second, jobs)
        if suspect:
            text += f"; suspect: {self._words.told(suspect)} for job {suspect.job}"
        operations = [held.job.grant, held.job.seen, until, granted]
        alone = _in_time(operation for operation in operations if operation)
        if held.job.grant and self._still_violates(
            _in_time([held.job.grant, *_some(until), *_some(granted)])
        ):
            alone = _in_time([held.job.grant, *_some(until), *_some(granted)])
        elif not self._still_violates(alone):
            alone = _in_time(
                [*alone, *_some(second.job.seen), *_some(_bounding_completion(second))]
            )
        return Witness(alone, text, held.job.session)

    def _no_order_at_all(self, finding: NoOrder) -> Witness:
        jobs = [window.job for window in finding.jobs]
        operations = [*finding.session.busy.operations, *finding.session.untold]
        operations += [operation for job in jobs for operation in job.operations()]
        grants = [job.grant for job in jobs]
        operations = self._minimal(operations, grants)
        told = "; ".join(map(self._words.told, operations[:5]))
        more = "" if len(operations) <= 5 else f"; and {len(operations) - 5} more"
        text = f"no order of the jobs of the session explains all of: {told}{more}"
        return Witness(tuple(operations), text, finding.name)

    def _minimal(
        self, operations: Iterable[Operation], grants: Iterable[Operation | None]
    ) -> list[Operation]:
        """Drop what is not needed, what explains least first: reads, then updates, then grants."""
        kept = list(dict.fromkeys(operations))
        first_grants = {id(grant) for grant in grants}
        reads, updates, granting = [], [], []
        for operation in kept:
            if id(operation) in first_grants:
                granting.append(operation)
            elif operation.operation is OperationKind.UPDATE:
                updates.append(operation)
            else:
                reads.append(operation)
        for droppable in (reads, updates, granting):
            kept = self._without(kept, droppable)
        return list(_in_time(kept))

    def _without(self, kept: list[Operation], droppable: list[Operation]) -> list[Operation]:
        """Drop from ``kept`` as many of the droppable as possible, halves before single ones."""
        size = len(droppable)
        while size:
            for start in range(0, len(droppable), size):
                chunk = {id(operation) for operation in droppable[start : start + size]}
                rest = [operation for operation in kept if id(operation) not in chunk]
                if rest and len(rest) < len(kept) and self._still_violates(rest):
                    kept = rest
            size //= 2
        return kept


def _bounding_completion(window: Window) -> Operation | None:
    """Give the operation before whose invocation the job cannot have been completed."""
    job = window.job
    if job.active and job.active.invoked_ns >= window.completed_from:
        return job.active
    return job.first_update()


def _bounding_grant(window: Window) -> Operation | None:
    """Give the status before whose invocation the job cannot have been granted, if one says so."""
    missed = window.job.missed
    return missed if missed and missed.invoked_ns >= window.grant_from else None


def _suspect(held: Window, second: Window, jobs: tuple[Window, ...]) -> Operation | None:
    """Find the update of another job that may have freed the session by mistake."""
    granted = second.job.grant
    if granted is None:
        return None
    meanwhile = [
        update
        for window in jobs
        if window.job is not held.job and window.job is not second.job
        for update in (*window.job.updates, *window.job.refused_updates)
        if returned(update) >= held.grant_from and update.invoked_ns <= returned(granted)
    ]
    return max(meanwhile, key=lambda update: update.invoked_ns, default=None)


def _is_gap(busy: BusyPublishes, after: Instant, before: Instant) -> bool:
    return busy.first_return(after=after) < before


def _known(operation: Operation | None) -> Operation:
    if operation is None:
        raise ValueError("the finding rests on an operation that was recorded")
    return operation


def _some(operation: Operation | None) -> Iterator[Operation]:
    if operation is not None:
        yield operation


def _in_time(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple(sorted(dict.fromkeys(operations), key=lambda o: (o.invoked_ns, returned(o))))
