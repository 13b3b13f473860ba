"""Dispatch without a broker: idle workers look into the job table by themselves."""

from __future__ import annotations


class LocalDispatcher:
    """Nothing to tell: whoever is idle looks again within 50 ms."""

    def wake(self, job_id: str) -> None:
        """See `Dispatcher.wake`."""
