"""Which sessions are stuck: their job does not end, or they stay busy after it ended.

The first is no fault of the lock and has no deadline in the document; the run states one. The
second breaks the lock, and the judge convicts it at its first refusal; this says whether the
session ever came back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from onejob_contract.history import Operation, OperationKind, Outcome

STUCK_AFTER_S: Final = 1.0
"""Seconds of nothing but refusals from which on a free session counts as stuck."""


@dataclass(slots=True)
class _Session:
    """The job granted last and when, and when it was seen completed (ns).

    Nothing more can be said once a publish, which may hold the session, got no answer.
    """

    job: str
    granted_ns: int
    freed_ns: int | None = None
    is_clear: bool = True


class Stuck:
    """Follows settled operations in the order of their returns.

    A job of a live worker is given `job_timeout` seconds; None where we complete the jobs.
    """

    def __init__(self, job_timeout: float | None) -> None:
        self.completed = 0
        self._job_timeout = job_timeout
        self._sessions: dict[str, _Session] = {}
        self._busy_for_good: set[str] = set()
        self._overdue: dict[str, str] = {}

    def follow(self, operation: Operation) -> None:
        """Take in one operation."""
        name, at_ns = operation.session, operation.returned_ns
        if name is None:
            return
        if operation.outcome is Outcome.GRANTED and at_ns is not None:
            self._sessions[name] = _Session(str(operation.job), at_ns)
            self._busy_for_good.discard(name)
            return
        session = self._sessions.get(name)
        if session is None:
            return
        if at_ns is None:
            session.is_clear &= operation.operation is not OperationKind.PUBLISH
        elif session.freed_ns is None:
            self._looked_after(name, session, operation, at_ns)
        elif (
            operation.outcome is Outcome.BUSY
            and session.is_clear
            and operation.invoked_ns - session.freed_ns >= STUCK_AFTER_S * 1e9
        ):
            self._busy_for_good.add(name)

    def busy_for_good(self) -> set[str]:
        """Give the sessions that were not granted again since a completion that was answered."""
        return self._busy_for_good

    def overdue(self) -> Mapping[str, str]:
        """Give the sessions whose job outlived its time, each with the sentence that says so."""
        return self._overdue

    def _looked_after(self, name: str, session: _Session, operation: Operation, at_ns: int) -> None:
        if operation.job != session.job:
            return
        if _completes(operation):
            self.completed += 1
            session.freed_ns = at_ns
        elif operation.outcome is Outcome.PROCESSING and self._job_timeout is not None:
            held_s = (operation.invoked_ns - session.granted_ns) / 1e9
            if held_s > self._job_timeout:
                self._overdue[name] = (
                    f"job {session.job} was still processing {held_s:.1f} s after its grant, "
                    f"longer than the {self._job_timeout:g} s of --job-timeout"
                )


def _completes(operation: Operation) -> bool:
    is_update = operation.operation is OperationKind.UPDATE
    return operation.outcome is (Outcome.OK if is_update else Outcome.COMPLETED)
