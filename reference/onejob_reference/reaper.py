"""Hand on what the dead left: jobs whose lease ran out, uploads whose job has ended."""

from __future__ import annotations

import threading
import time

import structlog

from onejob_reference.claims import Claims
from onejob_reference.database import DatabaseError
from onejob_reference.dispatch import Dispatcher
from onejob_reference.uploads import Uploads

_SWEEP_EVERY_S = 600.0

log = structlog.get_logger()


class Reaper:
    """Every worker process has one; a job is handed on by whichever is first."""

    def __init__(self, claims: Claims, dispatcher: Dispatcher, uploads: Uploads) -> None:
        self._claims = claims
        self._dispatcher = dispatcher
        self._uploads = uploads

    def run(self, stop: threading.Event) -> None:
        """Look four times per lease until `stop` is set."""
        next_sweep = time.monotonic()
        while not stop.wait(self._claims.lease / 4):
            try:
                self.wake_overdue()
                if time.monotonic() >= next_sweep:
                    self.sweep(older_than=_SWEEP_EVERY_S)
                    next_sweep = time.monotonic() + _SWEEP_EVERY_S
            except (DatabaseError, OSError) as failure:
                log.warning("reaper disturbed", reason=str(failure))

    def wake_overdue(self) -> None:
        """Wake a worker for every job nobody works on although it was told of a lease ago."""
        for job_id in self._claims.overdue():
            log.info("job handed on", job=job_id)
            self._dispatcher.wake(job_id)

    def sweep(self, older_than: float) -> None:
        """Remove uploads of `older_than` seconds and more whose job has ended or never began."""
        for job_id in self._uploads.left_since(time.time() - older_than):
            if not self._claims.is_active(job_id):
                log.info("uploads swept", job=job_id)
                self._uploads.remove(job_id)
