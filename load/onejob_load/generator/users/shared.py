"""Users on shared sessions: few hot ones, which they contend for, and many that they hardly do."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from locust import task

from onejob_contract.history import Outcome
from onejob_load.generator.users.base import ContentionUser


class HotSessions(ContentionUser):
    """Publishes on few sessions, chosen by Zipf's law: the first is the hottest."""

    scenario = "hot_sessions"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.run_.settings
        weights = (1 / rank**settings.zipf for rank in range(1, settings.hot + 1))
        self._shares = list(accumulate(weights))

    @task
    def contend(self) -> None:
        """Publish; whoever is granted holds the session and completes the job."""
        (number,) = self.random.choices(range(len(self._shares)), cum_weights=self._shares)
        session, told = self.publish(self.run_.shared_place(self.scenario, number))
        if told.outcome is Outcome.GRANTED and told.job:
            self.hold_and_complete(session, told.job)


class ManySessions(ContentionUser):
    """Publishes on many sessions, each as likely as the other."""

    scenario = "many_sessions"

    @task
    def publish_somewhere(self) -> None:
        """Publish; whoever is granted holds the session and completes the job."""
        number = self.random.randrange(self.run_.settings.sessions)
        session, told = self.publish(self.run_.shared_place(self.scenario, number))
        if told.outcome is Outcome.GRANTED and told.job:
            self.hold_and_complete(session, told.job)
