"""What all scenarios share: a user with an exchanger, an arrival process and a way to end jobs."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any, ClassVar

import gevent
from locust.contrib.fasthttp import FastHttpUser

from onejob_contract.history import Outcome
from onejob_contract.steps import Step
from onejob_load.generator.exchanging import Exchanger, Told
from onejob_load.generator.run import Run
from onejob_load.generator.wire import Connections

_METHODS = {"publish": "POST", "update_status": "POST", "status": "GET"}


class ContentionUser(FastHttpUser):
    """A user of the session lock; every request it sends becomes part of the run's history."""

    abstract = True
    scenario: ClassVar[str]
    run_: ClassVar[Run]
    """The run under way in this process, set before any user starts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.run_.settings
        self.name = self.run_.client(self.scenario)
        self.random = random.Random(f"{settings.seed}/{self.name}")
        self._connections = Connections(self.run_.target.origin, settings.response_timeout)
        self._due_ns = time.monotonic_ns()
        self._results = itertools.count(1)
        self.api = Exchanger(
            self._connections, self.run_.requests, self.run_.recorder, self._listen
        )

    @property
    def settings(self) -> Any:
        """Give the settings of the run."""
        return self.run_.settings

    @property
    def due_ns(self) -> int | None:
        """When this task was due (ns); None with closed arrival, where it is due when it starts."""
        return self._due_ns if self.run_.settings.arrival == "open" else None

    def wait_time(self) -> float:
        """Seconds until the next task: a pause, or what is left until it is due."""
        settings = self.run_.settings
        if settings.arrival == "closed":
            return settings.think * self.random.uniform(0.5, 1.5)
        self._due_ns += int(self.random.expovariate(settings.rate) * 1e9)
        return max(0.0, (self._due_ns - time.monotonic_ns()) / 1e9)

    def on_stop(self) -> None:
        """Close the connections."""
        self._connections.close()

    def publish(self, place: str) -> tuple[str, Told]:
        """Publish in the session of a place; give the session and what we were told."""
        session = self.run_.session(place)
        told = self.api.publish(session, self.name, self.due_ns)
        if told.outcome is Outcome.UNKNOWN:
            self.run_.retire(place)
        return session, told

    def hold_and_complete(self, session: str, job: str) -> None:
        """Hold a granted job for a while, then see it completed, by us or by the live worker."""
        if self.run_.settings.job_worker == "live":
            self.await_completion(session, job)
            return
        gevent.sleep(self.run_.settings.hold * self.random.uniform(0.5, 1.5))
        self.complete(session, job)

    def complete(self, session: str, job: str) -> Told:
        """Complete a job with a result URL that was never used before."""
        url = f"https://results.example/{self.name}/{next(self._results)}"
        return self.api.update(session, job, url, self.name)

    def await_completion(self, session: str, job: str) -> bool:
        """Poll until the job is completed; False if that did not happen in time."""
        deadline = time.monotonic() + self.run_.settings.job_timeout
        while True:
            asked_at = time.monotonic()  # the last poll comes after the deadline, to be a proof
            if self.api.status(session, job, self.name).outcome is Outcome.COMPLETED:
                return True
            if asked_at > deadline:
                return False
            gevent.sleep(self.run_.settings.poll)

    def _listen(self, step: Step, latency_ms: float, wrong: str) -> None:
        """Show the exchange in Locust's own statistics: refused publishes are no failures."""
        call = str(step.call)
        response = step.exchange.response
        answer = f" {step.answer}" if step.answer else ""
        self.environment.events.request.fire(
            request_type=_METHODS[call],
            name=f"/{call}{answer}",
            response_time=latency_ms,
            response_length=len(response.body) if response else 0,
            exception=RuntimeError(wrong) if wrong else None,
            context={},
        )
