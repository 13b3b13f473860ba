"""What no operation still to come can change: the part of a history that a judge may settle.

A watermark promises that every operation still to come was invoked then or later. With
``math.inf`` nothing more comes.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from onejob_contract.history import Operation, Outcome
from onejob_contract.linearizability.jobs import Instant, Job, Window, returned
from onejob_contract.linearizability.sections import Candidate


def settled_groups(groups: list[list[Candidate]], watermark: int, *, live_worker: bool) -> int:
    """Count the groups at the beginning whose place nothing to come can change."""
    settled = 0
    for index, (group, following) in enumerate(pairwise(groups)):
        ready = all(
            _is_settled(window, watermark, live_worker=live_worker)
            for windows in group
            for window in windows
        )
        if not ready or all(w.grant_until >= watermark for (w, *_) in following):
            break
        latest = max(_latest_completion_start(w) for (w, *_) in group)
        if all(_latest_completion_start(w) <= w.completed_from for (w, *_) in group):
            settled = index + 1
        elif len(group) > 1 or len(following) > 1 or latest > _core_start(following[0][0]):
            break
    return settled


def _is_settled(window: Window, watermark: int, *, live_worker: bool) -> bool:
    first = window.job.first_update()
    completable = live_worker or (first is not None and first.invoked_ns < watermark)
    return completable and window.grant_until < watermark


def _core_start(window: Window) -> Instant:
    return min(window.grant_until, window.completed_from)


def _latest_completion_start(window: Window) -> Instant:
    """Give the latest ``completed_from`` that URLs read in the future may still lead to."""
    starts = (u.invoked_ns for u in window.job.updates if u.invoked_ns <= window.completed_until)
    return max(window.completed_from, max(starts, default=-math.inf))


def unexplained(
    busy: list[Operation], groups: Sequence[list[Candidate]], watermark: Instant
) -> list[Operation]:
    """Keep the busy publishes that may lie where no job can have held the session.

    Between two jobs whose order is certain the session need not have been free but from the
    latest completion of the one to the earliest grant of the other; within a group of jobs whose
    order is open only the certain cores count.
    """
    held: list[tuple[Instant, Instant]] = []
    free_from = -math.inf
    for group, following in pairwise([*groups, []]):
        if any(window.granted_untold for (window, *_) in group):
            free_from = math.inf  # Its publish may bound it from below, and so all that follow.
        if _has_one_place(group, watermark) and free_from < math.inf:
            window = group[0][0]
            until = window.completed_until
            if following and not _has_one_place(following, watermark):
                first = min(w.grant_from for candidate in following for w in candidate)
                until = max(window.completed_from, min(until, first))
            held.append((max(window.grant_from, free_from), until))
        else:
            cores = ((w.grant_until, w.completed_from) for (w, *more) in group if not more)
            held += [(start, end) for start, end in cores if start < end]
        free_from = max(free_from, *(w.completed_from for windows in group for w in windows))
    if not held:
        return busy
    # Stable: of two that begin at one instant the one granted later counts.
    held.sort(key=lambda span: span[0])
    starts = [start for start, _ in held]
    ends = [-math.inf, *(end for _, end in held)]
    return [
        publish
        for publish in busy
        if (end := publish.returned_ns) is not None
        and ends[bisect_right(starts, end)] < publish.invoked_ns
    ]


def _has_one_place(group: list[Candidate], watermark: Instant) -> bool:
    """Say whether the group is one job whose grant nothing to come can move, and no choice."""
    if len(group) > 1 or len(group[0]) > 1:
        return False
    window = group[0][0]
    return not window.granted_untold and window.grant_until < watermark


def is_complete(job: Job, watermark: Instant) -> bool:
    """Say whether no operation still to come can have overlapped an answer about this job."""
    return all(
        operation.outcome is Outcome.UNKNOWN or returned(operation) < watermark
        for operation in job.operations()
    )


def says_nothing(job: Job, watermark: int) -> bool:
    """Say whether a job that nobody saw can be forgotten: a later grant contradicts nothing."""
    return (
        job.seen is None
        and not job.updates
        and all(operation.invoked_ns < watermark for operation in job.operations())
    )
