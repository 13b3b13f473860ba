"""Compare an answer with those that are right, and put the blame where it belongs.

A server may have a worker of its own that finishes jobs at any moment, so an answer that would be
wrong otherwise may be right because a job ended by itself. That is asked for before anybody is
accused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from onejob_contract.documented import Answer, Call, documented_text
from onejob_contract.findings import Interrupted, TargetGone, Unobservable, Violation
from onejob_contract.run import Run
from onejob_contract.steps import Step
from onejob_contract.wire import Request, Trouble

SERVER_ERROR: Final = 500
_NOT_IMPLEMENTED: Final = 501
_METHODS: Final = {"health": "GET", "publish": "POST", "status": "GET", "update_status": "POST"}
_FELLOWS: Final = 6
_ROBUST: Final = "ROBUST-"
_ROBUST_BY_PATH: Final = {
    "/publish": "ROBUST-PUBLISH-FORM",
    "/update_status": "ROBUST-UPDATE-BODY",
}

REPEATED: Final = frozenset({Answer.UPDATED, Answer.UNKNOWN_JOB, Answer.MISSING_FIELD})
"""What a repeated update of a finished job may answer: anything documented (reading, 6)."""

_CHANGING_NOTHING: Final = frozenset(
    {
        Answer.HEALTHY,
        Answer.BUSY,
        Answer.MISSING_SESSION,
        Answer.MISSING_IMAGE,
        Answer.PROCESSING,
        Answer.NOT_FOUND,
        Answer.MISSING_FIELD,
        Answer.UNKNOWN_JOB,
    }
)

BASE: Final = {
    Answer.HEALTHY: "HEALTH-OK",
    Answer.GRANTED: "PUBLISH-ACCEPTED",
    Answer.BUSY: "PUBLISH-BUSY",
    Answer.MISSING_SESSION: "PUBLISH-MISSING-SESSION",
    Answer.MISSING_IMAGE: "PUBLISH-MISSING-IMAGE",
    Answer.JOB_DIR_FAILED: "PUBLISH-JOB-DIR-FAILURE",
    Answer.SAVE_FAILED: "PUBLISH-SAVE-FAILURE",
    Answer.DATABASE_FAILED: "PUBLISH-DATABASE-FAILURE",
    Answer.PUBLISH_FAILED: "PUBLISH-BROKER-FAILURE",
    Answer.PROCESSING: "STATUS-PROCESSING",
    Answer.COMPLETED: "STATUS-COMPLETED",
    Answer.NOT_FOUND: "STATUS-NOT-FOUND",
    Answer.UPDATED: "UPDATE-OK",
    Answer.MISSING_FIELD: "UPDATE-MISSING-FIELDS",
    Answer.UNKNOWN_JOB: "UPDATE-NOT-FOUND",
}
"""The requirement that each documented answer belongs to."""


class Judging:
    """Judges the steps of one check.

    `trace`, `reported` (URLs by job) and `granted` (grants by session, in order) are the check's
    own and grow while it runs; the trace forgets its beginning. `status` asks for the status of a
    job. `aside` takes violations that do not end the check.
    """

    def __init__(
        self,
        run: Run,
        trace: Sequence[Step],
        reported: Mapping[str, str],
        granted: Mapping[str, Sequence[Step]],
        *,
        status: Callable[[str], Step],
        aside: Callable[[Violation], None],
    ) -> None:
        self._run = run
        self._trace = trace
        self._reported = reported
        self._granted = granted
        self._status = status
        self._aside = aside
        self._went_on_after: set[tuple[frozenset[Answer], int]] = set()

    def compare(self, step: Step, allowed: frozenset[Answer], blame: str | None) -> None:
        """Compare a step with the answers that are right. Raises Violation or Unobservable."""
        _must_have_happened(step)
        reading = step.reading
        if reading.answer is not None and not reading.json_type:
            self._aside(
                Violation(
                    "RESPONSE-JSON",
                    "media type application/json",
                    reading.actual,
                    self._until(step),
                    allowed=frozenset({reading.answer}),
                )
            )
        if reading.answer in allowed:
            return
        shown = self._until(step)  # what the next line asks about is no part of what went wrong
        if self._worker_explains(step, allowed):
            raise Unobservable("the server's own worker finished the job first", again=True)
        misspelt = Answer.BUSY in allowed and _is_refusal(step)
        base = "PUBLISH-BUSY" if misspelt else BASE[min(allowed)]
        if allowed == REPEATED:
            base = "UPDATE-REPEATED"
        if (
            step.call is Call.STATUS
            and reading.answer is None
            and (blame or "").startswith("LOCK-")
        ):
            blame = None  # the lock may be as it should; how its job is told of is not
        if allowed == {Answer.BUSY} and reading.answer is Answer.GRANTED:
            base = "LOCK-ONE-ACTIVE-JOB"
        if reading.answer is Answer.BUSY and blame == "PUBLISH-ACCEPTED" and self._grants_of(step):
            blame = "UPDATE-RELEASES-LOCK"  # the session had jobs, and all of them were completed
        violation = Violation(
            base if misspelt else blame or base,
            " or ".join(documented_text(answer) for answer in sorted(allowed)),
            reading.actual,
            shown,
            allowed=allowed,
        )
        if misspelt and blame != base:
            self._aside(violation)  # the lock held all the same, which is what this is about
            return
        self._raise(violation, goes_on=allowed <= _CHANGING_NOTHING or allowed == REPEATED)

    def must_live_on(self, step: Step, requirement: str) -> None:
        """Judge: a request outside the contract did not end the server, whatever it was sent for.

        A check about something else blames the requirement that the request belongs to.
        """
        exchange = step.exchange
        fell_silent = exchange.response is None and exchange.trouble is not Trouble.REFUSED
        if fell_silent and not self._run.client.is_answered_at_all():
            path = exchange.request.target.partition("?")[0]
            raise Violation(
                requirement
                if requirement.startswith(_ROBUST)
                else _ROBUST_BY_PATH.get(path, "ROBUST-UNKNOWN-ROUTE"),
                "a 4xx refusal, and a server that lives on",
                f"the server died of it: {step.reading.actual}, and then refused connections",
                (step,),
                replayable=False,
                fatal=True,
            )

    def harmless(self, step: Step, requirement: str) -> None:
        """Judge a request outside the contract (design: how to read the document, 7)."""
        exchange = step.exchange
        response = exchange.response
        _must_have_happened(step)
        status = None if response is None else response.status
        if step.answer is not None or (status is not None and status < SERVER_ERROR):
            return
        if status == _NOT_IMPLEMENTED and _is_unknown_method(exchange.request):
            return  # HTTP's own refusal of a method (RFC 9110, section 15.6.2)
        actual = step.reading.actual
        self._raise(Violation(requirement, "a 4xx refusal, without delay", actual, (step,)))

    def _raise(self, violation: Violation, *, goes_on: bool = True) -> None:
        """Raise a violation; after a known failure the check goes on, if it can.

        It can after an undocumented answer to what changes nothing. Whatever the check is about:
        what is answered alike, where the same was right, is that known failure again.
        """
        step = violation.steps[-1]
        response = step.exchange.response
        if not goes_on or step.answer is not None or response is None:
            raise violation
        alike = (violation.allowed, response.status)
        if violation.requirement in self._run.known_failures:
            self._went_on_after.add(alike)
            self._aside(violation)
        elif alike not in self._went_on_after:
            raise violation

    def _until(self, step: Step) -> tuple[Step, ...]:
        """The trace up to this step; of a race, the step is not always the last one.

        What the trace forgot of the session's last two grants is put before it.
        """
        trace = tuple(self._trace)
        known = {id(one) for one in trace}
        forgotten = [g for g in self._grants_of(step)[-2:] if id(g) not in known and g is not step]
        for index in reversed(range(len(trace))):
            if trace[index] is step:
                return (*forgotten, *trace[: index + 1])
        return (*forgotten, *trace, step)

    def _grants_of(self, step: Step) -> Sequence[Step]:
        """The grants of the session that a step is about."""
        if step.session is not None:
            return self._granted.get(step.session, ())
        for grants in list(self._granted.values()):
            if any(grant.granted_job == step.job for grant in grants):
                return grants
        return ()

    def _worker_explains(self, step: Step, allowed: frozenset[Answer]) -> bool:
        """Whether the step is right if the server's own worker completed a job by itself."""
        if not self._run.may_have_worker:
            return False
        if step.call is Call.PUBLISH and step.answer is Answer.GRANTED and Answer.BUSY in allowed:
            return self._was_free(step)
        if step.job is None or Answer.NOT_FOUND in allowed or step.job in self._reported:
            return False
        if step.call is Call.STATUS and step.answer is Answer.COMPLETED:
            return self._is_foreign(step)
        if step.call is Call.UPDATE and step.answer in REPEATED:
            return self._finished_by_itself(step.job)
        return False

    def _finished_by_itself(self, job: str) -> bool:
        if job in self._reported:
            return False
        step = self._status(job)
        return step.answer is Answer.COMPLETED and self._is_foreign(step)

    def _is_foreign(self, step: Step) -> bool:
        foreign = self._run.is_foreign(step.reading.member("image_url"))
        if foreign:
            self._run.live_worker_seen = step.job
            if step.job is not None:
                self._run.unfinished.pop(step.job, None)
        return foreign

    def _was_free(self, step: Step) -> bool:
        """Whether the session of a grant may have been free: its other jobs ended by themselves.

        In a race another grant may be the later one, and then it is this job that ended.
        """
        explained = False
        grants = self._granted.get(step.session or "", ())
        # A form outside the contract may have been taken for another session than it was sent for.
        others = [grant for grant in grants if grant is not step and grant.call is not None]
        for other in others[-_FELLOWS:]:
            job, exchange = other.granted_job or "", other.exchange
            if job in self._reported or exchange.invoked_ns > step.exchange.returned_ns:
                continue
            is_in_race = exchange.returned_ns > step.exchange.invoked_ns
            ended = self._finished_by_itself(job) or (
                is_in_race and self._finished_by_itself(step.granted_job or "")
            )
            if not ended:
                return False
            explained = True
        return explained


def _must_have_happened(step: Step) -> None:
    """Raise Interrupted or TargetGone if the request says nothing about the server's answers."""
    if step.exchange.trouble is Trouble.STALE:
        raise Interrupted
    if step.exchange.trouble is Trouble.REFUSED:
        raise TargetGone(step.exchange.detail)


def _is_unknown_method(request: Request) -> bool:
    """Whether a server may not know the method, at all or for a route of the document."""
    known = _METHODS.get(request.target.partition("?")[0].strip("/").partition("/")[0])
    return request.method not in _METHODS.values() or known not in (None, request.method)


def _is_refusal(step: Step) -> bool:
    """Whether the server refused, though not in the documented words."""
    response = step.exchange.response
    return step.answer is None and response is not None and response.status // 100 == 4
