"""Slow and aborted uploads: half a request must neither take the lock nor keep it."""

from __future__ import annotations

from typing import Final

import gevent
from locust import task

from onejob_contract.history import Outcome
from onejob_load.generator.users.base import ContentionUser

_NOTICED_S: Final = 1.0
"""A server needs a moment to see that a client hung up; only then its session must be free."""


class SlowUploads(ContentionUser):
    """Sends images like a phone on a train, and sometimes loses the connection."""

    scenario = "slow_uploads"

    @task(3)
    def upload_slowly(self) -> None:
        """Give a publish whose body takes its time."""
        session = self.run_.session(self.name)
        told = self.api.publish_slowly(session, self.name, self.run_.settings.upload_s)
        if told.outcome is Outcome.UNKNOWN:
            self.run_.retire(self.name)
        elif told.outcome is Outcome.GRANTED and told.job:
            self.hold_and_complete(session, told.job)

    @task(1)
    def abort_and_retry(self) -> None:
        """Give an upload that breaks off, and the retry, which must find the session free."""
        session = self.run_.session(self.name)
        self.api.abort_upload(session, self.name, self.run_.settings.upload_s / 2)
        gevent.sleep(_NOTICED_S)
        session, told = self.publish(self.name)
        if told.outcome is Outcome.GRANTED and told.job:
            self.hold_and_complete(session, told.job)
