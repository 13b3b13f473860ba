"""Which update completed a job, told by the URLs that were read of it.

The first update completes the job and sets its URL; a later one replaces the URL or keeps it.  As
long as one URL is read the answer is a comparison.  Only for several URLs is a search needed: a
just-in-time search (Lowe 2017) that changes the URL only when a return forces it and places
every read as soon as it is legal.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onejob_contract.history import Operation, Outcome
from onejob_contract.linearizability.budget import Budget

WORKER = -1
"""Stands for the one update of a live worker, whose URL nobody knows before it is read."""


def earliest_completion(
    updates: Sequence[Operation],
    reads: Sequence[Operation],
    *,
    worker_from: float | None,
    latest: float,
    budget: Budget,
) -> float | None:
    """Give the earliest instant at which the job can have been completed; None if at none.

    ``updates`` are those that took effect or may have; ``worker_from`` is the first instant at
    which a live worker could have completed the job, None without one; ``latest`` is the instant
    by which the job certainly was completed.  Any instant from the answer to ``latest`` will do.
    """
    shown = {read.url for read in reads}
    starts = sorted((update.invoked_ns, index) for index, update in enumerate(updates))
    if len(shown) <= 1:
        if worker_from is not None:
            return worker_from
        if reads and not _was_written(updates, reads):
            return None
        return starts[0][0] if starts else math.inf
    search = _Search(
        updates, reads, has_worker=worker_from is not None, latest=latest, budget=budget
    )
    if worker_from is not None and any(
        search.explains(url, WORKER) for url in sorted(map(str, shown))
    ):
        return worker_from
    for invoked, index in starts:
        if invoked <= latest and search.explains(updates[index].url, index):
            return invoked
    return None


def _was_written(updates: Sequence[Operation], reads: Sequence[Operation]) -> bool:
    """Say whether the one URL that was read was set by an update invoked by the first return."""
    shown = reads[0].url
    first_return = min(_returned(read) for read in reads)
    return any(update.url == shown and update.invoked_ns <= first_return for update in updates)


def _returned(operation: Operation) -> float:
    if operation.returned_ns is None or operation.outcome is Outcome.UNKNOWN:
        return math.inf
    return operation.returned_ns


@dataclass(frozen=True, slots=True)
class _Point:
    """One possible past: the present URL, the updates used up, the open reads not yet placed."""

    url: str | None
    used: frozenset[int]
    waiting: frozenset[int]


class _Search:
    """The search over the instants after the completion.

    The completion may be as late as ``latest`` and every operation that follows it returns no
    earlier, so the search starts there with everything invoked so far open.
    """

    def __init__(
        self,
        updates: Sequence[Operation],
        reads: Sequence[Operation],
        *,
        has_worker: bool,
        latest: float,
        budget: Budget,
    ) -> None:
        self._updates = updates
        self._reads = reads
        self._budget = budget
        self._open: set[int] = {WORKER} if has_worker else set()
        # At one instant invocations (0) come before returns (1): intervals are closed.
        events: list[tuple[float, int, bool, int]] = []
        for is_read, operations in ((False, updates), (True, reads)):
            for index, operation in enumerate(operations):
                events.append((max(operation.invoked_ns, latest), 0, is_read, index))
                if _returned(operation) < math.inf:
                    events.append((_returned(operation), 1, is_read, index))
        self._events = sorted(events)

    def explains(self, url: str | None, completer: int) -> bool:
        """Say whether all reads can be placed if this update completes the job with this URL."""
        points = {_Point(url, frozenset({completer}), frozenset())}
        self._open &= {WORKER}
        for _, is_return, is_read, index in self._events:
            if is_read:
                follow = self._read_returns if is_return else self._read_begins
                points = {after for point in points for after in follow(point, index)}
            elif is_return:
                points = {after for point in points for after in self._update_returns(point, index)}
                self._open.discard(index)
            else:
                self._open.add(index)
            if not points:
                return False
        return True

    def _read_begins(self, point: _Point, read: int) -> Iterator[_Point]:
        placed = self._reads[read].url == point.url
        waiting = point.waiting if placed else point.waiting | {read}
        yield _Point(point.url, point.used, waiting)

    def _read_returns(self, point: _Point, read: int) -> Iterator[_Point]:
        yield from (near for near in self._reachable(point) if read not in near.waiting)

    def _update_returns(self, point: _Point, update: int) -> Iterator[_Point]:
        yield _Point(point.url, point.used - {update}, point.waiting)
        if update not in point.used:
            for near in self._reachable(point):
                if update not in near.used:
                    after = self._switch(near, update, self._updates[update].url)
                    yield _Point(after.url, after.used - {update}, after.waiting)

    def _reachable(self, point: _Point) -> set[_Point]:
        """Give this point and all that changes of the URL reach, each of which places a read."""
        reached = {point}
        todo = [point]
        while todo:
            self._budget.spend()
            here = todo.pop()
            for url in {self._reads[read].url for read in here.waiting}:
                for update in self._ways_to(url, here.used):
                    after = self._switch(here, update, url)
                    if after not in reached:
                        reached.add(after)
                        todo.append(after)
        return reached

    def _ways_to(self, url: str | None, used: frozenset[int]) -> Iterator[int]:
        if WORKER in self._open - used:
            yield WORKER
        setters = (u for u in self._open - used - {WORKER} if self._updates[u].url == url)
        # Of several the one that returns first: the others stay usable for longer.
        first = min(setters, key=lambda u: (_returned(self._updates[u]), u), default=None)
        if first is not None:
            yield first

    def _switch(self, point: _Point, update: int, url: str | None) -> _Point:
        waiting = frozenset(read for read in point.waiting if self._reads[read].url != url)
        return _Point(url, point.used | {update}, waiting)
