"""The steps of a check: what was asked and said, and which operation of the history that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from onejob_contract.documented import Answer, Call, Reading
from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.wire import Exchange, Trouble

REQUEST_ID: Final = "X-Onejob-Request"
"""The header to look for in the server's log: run, check and number of the request."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a check with what it said: what a failure is explained and replayed from.

    `call` is None for a request outside the contract. `session` is the publish's session, `job`
    the argument of status and update, `url` the reported result URL.
    """

    call: Call | None
    exchange: Exchange
    reading: Reading
    session: str | None = None
    job: str | None = None
    url: str | None = None

    @property
    def answer(self) -> Answer | None:
        """The documented answer, if it was one."""
        return self.reading.answer

    @property
    def granted_job(self) -> str | None:
        """The jobId a publish was granted."""
        return self.reading.member("jobId") if self.answer is Answer.GRANTED else None


def request_id(step: Step) -> str:
    """The id under which the server's log may know the request."""
    return dict(step.exchange.request.headers).get(REQUEST_ID, "")


ANSWERS: Final = {
    (OperationKind.PUBLISH, Outcome.GRANTED): Answer.GRANTED,
    (OperationKind.PUBLISH, Outcome.BUSY): Answer.BUSY,
    (OperationKind.UPDATE, Outcome.OK): Answer.UPDATED,
    (OperationKind.UPDATE, Outcome.NOT_FOUND): Answer.UNKNOWN_JOB,
    (OperationKind.STATUS, Outcome.PROCESSING): Answer.PROCESSING,
    (OperationKind.STATUS, Outcome.COMPLETED): Answer.COMPLETED,
    (OperationKind.STATUS, Outcome.NOT_FOUND): Answer.NOT_FOUND,
}
"""The documented answer behind each outcome that a history knows."""
_OUTCOMES: Final = {answer: outcome for (_, outcome), answer in ANSWERS.items()}
_KINDS: Final = {
    Call.PUBLISH: OperationKind.PUBLISH,
    Call.UPDATE: OperationKind.UPDATE,
    Call.STATUS: OperationKind.STATUS,
}


def operation_of(step: Step, who: str) -> Operation | None:
    """A step as an operation of the history, or None if it certainly changed and showed nothing.

    Refused requests have no effect (design: how to read the document, 6). A timeout, a reset, a
    5xx or an undocumented success may have taken effect, at any later time: its outcome is unknown.
    """
    exchange = step.exchange
    if step.call is None or step.call not in _KINDS or exchange.trouble is Trouble.REFUSED:
        return None
    kind = _KINDS[step.call]
    if (not step.session) if kind is OperationKind.PUBLISH else (step.job is None):
        return None
    outcome = _OUTCOMES.get(step.answer) if step.answer else None
    returned: int | None = exchange.returned_ns
    if outcome is None:
        unsure = exchange.response is None or exchange.response.status // 100 != 4
        if not unsure or kind is OperationKind.STATUS:
            return None
        outcome, returned = Outcome.UNKNOWN, None
    url = step.reading.member("image_url") if outcome is Outcome.COMPLETED else step.url
    return Operation(
        session=step.session,
        client=who,
        operation=kind,
        job=step.granted_job or step.job,
        url=url,
        invoked_ns=exchange.invoked_ns,
        returned_ns=returned,
        outcome=outcome,
    )


def without(
    operations: Iterable[Operation], sessions: Sequence[str], failed: Iterable[Step] = ()
) -> list[Operation]:
    """The history without some sessions and the jobs that were granted in them.

    Nor is there any busy that overlaps a publish of its session that `failed` in a documented way:
    a server cannot know that it will fail, and may keep others waiting by refusing them.
    """
    hidden = set(sessions)
    everything = list(operations)
    jobs = {op.job for op in everything if op.session in hidden and op.job is not None}
    attempts: defaultdict[str | None, list[Exchange]] = defaultdict(list)
    for step in failed:
        attempts[step.session].append(step.exchange)
    return [
        op
        for op in everything
        if op.session not in hidden
        and op.job not in jobs
        and not (op.outcome is Outcome.BUSY and _meets(op, attempts.get(op.session, ())))
    ]


def _meets(operation: Operation, exchanges: Iterable[Exchange]) -> bool:
    until = operation.returned_ns or operation.invoked_ns
    return any(
        exchange.invoked_ns <= until and operation.invoked_ns <= exchange.returned_ns
        for exchange in exchanges
    )
