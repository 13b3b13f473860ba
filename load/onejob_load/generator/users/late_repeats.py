"""Late and repeated updates: they must never free or complete the newer job of a session."""

from __future__ import annotations

from locust import task

from onejob_contract.history import Outcome
from onejob_load.generator.users.base import ContentionUser


class LateRepeats(ContentionUser):
    """Completes a job again after the next one was granted, then looks whether that still holds."""

    scenario = "late_repeats"

    @task
    def repeat(self) -> None:
        """Go through two jobs in a row, and the first one's update repeated during the second."""
        session, first = self.publish(self.name)
        if first.outcome is not Outcome.GRANTED or not first.job:
            return
        self.complete(session, first.job)
        session_of_second, second = self.publish(self.name)
        self.complete(session, first.job)
        if second.outcome is not Outcome.GRANTED or not second.job:
            return
        _, probe = self.publish(self.name)
        self.api.status(session, second.job, self.name)
        self.api.status(session, first.job, self.name)
        self.hold_and_complete(session_of_second, second.job)
        if probe.outcome is Outcome.GRANTED and probe.job:
            self.complete(session_of_second, probe.job)
