"""What the one model allows several sessions to answer, after everything they have answered."""

from __future__ import annotations

from typing import Final

from onejob_contract.documented import Answer
from onejob_contract.findings import Unobservable, Violation
from onejob_contract.history import OperationKind
from onejob_contract.iut import Iut, Seen
from onejob_contract.model import SessionState, expected
from onejob_contract.model import step as follow
from onejob_contract.steps import ANSWERS, operation_of

_NEW: Final = frozenset({SessionState()})


class Expectations:
    """Every state that the model allows each session. Not for sessions that others use too."""

    def __init__(self, iut: Iut) -> None:
        self._iut = iut
        self._states: dict[str, frozenset[SessionState]] = {}
        self.owner: dict[str, str] = {}

    def is_held(self, session: str) -> bool:
        """Whether a job may be active in the session."""
        return any(state.holder for state in self._states.get(session, _NEW))

    def allowed(self, session: str, kind: OperationKind, job: str | None = None) -> set[Answer]:
        """The right answers to a well-formed request that names this session or its job."""
        answers = {
            ANSWERS[kind, outcome]
            for state in self._states.get(session, _NEW)
            for outcome in expected(state, kind, job)
        }
        if {Answer.UPDATED, Answer.UNKNOWN_JOB} <= answers:
            answers.add(Answer.MISSING_FIELD)  # a late report may be answered anything documented
        return answers

    def follow(self, session: str, seen: Seen) -> None:
        """Move on after one of the allowed answers, in which only the URL can still be wrong.

        Raises Violation(STATUS-RESULT-URL), or Unobservable where the server's own worker set it.
        """
        step = seen.step
        operation = operation_of(step, "expected")
        if operation is None:
            return
        before = self._states.get(session, _NEW)
        after = frozenset(state for one in before for state in follow(one, operation))
        if not after:
            self._blame_url(seen, {state.url_of(step.job) or "" for state in before})
        self._states[session] = after
        if step.granted_job is not None:
            self.owner[step.granted_job] = session

    def _blame_url(self, seen: Seen, urls: set[str]) -> None:
        read = seen.reading.member("image_url")
        if self._iut.run.has_worker and self._iut.run.is_foreign(read):
            raise Unobservable("the server's own worker finished the job first", again=True)
        raise Violation(
            "STATUS-RESULT-URL",
            "image_url " + " or ".join(map(repr, sorted(urls))),
            f"image_url {read!r}",
            self._iut.trace,
            allowed=frozenset({Answer.COMPLETED}),
        )
