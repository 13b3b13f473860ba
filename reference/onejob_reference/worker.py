"""Work on one claimed job at a time: compose, keep the result, report it until answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from onejob_reference import composition
from onejob_reference.claims import Claim, Claims
from onejob_reference.database import DatabaseError
from onejob_reference.decoder import Decoder
from onejob_reference.report import Answer, Reporter
from onejob_reference.results import Results
from onejob_reference.uploads import Uploads

log = structlog.get_logger()


class Worker:
    """Turns claims into reported results. Safe to kill at any point: the lease hands the job on."""

    def __init__(
        self,
        claims: Claims,
        uploads: Uploads,
        decoder: Decoder,
        results: Results,
        reporter: Reporter,
        *,
        max_attempts: int,
    ) -> None:
        self._claims = claims
        self._uploads = uploads
        self._decoder = decoder
        self._results = results
        self._reporter = reporter
        self._max_attempts = max_attempts
        self._hands = threading.Lock()

    def take(self, find: Callable[[], Claim | None]) -> bool:
        """Claim a job with `find` and do it; False if there was none. Raises what `find` raises."""
        with self._hands:
            claim = find()
            if claim is not None:
                self.perform(claim)
        return claim is not None

    def perform(self, claim: Claim) -> None:
        """Do the claimed job. Failing leaves the job to the next claim, when this one has ended."""
        context = {"job": claim.job_id, "attempt": claim.attempt}
        log.info("job claimed", **context)
        try:
            with self._heartbeat(claim) as lost:
                url = self._results.keep(claim.job_id, claim.attempt, self._picture(claim))
                answer = self._reporter.report(claim.job_id, url, lost)
                if answer is Answer.REFUSED:
                    self._results.drop(claim.job_id, claim.attempt)
        except Exception:
            log.exception("job failed, left to the next attempt", **context)
            return
        log.info("job left", report=answer.name.lower(), **context)

    def _picture(self, claim: Claim) -> bytes:
        if claim.attempt > self._max_attempts:
            return composition.placeholder(f"{self._max_attempts} attempts failed")
        try:
            return self._decoder.side_by_side(*self._uploads.paths(claim.job_id))
        except composition.UnreadableImageError as unreadable:
            log.info("placeholder", reason=str(unreadable), job=claim.job_id)
            return composition.placeholder(str(unreadable))

    @contextmanager
    def _heartbeat(self, claim: Claim) -> Iterator[threading.Event]:
        """Renew the claim while the block runs; the event yielded tells that it was lost."""
        done, lost = threading.Event(), threading.Event()

        def beat() -> None:
            while not done.wait(self._claims.lifetime / 3):
                try:
                    if not self._claims.renew(claim):
                        lost.set()
                        return
                except DatabaseError as away:
                    log.warning("heartbeat missed", reason=str(away))

        heart = threading.Thread(target=beat, name=f"heartbeat {claim.job_id}", daemon=True)
        heart.start()
        try:
            yield lost
        finally:
            done.set()
            heart.join()
