"""The oracle: linearizability of a small history by trying every order the model allows.

It shares with the judge nothing but the model, and knows no intervals, windows or dominance.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.model import SessionState, step

WORKERS_OWN_URL = "a URL nobody read"


def is_linearizable(operations: Sequence[Operation], *, live_worker: bool = False) -> bool:
    """Say whether some order of the operations, each within its interval, follows the model."""
    grants = [o.job for o in operations if o.outcome is Outcome.GRANTED]
    if len(grants) != len(set(grants)):
        return False
    return any(
        _every_session_has_an_order(complete, live_worker) for complete in _completions(operations)
    )


def _completions(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Give the history once for every way to name the jobs of its unknown publishes."""
    sessions = session_of_jobs(operations)
    untold = [o for o in operations if _is_untold_publish(o)]
    granted = {o.job for o in operations if o.outcome is Outcome.GRANTED}
    ungranted = sorted({o.job for o in operations if o.job is not None} - granted)
    names = [[f"job nobody was told of {i}", *ungranted] for i in range(len(untold))]
    for chosen in product(*names):
        if len(set(chosen)) < len(chosen):
            continue
        named = dict(zip(map(id, untold), chosen, strict=True))
        owner = {name: o.session for o, name in zip(untold, chosen, strict=True)}
        if any(sessions.get(name) not in (None, owner[name]) for name in chosen):
            continue
        yield [
            replace(
                operation,
                session=owner.get(operation.job or "") or sessions.get(operation.job or "")
                if operation.operation is not OperationKind.PUBLISH
                else operation.session,
                job=named.get(id(operation), operation.job),
            )
            for operation in operations
        ]


def session_of_jobs(operations: Sequence[Operation]) -> dict[str, str | None]:
    """A job belongs to the session of its grant, else to the one first stated with it.

    A not_found and an operation without an answer say nothing, not even that.
    """
    stated = [
        (o.outcome is not Outcome.GRANTED, o.invoked_ns, o.session, o.job)
        for o in operations
        if o.job is not None
        and o.session is not None
        and o.outcome not in (Outcome.NOT_FOUND, Outcome.UNKNOWN)
    ]
    return {str(job): session for _, _, session, job in sorted(stated, reverse=True)}


def _is_untold_publish(operation: Operation) -> bool:
    return operation.operation is OperationKind.PUBLISH and operation.outcome is Outcome.UNKNOWN


def _every_session_has_an_order(operations: list[Operation], live_worker: bool) -> bool:
    by_session: dict[str | None, list[Operation]] = {}
    for operation in operations:
        by_session.setdefault(operation.session, []).append(operation)
    return all(
        any(_has_order(history) for history in _with_worker(part, live_worker))
        for part in by_session.values()
    )


def _with_worker(operations: list[Operation], live_worker: bool) -> Iterator[list[Operation]]:
    """Add for each job one update of unknown outcome, with every URL that it can have had."""
    if not live_worker:
        yield operations
        return
    publishes = [
        o for o in operations if o.operation is OperationKind.PUBLISH and o.job is not None
    ]
    urls = [
        [
            WORKERS_OWN_URL,
            *sorted({o.url or "" for o in operations if o.job == publish.job and _is_read(o)}),
        ]
        for publish in publishes
    ]
    for chosen in product(*urls):
        yield operations + [
            Operation(
                session=publish.session,
                client="worker",
                operation=OperationKind.UPDATE,
                job=publish.job,
                url=url,
                invoked_ns=publish.invoked_ns,
                returned_ns=None,
                outcome=Outcome.UNKNOWN,
            )
            for publish, url in zip(publishes, chosen, strict=True)
        ]


def _is_read(operation: Operation) -> bool:
    return operation.outcome is Outcome.COMPLETED


def _has_order(operations: list[Operation]) -> bool:
    """Search depth first, remembering where it has been (Wing & Gong 1993, Lowe 2017)."""
    ends = [math.inf if o.returned_ns is None else o.returned_ns for o in operations]
    everything = (1 << len(operations)) - 1
    must = sum(1 << i for i, end in enumerate(ends) if end < math.inf)
    been: set[tuple[int, SessionState]] = set()
    todo = [(0, SessionState())]
    while todo:
        placed, state = todo.pop()
        if placed & must == must:
            return True
        if (placed, state) in been:
            continue
        been.add((placed, state))
        rest = [i for i in range(len(operations)) if (everything ^ placed) >> i & 1]
        first_end = min(ends[i] for i in rest)
        for i in rest:
            # At a shared instant both orders are possible: intervals are closed.
            if operations[i].invoked_ns <= first_end:
                todo += [(placed | 1 << i, after) for after in step(state, operations[i])]
    return False
