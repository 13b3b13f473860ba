"""Life cycle: what a well-behaved client and its worker do with one job."""

from __future__ import annotations

import time

import gevent
from locust import task

from onejob_contract.history import Outcome
from onejob_load.generator.users.base import ContentionUser


class LifeCycle(ContentionUser):
    """Publishes in its own session, polls, completes the job and reads its result."""

    scenario = "life_cycle"

    @task
    def one_job(self) -> None:
        """Go from the publish to the result."""
        session, told = self.publish(self.name)
        if told.outcome is not Outcome.GRANTED or not told.job:
            return
        if self.run_.settings.job_worker == "harness":
            due = time.monotonic() + self.run_.settings.hold
            while time.monotonic() < due:
                self.api.status(session, told.job, self.name)
                gevent.sleep(min(self.run_.settings.poll, max(0.0, due - time.monotonic())))
            self.complete(session, told.job)
        self.await_completion(session, told.job)
