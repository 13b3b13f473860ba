"""Stampede: rounds of publishes released together on one session."""

from __future__ import annotations

from typing import Any

import gevent
from locust import task

from onejob_contract.history import Outcome
from onejob_load.generator.users.base import ContentionUser


class Stampede(ContentionUser):
    """Races many publishes for its own session, completes the winner's job, and again."""

    scenario = "stampede"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._racers = [f"{self.name}.{n + 1}" for n in range(self.run_.settings.racers)]

    @task
    def race(self) -> None:
        """One round: at most one may win, and on a free session one must."""
        session = self.run_.session(self.name)
        # Released first often means served first, which must not favour one client for ever.
        self.random.shuffle(self._racers)
        told = self.api.stampede(session, self._racers)
        winners = [one.job for one in told if one.outcome is Outcome.GRANTED and one.job]
        for job in winners:
            self.hold_and_complete(session, job)
        if any(one.outcome is Outcome.UNKNOWN for one in told):
            self.run_.retire(self.name)
        elif not winners:
            gevent.sleep(self.run_.settings.hold)
