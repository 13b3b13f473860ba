"""Run a worker process: its parts put together."""

from __future__ import annotations

import threading
from functools import partial

import structlog

from onejob_reference import logs
from onejob_reference.claims import Claims
from onejob_reference.database import Database, DatabaseError
from onejob_reference.dispatch import open_dispatcher, uses_broker
from onejob_reference.reaper import Reaper
from onejob_reference.report import Reporter
from onejob_reference.results import Results
from onejob_reference.schema import create_tables
from onejob_reference.settings import Settings
from onejob_reference.uploads import Uploads
from onejob_reference.worker import Worker

_LOOK_EVERY_S = 0.05
_DATABASE_AWAY_PAUSE_S = 1.0

log = structlog.get_logger()


def work(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set."""
    logs.configure()
    database = Database(settings.database)
    create_tables(database)
    claims = Claims(database, settings.lease)
    uploads = Uploads(settings.upload_root)
    worker = Worker(
        claims,
        uploads,
        Results(settings.result_root, settings.result_url or settings.url),
        Reporter(settings.url, settings.update_secret, stop),
        max_pixels=settings.max_pixels,
        max_attempts=settings.max_attempts,
    )
    reaper = Reaper(claims, open_dispatcher(settings.dispatch), uploads)
    threading.Thread(target=reaper.run, args=(stop,), name="reaper", daemon=True).start()

    def ready() -> None:
        print(f"working for {settings.url}", flush=True)  # noqa: T201 - the parent reads it

    if uses_broker(settings.dispatch):
        from onejob_reference.dispatch import broker  # noqa: PLC0415 - Celery is heavy

        broker.listen(settings.dispatch, partial(_work_on, worker, claims), ready, stop)
    else:
        ready()
        _work_off(worker, claims, stop)


def _work_off(worker: Worker, claims: Claims, stop: threading.Event) -> None:
    """Work on one job after the other; the one in hand when `stop` is set is finished."""
    while not stop.is_set():
        try:
            claim = claims.next()
        except DatabaseError as away:
            log.warning("job table out of reach", reason=str(away))
            stop.wait(_DATABASE_AWAY_PAUSE_S)
            continue
        if claim is None:
            stop.wait(_LOOK_EVERY_S)
        else:
            worker.perform(claim)


def _work_on(worker: Worker, claims: Claims, job_id: str) -> None:
    """Work on this job unless it is done or in other hands."""
    try:
        claim = claims.claim(job_id)
    except DatabaseError as away:
        log.warning("job table out of reach", job=job_id, reason=str(away))
        return  # the reaper hands it on
    if claim is not None:
        worker.perform(claim)
