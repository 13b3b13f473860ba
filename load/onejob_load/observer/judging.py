"""Whether the lock held: every session has its judge, fed while the run goes on.

Locality makes the split right (a history is linearizable when each session's is); it gives one
conviction a session instead of one a run.  Only that job ids are unique is asked across sessions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from onejob_contract.history import Operation, OperationKind, Outcome, operation_to_json
from onejob_contract.linearizability import Judge, Judgement, Verdict, judge

BUDGET_S: Final = 5.0
"""Seconds of searching for one session; a harder one stays undecided."""
EXPLAINED: Final = 5
"""How many violations are explained; the others are counted, since one cause often has many."""
BUSY_WHEN_FREE: Final = "busy on a free session"


@dataclass(frozen=True, slots=True)
class Violation:
    """One session whose lock did not hold: the kind in two words, why, and the witness."""

    kind: str
    session: str
    explanation: str
    witness: tuple[Operation, ...]

    def as_json(self) -> dict[str, Any]:
        """Give the violation as a JSON object."""
        return {
            "kind": self.kind,
            "session": self.session,
            "explanation": self.explanation,
            "witness": [operation_to_json(operation) for operation in self.witness],
        }


class Bench:
    """The judges of one machine's sessions, whose operations one clock has stamped."""

    def __init__(self, *, live_worker: bool) -> None:
        self.violations: list[Violation] = []
        self.violated: set[str] = set()
        self.undecided = 0
        self._live_worker = live_worker
        self._judges: dict[str, Judge] = {}
        self._granted: dict[str, Operation] = {}
        self._waiting: list[Operation] = []
        self._watermarks: dict[str, float] = {}
        self._cut = False

    @property
    def sessions(self) -> int:
        """How many sessions have a judge."""
        return len(self._judges)

    def take(
        self, generator: str, operations: Iterable[Operation], watermark_ns: float
    ) -> list[Operation]:
        """Take in a batch; give the operations that settled, in the order of their returns.

        An operation is settled once no generator of the machine can tell of one invoked earlier.
        """
        if self._cut:
            return []
        self._waiting.extend(operations)
        self._watermarks[generator] = watermark_ns
        return self._settle(min(self._watermarks.values()))

    def lose(self, generator: str) -> None:
        """Judge the machine up to the last word of a generator that died, and no further.

        What it did after that nobody knows, so what others saw later has no explanation.
        """
        watermark = self._watermarks.get(generator)
        if watermark is None or watermark == math.inf:
            return
        self._settle(watermark)
        self._cut = True
        pending = [_pending(one) for one in self._waiting if one.invoked_ns < watermark]
        self._feed(one for one in pending if one is not None)
        self._waiting.clear()

    def void(self) -> None:
        """Judge nothing: somebody of whom nothing is known shared the sessions."""
        self._cut = True
        self.violations, self.violated, self.undecided = [], set(), 0
        self._judges.clear()
        self._waiting.clear()

    def finish(self) -> list[Operation]:
        """Judge everything as a whole history; give what settled with it."""
        settled = [] if self._cut else self._settle(math.inf)
        for session, one in self._judges.items():
            if session not in self.violated:
                judgement = one.judgement()
                self.undecided += judgement.verdict is Verdict.UNDECIDED
                if judgement.verdict is Verdict.VIOLATION:
                    self._convict(session, judgement)
        return settled

    def _settle(self, watermark: float) -> list[Operation]:
        settled: list[Operation] = []
        waiting: list[Operation] = []
        for operation in self._waiting:
            (settled if _end(operation) < watermark else waiting).append(operation)
        self._waiting = waiting
        settled.sort(key=_end)
        touched = self._feed(settled)
        if watermark != math.inf:
            until = int(min(watermark, *(one.invoked_ns for one in waiting), math.inf))
            for session in touched:
                self._advance(session, until)
        return settled

    def _feed(self, operations: Iterable[Operation]) -> Iterable[str]:
        by_session: defaultdict[str, list[Operation]] = defaultdict(list)
        for operation in operations:
            if operation.session is not None and operation.session not in self.violated:
                by_session[operation.session].append(operation)
                if operation.outcome is Outcome.GRANTED:
                    self._must_be_new(operation)
        for session, ones in by_session.items():
            if session not in self._judges:
                self._judges[session] = Judge(live_worker=self._live_worker, budget_s=BUDGET_S)
            self._judges[session].extend(ones)
        return by_session

    def _advance(self, session: str, watermark_ns: int) -> None:
        one = self._judges[session]
        one.advance(watermark_ns)
        if one.convicted and session not in self.violated:
            explain = len(self.violations) < EXPLAINED
            self._convict(session, one.judgement() if explain else None)

    def _must_be_new(self, grant: Operation) -> None:
        first = self._granted.setdefault(str(grant.job), grant)
        if first.session != grant.session and grant.session is not None:
            self._convict(grant.session, judge((first, grant)))

    def _convict(self, session: str, judgement: Judgement | None) -> None:
        self.violated.add(session)
        if judgement is not None and len(self.violations) < EXPLAINED:
            self.violations.append(
                Violation(
                    _kind(judgement.witness), session, judgement.explanation, judgement.witness
                )
            )


def _end(operation: Operation) -> int:
    """When an operation is known to be over; one of unknown outcome may be from its start."""
    return operation.invoked_ns if operation.returned_ns is None else operation.returned_ns


def _pending(operation: Operation) -> Operation | None:
    """Give the operation as it looked before its return; None if it can have changed nothing."""
    if operation.operation is OperationKind.STATUS:
        return None
    job = operation.job if operation.operation is OperationKind.UPDATE else None
    return Operation(
        operation.session,
        operation.client,
        operation.operation,
        job,
        operation.url,
        operation.invoked_ns,
        None,
        Outcome.UNKNOWN,
    )


_KINDS: Final[Mapping[Outcome, str]] = {
    Outcome.BUSY: BUSY_WHEN_FREE,
    Outcome.COMPLETED: "wrong result",
    Outcome.NOT_FOUND: "lost job",
    Outcome.PROCESSING: "lost completion",
}


def _kind(witness: tuple[Operation, ...]) -> str:
    granted = [one.job for one in witness if one.outcome is Outcome.GRANTED]
    if len(granted) > len(set(granted)):
        return "job id granted twice"
    outcomes = {one.outcome for one in witness}
    if len(granted) > 1 and Outcome.BUSY not in outcomes:
        return "double grant"
    return next((kind for outcome, kind in _KINDS.items() if outcome in outcomes), "contradiction")
