"""A check's conversation with the implementation under test: its requests and what they showed.

Every exchange is noted in the trace of the check, from which its evidence is taken.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from onejob_contract.client import publish_request, update_request
from onejob_contract.documented import FAILURES, Answer, Call, Reading, documented_text
from onejob_contract.findings import TargetGone, Unobservable, Violation
from onejob_contract.judging import Judging
from onejob_contract.races import RaceLog, rendezvous
from onejob_contract.retelling import retold
from onejob_contract.rounds import Rounds
from onejob_contract.run import Run
from onejob_contract.shares import NO_TIME, Budget
from onejob_contract.steps import REQUEST_ID, Step, operation_of, request_id
from onejob_contract.wire import Exchange, Request
from onejob_fixtures.forms import Form, Part, encode

TRACE_LIMIT: Final = 400
_SILENT_TIMEOUTS: Final = 3
_GRACE_TIMEOUTS: Final = 2
_GRACE_S: Final = 2.0
_TRIES: Final = 4
_QUIET_S: Final = 1.0
_AFTERMATH_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was granted, and the session it holds."""

    id: str
    session: str


@dataclass(frozen=True, slots=True)
class Racer:
    """One request of a race, with what it is about (as in `Step`)."""

    call: Call
    request: Request
    session: str | None = None
    job: str | None = None
    url: str | None = None


class Seen:
    """What one request showed, with the words to judge it."""

    def __init__(self, conversation: Conversation, step: Step) -> None:
        self._conversation = conversation
        self.step = step

    @property
    def answer(self) -> Answer | None:
        """The documented answer, if it was one."""
        return self.step.answer

    @property
    def reading(self) -> Reading:
        """The whole reading."""
        return self.step.reading

    def must_be(self, *answers: Answer) -> Seen:
        """Judge: any of these documented answers is right. Raises Violation."""
        self._conversation.compare(self.step, frozenset(answers), self._conversation.requirement)
        return self

    def is_arranged(self, *answers: Answer) -> Seen:
        """Arrange: as `must_be`, but blames the requirement of the operation itself."""
        self._conversation.compare(self.step, frozenset(answers), None)
        return self

    def must_be_harmless(self) -> Seen:
        """Judge a request outside the contract: any answer but an undocumented 5xx or silence."""
        self._conversation.judge_harmless(self.step)
        return self


class Conversation(Rounds):
    """What one check asks the implementation under test. `requirement` is what it judges.

    `asides` are violations found on the way, reported already but not shown again yet.
    """

    def __init__(self, run: Run, check: str, number: int, requirement: str, budget: Budget) -> None:
        super().__init__(run, check, number, budget)
        self.requirement = requirement
        self.trace: list[Step] = []
        self._reported: dict[str, str] = {}
        self.asides: list[Violation] = []
        self._grants: defaultdict[str, list[Step]] = defaultdict(list)
        self._how_it_gave_up, self._gave_up_ns = "", 0
        self._judging = Judging(
            run,
            self.trace,
            self._reported,
            self._grants,
            status=lambda job: self.status(job).step,
            aside=self._report_aside,
        )

    # --- requests -------------------------------------------------------------------------

    def expects_an_answer(self) -> None:
        """Raise TargetGone if the run found the server gone: what comes last would wait in vain."""
        if self.run.gone:
            raise TargetGone("it was gone before")

    def publish(self, session: str, form: Form | None = None, *, is_ours: bool = True) -> Seen:
        """POST /publish; with a complete form unless another is given.

        A session that others may use, too, is left out of the history.
        """
        form = form or self.form(session)
        if not is_ours:
            self.run.untracked_sessions.append(session)
        return self._asked(
            lambda: self.run.client.publish(session, form, self.check), session, is_ours=is_ours
        )

    def publish_parts(self, session: str, parts: Sequence[Part]) -> Seen:
        """POST /publish with these parts, in this order."""
        return self.publish(session, encode(parts))

    def status(self, job: Job | str) -> Seen:
        """GET /status/{jobId}."""
        return self._note(self.run.client.status(_id(job), self.check))

    def update(self, job: Job | str, url: str) -> Seen:
        """POST /update_status."""
        return self.report(job, url, update_request(_id(job), url))

    def report(self, job: Job | str, url: str, request: Request) -> Seen:
        """POST /update_status, written in this way."""
        self.run.reports(url)
        exchange = self.run.client.send(request, self.check)
        step = self.run.client.recorded(Call.UPDATE, exchange, self.check, job=_id(job), url=url)
        seen = self._note(step)
        if seen.answer is Answer.UPDATED:
            self._reported[_id(job)] = url
            self.run.unfinished.pop(_id(job), None)
        return seen

    def health(self) -> Seen:
        """GET /health."""
        exchange = self.run.client.send(Request("GET", "/health"), self.check)
        return self._note(self.run.client.recorded(Call.HEALTH, exchange, self.check))

    def documented(self, call: Call, request: Request, session: str | None = None) -> Seen:
        """A request to a documented operation whose documented answer is known, sent as it is.

        A complete publish names its `session`.
        """

        def send() -> Step:
            exchange = self.run.client.send(request, self.check)
            return self.run.client.recorded(call, exchange, self.check, session=session)

        return self._asked(send, session)

    def outside(
        self, request: Request, session: str | None = None, urls: Sequence[str] = ()
    ) -> Seen:
        """A request outside the contract; `session` is the one it could change, `urls` it reports.

        Whether the server takes it, and for which session, is open, so the session is left out of
        the history. Raises Violation if the server died of it.
        """
        self.run.reports(*urls)
        if session is not None:
            self.run.untracked_sessions.append(session)
        seen = self._asked(
            lambda: self.run.client.outside(request, self.check, session), session, is_ours=False
        )
        self.run.last_outside.append(seen.step)
        self._judging.must_live_on(seen.step, self.requirement)
        return seen

    def race(self, racers: Sequence[Racer], log: RaceLog) -> list[Step]:
        """Send requests so that they become complete together; the steps, in the same order."""
        client = self.run.client
        who = [self.client_name(number) for number in range(len(racers))]
        exchanges = rendezvous(client, [(racer.request, who[i]) for i, racer in enumerate(racers)])
        log.add(exchanges, client)
        # All of them stand in the history before anything is made of one.
        self.run.reports(*(racer.url for racer in racers if racer.url is not None))
        steps = [
            client.recorded(
                racer.call, exchange, name, session=racer.session, job=racer.job, url=racer.url
            )
            for racer, exchange, name in zip(racers, exchanges, who, strict=True)
        ]
        for racer, step in zip(racers, steps, strict=True):
            self._note(step)
            self._granted(step, racer.session)
            if step.answer is Answer.UPDATED and racer.job is not None and racer.url is not None:
                self._reported[racer.job] = racer.url
                self.run.unfinished.pop(racer.job, None)
        return steps

    def give_up(self, session: str, share: float, *, reset: bool) -> None:
        """Publish, but reset or close the connection when this share of the form was sent.

        Raises Violation if the server died of it, which a health check or what follows shows.
        """
        request = publish_request(self.form(session))
        sent = int(len(request.body) * share)
        self.run.client.give_up(request, sent, self.check, session, reset=reset)
        self._gave_up_ns = time.monotonic_ns()
        self._how_it_gave_up = (
            f"its connection was {'reset' if reset else 'closed'} when {sent} of "
            f"{len(request.body)} bytes of the form were sent"
        )
        self.health()

    def compare(self, step: Step, allowed: frozenset[Answer], blame: str | None) -> None:
        """Compare a step with the answers that are right. Raises Violation or Unobservable."""
        self._judging.compare(step, allowed, blame)

    def judge_racer(self, step: Step, allowed: frozenset[Answer], blame: str | None) -> None:
        """As `compare`; of a race nothing is sent again, so failures that come and go are right."""
        if not self.fails_now_and_then(step.answer):
            self.compare(step, allowed, blame)

    def judge_harmless(self, step: Step) -> None:
        """Judge a request outside the contract. Raises Violation."""
        self._judging.harmless(step, self.requirement)

    def fails_now_and_then(self, answer: Answer | None) -> bool:
        """Whether this is a documented failure of a server that fails without being asked to."""
        return answer in FAILURES and self.run.fails_now_and_then

    def must_have_freed(self, session: str | None) -> None:
        """Judge: a session whose publish failed is free; if it is ours, and has no active job."""
        held = (*self.run.untracked_sessions, *self.run.unfinished.values())
        if session is not None and session not in held:
            self._must_not_be_busy(self.until_free(lambda: self.publish(session), _GRACE_S))

    def until_free(self, ask: Callable[[], Seen], patience_s: float) -> Seen:
        """Ask until the session is no longer busy: something may still be clearing up.

        Raises Unobservable if the run was stopped meanwhile.
        """
        deadline = time.monotonic() + patience_s
        pause = 0.002
        while (seen := ask()).answer is Answer.BUSY and time.monotonic() < deadline:
            if self.run.stop.wait(pause):
                raise Unobservable("the run ended before the session was free")
            pause = min(0.25, pause * 2)
        return seen

    # --- bookkeeping ---------------------------------------------------------------------

    def leave_alone(self, job: Job) -> None:
        """Let nobody ask about the job, active or completed, until the end of the run."""
        about = [step for step in self.trace if job.id in (step.granted_job, step.job)]
        self.run.left_alone.append(about)

    def take_over(self, steps: Sequence[Step]) -> Job:
        """Take over a job that another check left alone, with what that one asked as evidence."""
        grant = steps[0]
        job = Job(grant.granted_job or "", grant.session or "")
        self._grants[job.session].append(grant)
        if steps[-1].url is not None:
            self._reported[job.id] = steps[-1].url
        self.trace.extend(steps)
        return job

    def _asked(
        self, send: Callable[[], Step], session: str | None, *, is_ours: bool = True
    ) -> Seen:
        """Send a request; again if it fails in a documented way, and such failures come and go.

        The last time nobody else asks anything: a server may fail whenever it has too much to do.
        A session that is not only ours may be busy at any time.
        """

        def ask() -> Seen:
            step = send()
            seen = self._note(step)
            self._granted(step, session)
            return seen

        seen = ask()
        for left in reversed(range(_TRIES)):
            if not self.fails_now_and_then(seen.answer):
                break
            is_free = is_ours and session not in list(self.run.unfinished.values())
            with nullcontext() if left else self.run.client.places.alone(_QUIET_S):
                seen = self.until_free(ask, _GRACE_S) if is_free else ask()
            if is_free:
                self._must_not_be_busy(seen)
        return seen

    def _must_not_be_busy(self, seen: Seen) -> None:
        """Judge: a publish that failed in documented words does not leave its session busy."""
        if seen.answer is Answer.BUSY:
            raise Violation(
                "LOCK-FREE-AFTER-REFUSAL",
                documented_text(Answer.GRANTED),
                f"{seen.reading.actual}, for {_GRACE_S:g} s",
                [step for step in self.trace if step.session == seen.step.session],
                replayable=False,
            )

    def _note(self, step: Step) -> Seen:
        if time.monotonic() > self._budget.ends:
            raise Unobservable(NO_TIME)
        if self.run.stop.is_set():
            raise Unobservable("the run ended before")
        self._must_outlive_its_clients(step.exchange)
        self._must_not_be_silent(step.exchange)
        self.trace.append(step)
        if len(self.trace) > TRACE_LIMIT:
            del self.trace[: TRACE_LIMIT // 4]
        return Seen(self, step)

    def _must_outlive_its_clients(self, exchange: Exchange) -> None:
        """Judge: the server did not die of an upload that this check gave up a moment ago."""
        is_silent = exchange.response is None and self._how_it_gave_up
        if not is_silent or exchange.invoked_ns - self._gave_up_ns > _AFTERMATH_NS:
            return
        if not self.run.client.is_answered_at_all():
            raise Violation(
                "ROBUST-PUBLISH-FORM",
                "a server that lives on when a client goes away",
                f"{self._how_it_gave_up}, and the server died of it",
                replayable=False,
                fatal=True,
            )

    def _must_not_be_silent(self, exchange: Exchange) -> None:
        """Raise TargetGone when waiting for more answers would only add up timeouts."""
        run = self.run
        if exchange.response is not None:
            run.silent_since = None
            return
        since = run.silent_since
        if since is None:
            since = run.silent_since = exchange.invoked_ns / 1e9
        now, timeout = time.monotonic(), run.target.response_timeout_s
        overdue = now - self._budget.at_most
        # What answers others is not gone: time for this one request to be judged and shown again.
        gone = overdue > _GRACE_TIMEOUTS * timeout or (
            overdue > 0 and not run.client.is_answered_at_all()
        )
        if gone or now - since > _SILENT_TIMEOUTS * timeout:
            raise TargetGone(f"it stopped answering: {exchange.detail}")

    def _granted(self, step: Step, session: str | None) -> None:
        job = step.granted_job
        if job is None:
            return
        self.run.unfinished[job] = session or ""
        if session is None:
            return
        self._grants[session].append(step)
        granted = operation_of(step, self.check)
        if granted is None:
            return
        first = self.run.first_grant(job, granted, request_id(step))
        if first is None:
            return
        grant, known_as = first
        same = [index for index, s in enumerate(self.trace) if s.granted_job == job]
        # The first one may have been another check's.
        theirs = retold([grant], (), self.run.client.token)
        self._report_aside(
            Violation(
                "PUBLISH-JOB-ID-UNIQUE",
                "a jobId that was never granted before",
                f"jobId {job!r}, which session {grant.session!r} was granted before",
                self.trace[same[0] :] if len(same) > 1 else (*theirs, step),
                note=f"the first grant was {REQUEST_ID}: {known_as}",
            )
        )

    def _report_aside(self, violation: Violation) -> None:
        """Report a violation that does not end the check."""
        if self.run.report(violation):
            self.asides.append(violation)


def _id(job: Job | str) -> str:
    return job.id if isinstance(job, Job) else job
