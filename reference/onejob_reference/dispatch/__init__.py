"""How workers hear of jobs. The job table is what counts; a dispatcher only wakes somebody up."""

from __future__ import annotations

from typing import Protocol

from onejob_reference.dispatch.local import LocalDispatcher

BROKERS = ("redis", "rediss", "amqp", "amqps")


class DispatchError(Exception):
    """Nobody could be told, as far as we know; the text says why without naming the broker."""


class Dispatcher(Protocol):
    """Tells workers that a job waits. A message that is lost later costs time, never the job."""

    def wake(self, job_id: str) -> None:
        """Tell some worker about the job, soon. Raises DispatchError."""


def uses_broker(url: str) -> bool:
    """Whether the dispatch URL names a broker. Raises ValueError if it names nothing we know."""
    scheme = url.partition(":")[0]
    if scheme not in {"local", *BROKERS}:
        raise ValueError(f"no dispatch through {scheme + ':'!r}; use local:, redis:// or amqp://")
    return scheme in BROKERS


def open_dispatcher(url: str) -> Dispatcher:
    """Open the dispatcher for `local:` or a broker URL. Raises ValueError for any other."""
    if not uses_broker(url):
        return LocalDispatcher()
    from onejob_reference.dispatch.broker import BrokerDispatcher  # noqa: PLC0415 - Celery is heavy

    return BrokerDispatcher(url)
