"""One walk over several sessions and jobs, each answer judged by the one model.

A walk does not choose: who drives it says which move comes next. Sessions are named by their
number, and jobs by session and age (0 is the latest), so that a choice never depends on what the
server answered. Every move raises what its judgement raises: Violation, Unobservable.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from typing import Final

from onejob_contract.client import publish_request
from onejob_contract.documented import Answer, Call
from onejob_contract.expectations import Expectations
from onejob_contract.history import OperationKind
from onejob_contract.iut import Iut, Job
from onejob_contract.wire import Request
from onejob_fixtures.forms import encode
from onejob_fixtures.names import CONFUSABLE_PAIRS, SESSION_STEMS, SessionStem

FIELDS: Final = 3
"""How many fields a publish form has: sessionId, image1, image2."""
MEMBERS: Final = ("jobId", "resultUrl")
STEMS: Final = tuple(stem for stem in SESSION_STEMS.values() if stem.nonce_as == "text")
PAIRS: Final = tuple(pair for pair in CONFUSABLE_PAIRS.values() if pair.first.nonce_as == "text")
"""Session ids that show their nonce, so that a replay can give them a fresh one."""


class Walk:
    """What was done so far, and every state that the model allows each session after it."""

    def __init__(self, iut: Iut) -> None:
        self._iut = iut
        self._sessions: list[str] = []
        self._expectations = Expectations(iut)
        self._jobs: dict[str, list[Job]] = {}
        self._urls: dict[str, str] = {}
        iut.trace.clear()

    def open(self, *stems: SessionStem) -> None:
        """Take new sessions into the walk; several stems share one nonce."""
        self._sessions += self._iut.named(*stems)

    def publish(self, number: int, order: Sequence[int] = range(FIELDS)) -> None:
        """A complete publish on a session, its fields in this order."""
        session = self._sessions[number]
        parts = self._iut.parts(session)
        allowed = self._expectations.allowed(session, OperationKind.PUBLISH)
        seen = self._iut.publish_parts(session, [parts[index] for index in order])
        self._expectations.follow(session, seen.is_arranged(*allowed))
        job = seen.step.granted_job
        if job is not None:
            self._jobs.setdefault(session, []).append(Job(job, session))

    def publish_incomplete(self, number: int, kept: Collection[int]) -> None:
        """A publish with some of the fields only; 0 is the sessionId."""
        session = self._sessions[number]
        parts = self._iut.parts(session)
        form = encode([parts[index] for index in sorted(kept)])
        allowed = {Answer.MISSING_IMAGE} if not {1, 2} <= set(kept) else set()
        if 0 in kept:
            if self._expectations.is_held(session):
                allowed.add(Answer.BUSY)
            seen = self._iut.publish(session, form)
        else:
            allowed.add(Answer.MISSING_SESSION)
            seen = self._iut.documented(Call.PUBLISH, publish_request(form))
        seen.is_arranged(*allowed)

    def read(self, number: int, age: int) -> None:
        """The status of a job, or of an unknown one where there is no job of that age."""
        session, job = self._job(number, age)
        if job is None:
            self._iut.status(self._unknown()).is_arranged(Answer.NOT_FOUND)
        else:
            allowed = self._expectations.allowed(session, OperationKind.STATUS, job.id)
            self._expectations.follow(session, self._iut.status(job).is_arranged(*allowed))

    def report(self, number: int, age: int, *, same_url: bool) -> None:
        """The worker's report of a job, or of an unknown one where there is no job of that age.

        With `same_url` a job that was reported before is reported with the same URL again.
        """
        session, job = self._job(number, age)
        url = self._iut.new_url()
        if job is None:
            self._iut.update(self._unknown(), url).is_arranged(Answer.UNKNOWN_JOB)
            return
        if same_url:
            url = self._urls.get(job.id, url)
        allowed = self._expectations.allowed(session, OperationKind.UPDATE, job.id)
        self._expectations.follow(session, self._iut.update(job, url).is_arranged(*allowed))
        self._urls[job.id] = url

    def report_incomplete(self, number: int, age: int, members: Collection[str]) -> None:
        """A report of a job that has only these members."""
        _, job = self._job(number, age)
        known = {"jobId": job.id if job else self._unknown(), "resultUrl": self._iut.new_url()}
        body = json.dumps({member: known[member] for member in sorted(members)}).encode()
        headers = (("Content-Type", "application/json"),)
        seen = self._iut.documented(Call.UPDATE, Request("POST", "/update_status", headers, body))
        unknown = {Answer.UNKNOWN_JOB} if job is None and "jobId" in members else set()
        seen.is_arranged(Answer.MISSING_FIELD, *unknown)

    def health(self) -> None:
        """A health check in between."""
        self._iut.health().is_arranged(Answer.HEALTHY)

    def finish(self) -> None:
        """Read every job, try every session once more, and complete what is active."""
        for number, session in enumerate(self._sessions):
            for age in range(len(self._jobs.get(session, ()))):
                self.read(number, age)
            self.publish(number)
            if self._iut.run.surroundings.update_status:
                self.report(number, 0, same_url=False)

    def _job(self, number: int, age: int) -> tuple[str, Job | None]:
        session = self._sessions[number]
        jobs = self._jobs.get(session, [])
        return session, jobs[-1 - age] if age < len(jobs) else None

    def _unknown(self) -> str:
        if self._iut.random.random() < 0.5:
            return f"no-such-job-{self._iut.nonce()}"
        return str(uuid.UUID(int=self._iut.random.getrandbits(128), version=4))
