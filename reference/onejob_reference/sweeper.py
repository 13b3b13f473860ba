"""Remove what the dead left on the disk: uploads whose job has ended or never began."""

from __future__ import annotations

import threading
import time

import structlog

from onejob_reference.claims import Claims
from onejob_reference.database import DatabaseError
from onejob_reference.uploads import Uploads

_EVERY_S = 600.0

log = structlog.get_logger()


class Sweeper:
    """Every worker process has one; they may sweep at the same time."""

    def __init__(self, claims: Claims, uploads: Uploads) -> None:
        self._claims = claims
        self._uploads = uploads

    def run(self, stop: threading.Event) -> None:
        """Sweep every ten minutes until `stop` is set."""
        while not stop.is_set():
            try:
                self.sweep(older_than=_EVERY_S)
            except (DatabaseError, OSError) as failure:
                log.warning("sweeper disturbed", reason=str(failure))
            stop.wait(_EVERY_S)

    def sweep(self, older_than: float) -> None:
        """Remove uploads of `older_than` seconds and more whose job is not active."""
        for job_id in self._uploads.left_since(time.time() - older_than):
            if not self._claims.is_active(job_id):
                log.info("uploads swept", job=job_id)
                self._uploads.remove(job_id)
