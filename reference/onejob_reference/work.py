"""Run a worker process: its parts put together."""

from __future__ import annotations

import threading
from functools import partial

import structlog

from onejob_reference import logs
from onejob_reference.claims import Claims
from onejob_reference.database import Database, DatabaseError
from onejob_reference.decoder import Decoder
from onejob_reference.dispatch import uses_broker
from onejob_reference.report import Reporter
from onejob_reference.results import Results
from onejob_reference.schema import create_tables
from onejob_reference.settings import Settings
from onejob_reference.sweeper import Sweeper
from onejob_reference.uploads import Uploads
from onejob_reference.worker import Worker

_LOOK_EVERY_S = 0.05
_DATABASE_AWAY_PAUSE_S = 0.5

log = structlog.get_logger()


def work(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set."""
    logs.configure()
    database = Database(settings.database, settings.patience)
    create_tables(database)
    claims = Claims(database, settings.claim)
    uploads = Uploads(settings.upload_root)
    decoder = Decoder(settings.max_pixels, settings.max_seconds)
    worker = Worker(
        claims,
        uploads,
        decoder,
        Results(settings.result_root, settings.result_url or settings.url),
        Reporter(settings.url, settings.update_secret, stop, settings.authorities),
        max_attempts=settings.max_attempts,
    )
    sweeper = Sweeper(claims, uploads)
    threading.Thread(target=sweeper.run, args=(stop,), name="sweeper", daemon=True).start()
    try:
        if uses_broker(settings.dispatch):
            _work_as_told(settings, worker, claims, stop)
        else:
            _tell_ready(settings)
            _work_off(worker, claims, stop, look_every=_LOOK_EVERY_S)
    finally:
        decoder.close()


def _tell_ready(settings: Settings) -> None:
    print(f"working for {settings.url}", flush=True)  # noqa: T201 - the parent reads it


def _work_as_told(
    settings: Settings, worker: Worker, claims: Claims, stop: threading.Event
) -> None:
    """Work on jobs as messages come; also on jobs that were left or whose message was lost."""
    from onejob_reference.dispatch import broker  # noqa: PLC0415 - Celery is heavy

    left = threading.Thread(
        target=_work_off,
        args=(worker, claims, stop),
        kwargs={"look_every": settings.patience / 2, "age": settings.claim},
        name="left jobs",
    )
    left.start()
    try:
        broker.listen(
            settings.dispatch,
            partial(_work_on, worker, claims),
            partial(_tell_ready, settings),
            stop,
        )
    finally:
        stop.set()
        left.join()


def _work_off(
    worker: Worker, claims: Claims, stop: threading.Event, *, look_every: float, age: float = 0.0
) -> None:
    """Work on one job after the other, oldest first, that was left or waits since `age` seconds.

    The one in hand when `stop` is set is finished. Times are in seconds.
    """
    while not stop.is_set():
        try:
            has_worked = worker.take(partial(claims.next, age))
        except DatabaseError as away:
            log.warning("job table out of reach", reason=str(away))
            stop.wait(_DATABASE_AWAY_PAUSE_S)
            continue
        if not has_worked:
            stop.wait(look_every)


def _work_on(worker: Worker, claims: Claims, job_id: str) -> None:
    """Work on this job unless it is done or in other hands."""
    try:
        worker.take(partial(claims.claim, job_id))
    except DatabaseError as away:  # whoever looks into the table later finds the job
        log.warning("job table out of reach", job=job_id, reason=str(away))
