"""Dispatch through a Celery broker, for workers on other machines than the server.

The job table stays the truth: a message only wakes a worker, which then claims the job or
finds nothing to claim. So no message matters: lost ones are made up for by workers that look
into the table now and then, repeated and late ones do nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, signals  # type: ignore[import-untyped]
from celery.worker import state  # type: ignore[import-untyped]

from onejob_reference.dispatch import DispatchError

_QUEUE = TASK = "onejob.perform"
_PATIENCE_S = 1
_PATIENCE_OF_WORKERS_S = 2  # above the second for which kombu lets Redis block
# Without these, kombu tries to reach a dead broker for ever, inside a request.
_GIVE_UP_SOON = {
    "max_retries": 1,  # a connection that broke since its last use is no dead broker
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}
_TRANSIENT = 1  # messages only wake: nothing is lost with them
_HEARTBEAT_S = 10
_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 2}
_LARGEST_POOL = 64

log = structlog.get_logger()


class BrokerDispatcher:
    """Sends one message per job to the broker at `url`."""

    def __init__(self, url: str) -> None:
        self._celery = _celery(url, _PATIENCE_S)
        self._celery.conf.broker_transport_options |= _GIVE_UP_SOON

    def wake(self, job_id: str) -> None:
        """See `Dispatcher.wake`."""
        try:
            self._celery.send_task(
                TASK,
                args=[job_id],
                queue=_QUEUE,
                delivery_mode=_TRANSIENT,
                confirm_timeout=_PATIENCE_S,
                retry=True,
                retry_policy=_GIVE_UP_SOON,
            )
        except Exception as failure:  # kombu passes on whatever its transports raise
            log.warning("broker out of reach", job=job_id, reason=str(failure))
            raise DispatchError(f"the broker answered {type(failure).__name__}") from failure


def listen(
    url: str, perform: Callable[[str], None], ready: Callable[[], None], stop: threading.Event
) -> None:
    """Call `perform` with the job id of each message, one at a time, until SIGTERM.

    `ready` is called once messages arrive. `stop` is set when the end begins, or ends it early
    if it is set before; the message in hand is finished before this returns.
    """
    app = _celery(url, _PATIENCE_OF_WORKERS_S)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def told(job_id: str) -> None:
        perform(job_id)

    def now_ready(**_: Any) -> None:
        ready()
        if stop.is_set():  # told to stop before Celery listened for signals
            state.should_stop = 0

    def now_stopping(**_: Any) -> None:
        stop.set()

    signals.worker_ready.connect(now_ready, weak=False)
    signals.worker_shutting_down.connect(now_stopping, weak=False)
    app.Worker(
        pool="threads",
        concurrency=1,
        queues=[_QUEUE],
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    ).start()


def _celery(url: str, patience: float) -> Celery:
    """Return an application that gives up a broker which says nothing for `patience` seconds."""
    if url.startswith("redis"):
        transport = {
            "socket_connect_timeout": _PATIENCE_S,
            "socket_timeout": patience,
            "socket_keepalive": True,
            "socket_keepalive_options": _KEEPALIVE,
        }
    else:
        transport = {"confirm_publish": True, "read_timeout": patience, "write_timeout": patience}
    app = Celery("onejob", broker=url, set_as_current=False)
    app.conf.update(
        broker_transport_options=transport,
        accept_content=["json"],
        broker_connection_timeout=_PATIENCE_S,
        broker_heartbeat=_HEARTBEAT_S,
        broker_pool_limit=_LARGEST_POOL,
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        task_acks_late=True,
        task_ignore_result=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        worker_enable_remote_control=False,  # workers of one host would fight for its queue
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
    )
    return app
