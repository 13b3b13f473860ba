"""In which order jobs can have held their session, and whether every busy meets a holder.

For one fixed order of jobs the question is arithmetic.  Going through the order, the grant of a
job can be no earlier than the latest lower bound so far and must not be later than its own upper
bound; between two jobs the session was certainly free only after the one was completed at the
latest and before the next was granted at the earliest, and no busy may lie strictly inside.
`follow` is that step.

Jobs whose windows do not overlap leave one order, and the pass over them is linear.  Only inside
a cluster of overlapping windows are orders searched, by sets of jobs already placed, without
those orders that a dominating job rules out.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from onejob_contract.history import Operation
from onejob_contract.linearizability.budget import Budget
from onejob_contract.linearizability.jobs import Instant, Window, returned

_NARROW = 16
"""How many sets of placed jobs the first, hopeful search keeps."""

Candidate = tuple[Window, ...]
"""One job: the windows of which one holds."""


@dataclass(frozen=True, slots=True)
class Front:
    """What the jobs placed so far leave to the next.

    The session is free at ``free_from`` at the earliest; it may have been held up to
    ``held_until``; ``untold`` publishes of unknown outcome are used up.  ``bound_by`` and ``last``
    are the windows behind the two instants, for the explanation.
    """

    free_from: Instant = -math.inf
    held_until: Instant = -math.inf
    untold: int = 0
    bound_by: Window | None = field(default=None, compare=False)
    last: Window | None = field(default=None, compare=False)

    def at_least_as_good_as(self, other: "Front") -> bool:
        """Say whether whatever can follow the other front can follow this one."""
        return (
            self.free_from <= other.free_from
            and self.held_until >= other.held_until
            and self.untold <= other.untold
        )


class BusyPublishes:
    """The busy publishes that met no certain holder, ready for one question."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = sorted(operations, key=lambda busy: busy.invoked_ns)
        self._invoked = [busy.invoked_ns for busy in self.operations]
        returns = [returned(busy) for busy in reversed(self.operations)]
        self._first_return = [*accumulate(returns, min)][::-1]

    def first_return(self, *, after: Instant) -> Instant:
        """Give the earliest return of a busy invoked after an instant; infinity if none was."""
        index = bisect_right(self._invoked, after)
        return self._first_return[index] if index < len(self._invoked) else math.inf

    def first_to_return(self, *, after: Instant) -> Operation:
        """Give the busy that `first_return` speaks of; raises ValueError if there is none."""
        return min(self.operations[bisect_right(self._invoked, after) :], key=returned)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Where no order goes on: the jobs that could come next, none of which can."""

    jobs: tuple[Window, ...]
    after: tuple[Front, ...]


class Session:
    """One session's busy publishes and unknown publishes, against which orders are tried."""

    def __init__(
        self,
        busy: Iterable[Operation],
        untold: Iterable[Operation],
        *,
        live_worker: bool,
        budget: Budget,
    ) -> None:
        self.busy = BusyPublishes(busy)
        self.untold = sorted(untold, key=lambda publish: publish.invoked_ns)
        self._live_worker = live_worker
        self._budget = budget

    def arrange(
        self, fronts: tuple[Front, ...], groups: Sequence[list[Candidate]], *, to_the_end: bool
    ) -> tuple[Front, ...] | Conflict:
        """Place all `clusters` after the given fronts; with ``to_the_end`` nothing follows."""
        if to_the_end:
            # Most searches need few fronts; only a failure has to be sure that it saw all.
            narrow = self._arrange(fronts, groups, width=_NARROW)
            if not isinstance(narrow, Conflict) and any(map(self._can_end, narrow)):
                return narrow
        result = self._arrange(fronts, groups, width=None)
        if isinstance(result, Conflict):
            return result
        if to_the_end and not any(map(self._can_end, result)):
            return Conflict((), result)
        return result

    def _arrange(
        self, fronts: tuple[Front, ...], groups: Sequence[list[Candidate]], width: int | None
    ) -> tuple[Front, ...] | Conflict:
        for cluster in groups:
            following = self._place_cluster(fronts, cluster, width)
            if isinstance(following, Conflict):
                return following
            fronts = following
        return fronts

    def follow(self, front: Front, window: Window) -> Front | None:
        """Place one job after a front; None if it cannot come next."""
        untold = front.untold
        earliest = max(window.grant_from, front.free_from)
        if window.granted_untold:
            if untold == len(self.untold):
                return None
            earliest = max(earliest, self.untold[untold].invoked_ns)
            untold += 1
        if earliest > window.grant_until:
            return None
        if self.busy.first_return(after=front.held_until) < earliest:
            # Only a job that nobody was told of can have held the session meanwhile.
            filled = self._fill(front) if self._live_worker else None
            return None if filled is None else self.follow(filled, window)
        moved = window.completed_from >= earliest
        return Front(
            free_from=max(window.completed_from, earliest),
            held_until=window.completed_until,
            untold=untold,
            bound_by=window if moved else front.bound_by,
            last=window,
        )

    def _fill(self, front: Front) -> Front | None:
        if front.untold == len(self.untold):
            return None
        granted = max(front.free_from, self.untold[front.untold].invoked_ns)
        if self.busy.first_return(after=front.held_until) < granted:
            return None
        return Front(granted, math.inf, front.untold + 1)

    def _can_end(self, front: Front) -> bool:
        rest = self.busy.first_return(after=front.held_until)
        return rest == math.inf or self._fill(front) is not None

    def _place_cluster(
        self, fronts: tuple[Front, ...], cluster: Sequence[Candidate], width: int | None
    ) -> tuple[Front, ...] | Conflict:
        placed: dict[int, tuple[Front, ...]] = {0: fronts}
        for _ in cluster:
            following: dict[int, list[Front]] = {}
            tried: dict[int, tuple[Front, ...]] = {}
            for done, here in placed.items():
                for index in _next_jobs(cluster, done):
                    self._budget.spend()
                    afters = [
                        after
                        for front in here
                        for window in cluster[index]
                        if (after := self.follow(front, window)) is not None
                    ]
                    following.setdefault(done | 1 << index, []).extend(afters)
                    tried[index] = here
            best = {done: _best(afters) for done, afters in following.items() if afters}
            if width is not None and len(best) > width:
                best = dict(sorted(best.items(), key=_promise)[:width])
            placed = best
            if not placed:
                jobs = tuple(cluster[index][0] for index in tried)
                return Conflict(jobs, tuple(front for here in tried.values() for front in here))
        (fronts,) = placed.values()
        return fronts


def clusters(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """Group jobs so that every job of one group certainly precedes every job of the next."""
    group: list[Candidate] = []
    latest_grant = -math.inf
    for candidate in sorted(candidates, key=_sort_key):
        if group and min(window.completed_from for window in candidate) > latest_grant:
            yield group
            group = []
            latest_grant = -math.inf
        group.append(candidate)
        latest_grant = max(latest_grant, *(window.grant_until for window in candidate))
    if group:
        yield group


def _sort_key(candidate: Candidate) -> tuple[Instant, Instant, Instant, Instant]:
    first = min(candidate, key=lambda window: window.completed_from)
    return (first.completed_from, first.grant_until, first.grant_from, first.completed_until)


def _next_jobs(cluster: Sequence[Candidate], done: int) -> Iterator[int]:
    """Give the jobs that may come next: none that must follow, none that is dominated."""
    latest_grant = math.inf
    waiting: list[Window] = []
    first = (~done & (done + 1)).bit_length() - 1
    for index in range(first, len(cluster)):
        if done >> index & 1:
            continue
        candidate = cluster[index]
        if min(window.completed_from for window in candidate) > latest_grant:
            return
        latest_grant = min(latest_grant, max(window.grant_until for window in candidate))
        (window, *others) = candidate
        if others or window.granted_untold:
            yield index
        elif not any(other.no_later_than(window) for other in waiting):
            # Exchanging two jobs of which one is no later in every bound never hurts.
            waiting.append(window)
            yield index


def _promise(entry: tuple[int, tuple[Front, ...]]) -> tuple[Instant, Instant]:
    """Order sets of placed jobs: those that free the session first, and hold it longest."""
    _, fronts = entry
    first = min(fronts, key=lambda front: front.free_from)
    return (first.free_from, -first.held_until)


def _best(fronts: Iterable[Front]) -> tuple[Front, ...]:
    best: list[Front] = []
    for front in fronts:
        if not any(other.at_least_as_good_as(front) for other in best):
            best = [other for other in best if not front.at_least_as_good_as(other)]
            best.append(front)
    return tuple(best)
