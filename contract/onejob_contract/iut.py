"""The implementation under test as a check sees it: what to do to it, and what it must say.

Two kinds of words. Arranging (`active_job`, `complete`, `completed_job`) blames the requirement
of the operation that went wrong, so that a check never fails for something it is not about.
Judging (`must_be`, `must_hold`, `must_grant`, `must_read`) blames the check's own requirement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import Final
from urllib.parse import unquote

from onejob_contract.conversation import Conversation, Job, Racer, Seen
from onejob_contract.documented import Answer
from onejob_contract.findings import Unobservable, Violation
from onejob_contract.judging import REPEATED
from onejob_contract.retelling import retold
from onejob_contract.run import STRETCH
from onejob_contract.steps import REQUEST_ID, Step

_CONTROLLED_ROUNDS: Final = 12
_IN_LINE: Final = 20
_EVENT_STEPS: Final = 8
_LONG_ID: Final = 20
_LONG_TEXT: Final = 100
_BRIEFLY_S: Final = 1.0

__all__ = ["REPEATED", "Iut", "Job", "Racer", "Seen"]


class Iut(Conversation):
    """One check's view of the implementation under test: arranging and judging words."""

    # --- arranging ------------------------------------------------------------------------

    def active_job(self, session: str | None = None) -> Job:
        """Given an active job."""
        session = session or self.new_session()
        return self._job_of(self.publish(session).is_arranged(Answer.GRANTED), session)

    def complete(self, job: Job, url: str | None = None) -> str:
        """Given that the job completes: the kit reports it, or the server's own worker does.

        Returns the URL that its status must show. Raises Unobservable if nobody can complete it.
        """
        if self.run.surroundings.update_status:
            url = url or self.new_url()
            try:
                self.update(job, url).is_arranged(Answer.UPDATED)
            except Unobservable as unobservable:
                if not unobservable.again:
                    raise
            else:
                return url  # else the worker was faster
        return self._completed_by_worker(job)

    def completed_job(self, session: str | None = None) -> tuple[Job, str]:
        """Given a completed job with its URL."""
        job = self.active_job(session)
        return job, self.complete(job)

    def sees_worker(self, jobs: Sequence[Job], patience_s: float) -> bool:
        """Whether the server's own worker is known, or completes one of these jobs in time."""
        deadline = time.monotonic() + patience_s
        while not self.run.has_worker:
            if time.monotonic() > deadline or self.run.stop.wait(0.1):
                return False
            for job in jobs:
                if self._ended_by_itself(job):
                    self.run.live_worker_seen = job.id
        return True

    def unless_job(self, id_: str) -> list[str]:
        """Give the id, unless this server happens to have called a job so."""
        return [] if id_ in self.run.job_ids else [id_]

    def shortened(self, job: Job) -> list[str]:
        """Give the beginnings of a long job id, if no job can have one so short.

        Short ids may be numbers, and ids of many lengths may grow by a character from job to job.
        """
        if len(job.id) < _LONG_ID or len({len(id_) for id_ in list(self.run.job_ids)}) > 1:
            return []
        return [*self.unless_job(job.id[:-1]), *self.unless_job(job.id[: len(job.id) // 2])]

    def sees_busy(self, session: str) -> bool:
        """Judge: the session is busy; False if the server's own worker finished its job before."""
        try:
            self.publish(session).must_be(Answer.BUSY)
        except Unobservable as unobservable:
            if not unobservable.again:
                raise
            return False
        return True

    # --- judging --------------------------------------------------------------------------

    def must_grant(self, session: str) -> Job:
        """Judge: the session is free, so a publish is granted."""
        return self._job_of(self.publish(session).must_be(Answer.GRANTED), session)

    def must_become_free(self, session: str) -> Job:
        """Judge: a publish is granted before long, though something may still be clearing up."""
        patience_s = self.run.target.response_timeout_s
        seen = self.until_free(lambda: self.publish(session), patience_s)
        return self._job_of(seen.must_be(Answer.GRANTED), session)

    def must_hold(self, job: Job) -> None:
        """Judge: the job is active, so its status is processing and its session is busy."""
        self.publish(job.session).must_be(Answer.BUSY)
        self.status(job).must_be(Answer.PROCESSING)

    def must_read(self, job: Job, url: str) -> None:
        """Judge: the job is completed and its status shows exactly this URL."""
        step = self.status(job).must_be(Answer.COMPLETED).step
        read = step.reading.member("image_url")
        is_foreign = self.run.is_foreign(read)
        if read == url or (self.run.has_worker and is_foreign):
            return
        violation = Violation(
            "STATUS-RESULT-URL" if self.requirement.startswith("UPDATE-") else self.requirement,
            f"image_url {url!r}",
            f"image_url {read!r}",
            self.trace,
            allowed=frozenset({Answer.COMPLETED}),
            note=_where_they_differ(url, read),
        )
        may_be_its_own = is_foreign and self.run.may_have_worker and not _is_made_of(read, url)
        if may_be_its_own and self._finds_a_worker():
            raise Unobservable("the server's own worker finished the job first", again=True)
        raise violation

    def must_survive(self, event: Callable[[Job], object], job: Job | None = None) -> None:
        """Judge: a job stays active whatever `event` does to it.

        A job that ends may have been finished by the server's own worker. So the event is tried
        against controls: in every round another job is left alone. If the treated job always ends
        and the control never does, the event ended it. A coin says which of the two is older: a
        worker may take every second job.
        """
        job = job or self.active_job()
        event(job)
        try:
            self.must_hold(job)
        except Unobservable:
            for _ in range(_CONTROLLED_ROUNDS):
                control, treated = self.random.sample((self.active_job(), self.active_job()), 2)
                event(treated)
                ended = self.status(treated).answer
                alone = self.status(control).answer
                if ended is not Answer.COMPLETED or alone is not Answer.PROCESSING:
                    raise
            raise Violation(
                self.requirement,
                "the job stays active",
                f"the job ended {_CONTROLLED_ROUNDS} times of {_CONTROLLED_ROUNDS}, another job "
                "that was left alone never did",
                [step for step in self.trace[-_EVENT_STEPS:] if not _is_about(step, control)],
                replayable=False,
                note="shown is the last time",
            ) from None

    def must_complete_by_itself(self, job: Job) -> None:
        """Judge: the server's own worker completes the job within the target's job timeout."""
        deadline = time.monotonic() + self.run.target.job_timeout_s
        pause = 0.005
        while (
            self.status(job).must_be(Answer.PROCESSING, Answer.COMPLETED).answer
            is Answer.PROCESSING
        ):
            if time.monotonic() > deadline:
                self._must_be_no_queue(job)
                raise Violation(
                    self.requirement,
                    f"completed within {self.run.target.job_timeout_s:g} s",
                    "processing",
                    self.trace[-2:],
                    replayable=False,
                )
            self._wait_for_worker(pause)
            pause = min(0.25, pause * 1.5)
        self.run.unfinished.pop(job.id, None)

    def _ended_by_itself(self, job: Job | str) -> bool:
        """Whether a job that was left alone is completed, with no result of ours."""
        seen = self.status(job)
        url = seen.reading.member("image_url")
        return seen.answer is Answer.COMPLETED and self.run.is_foreign(url)

    def _finds_a_worker(self) -> bool:
        """Whether a job that was left alone is completed, among the oldest ones or a new one."""
        for id_ in list(self.run.unfinished)[:_IN_LINE]:
            if self._ended_by_itself(id_):
                self.run.live_worker_seen = id_
                return True
        return self.sees_worker([self.active_job()], _BRIEFLY_S)

    def _wait_for_worker(self, seconds: float) -> None:
        """Wait before the next poll. Raises Unobservable if the run was stopped meanwhile."""
        if self.run.stop.wait(seconds):
            raise Unobservable("the run ended before the server's own worker was done")

    def _must_be_no_queue(self, late: Job) -> None:
        """Raise Unobservable if the worker is, or was, busy with the many jobs of this run."""
        waiting = list(self.run.unfinished)[:_IN_LINE]
        newest = self.active_job()
        self.run.stop.wait(self.run.target.job_timeout_s)
        if self.status(newest).answer is Answer.COMPLETED:
            if self.status(late).answer is Answer.COMPLETED:
                raise Unobservable("the server's own worker had more jobs of this run than time")
            return  # a newer job was done, so the older one was lost
        seen = [self.status(job) for job in waiting]
        urls = {one.reading.member("image_url") for one in seen if one.answer is Answer.COMPLETED}
        if any(map(self.run.is_foreign, urls)):
            raise Unobservable("the server's own worker has more jobs of this run than time")

    def must_be_answered(self, seen: Seen, requirement: str) -> None:
        """Judge: the request was answered at all, within its deadline."""
        if seen.step.exchange.response is None:
            raise Violation(
                requirement,
                "an answer within the deadline",
                seen.reading.actual,
                (seen.step,),
                replayable=False,
            )

    def must_fit_one_order(self, requirement: str, sessions: Collection[str] | None = None) -> None:
        """Judge: the history so far, of these sessions or the run's, fits an order of the model."""
        judgement = self.run.judge_history(sessions)
        self.run.measured["operations judged"] = str(judgement.operations)
        if judgement.verdict == "undecided":
            raise Unobservable(f"the judge could not decide: {judgement.explanation}")
        if judgement.verdict == "violation":
            clients = dict.fromkeys(operation.client for operation in judgement.witness)
            raise Violation(
                requirement,
                "an order of all operations that the document allows",
                judgement.explanation,
                retold(judgement.witness, self.run.client.history, self.run.client.token),
                replayable=False,
                note="the requests are told from the history, with plain images; "
                f"in the server's log they begin with {REQUEST_ID}: "
                + " or ".join(f"{self.run.client.token}/{client}/" for client in clients),
                picture=self.run.draw(judgement),
            )

    def must_be_true(self, holds: bool, expected: str, actual: str) -> None:
        """Judge something that no answer says by itself."""
        if not holds:
            raise Violation(self.requirement, expected, actual, self.trace[-3:], replayable=False)

    def _completed_by_worker(self, job: Job) -> str:
        if not self.run.has_worker and self.run.surroundings.live_worker is False:
            raise Unobservable(
                "nobody can complete a job: /update_status is out of reach "
                f"({self.run.surroundings.update_status_reason}) and no live worker was seen"
            )
        deadline = time.monotonic() + min(
            self.run.target.job_timeout_s, self.run.profile.seconds * STRETCH
        )
        pause = 0.005
        while time.monotonic() < deadline:
            step = self.status(job).is_arranged(Answer.PROCESSING, Answer.COMPLETED).step
            if step.answer is Answer.COMPLETED:
                self.run.unfinished.pop(job.id, None)
                url = step.reading.member("image_url")
                self.run.is_foreign(url)  # from now on, even if it is reported again by us
                return url
            self._wait_for_worker(pause)
            pause = min(0.25, pause * 1.5)
        raise Unobservable("the server's own worker did not finish a job within its time")

    def _job_of(self, seen: Seen, session: str) -> Job:
        return Job(seen.step.granted_job or "", session)


def _is_about(step: Step, job: Job) -> bool:
    return step.session == job.session or step.job == job.id


def _where_they_differ(one: str, other: str) -> str:
    """A hint for texts that are too long to compare by eye."""
    if min(len(one), len(other)) < _LONG_TEXT:
        return ""
    pairs = zip(one, other, strict=False)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return (
        f"they are alike for {alike} characters; then {one[alike : alike + 20]!r} was expected, "
        f"and {other[alike : alike + 20]!r} came"
    )


def _is_made_of(read: str, url: str) -> bool:
    """Whether a result is certainly a URL of ours, cut or grown: no worker calls its own so."""
    shorter, longer = sorted((unquote(url).casefold(), unquote(read).casefold()), key=len)
    _, _, path = shorter.partition("://")[2].partition("/")
    return bool(path) and longer.startswith(shorter)
