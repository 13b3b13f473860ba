"""How workers hear of jobs. The job table is what counts; a dispatcher only wakes somebody up."""

from __future__ import annotations

from typing import Protocol

from onejob_reference.dispatch.local import LocalDispatcher


class Dispatcher(Protocol):
    """Tells workers that a job waits. Losing a call costs time, never the job."""

    def wake(self, job_id: str) -> None:
        """Tell some worker about the job; returns soon and raises nothing."""


def open_dispatcher(url: str) -> Dispatcher:
    """Open the dispatcher for `local:` or a broker URL.

    Raises ValueError for a URL of neither.
    """
    scheme = url.partition(":")[0]
    if scheme == "local":
        return LocalDispatcher()
    raise ValueError(f"no dispatch through {scheme + ':'!r}; use local:")
