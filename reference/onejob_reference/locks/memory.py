"""A session lock in the memory of one process."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Held:
    token: str
    expires_at: float | None

    def is_over(self) -> bool:
        return self.expires_at is not None and self.expires_at <= time.monotonic()


class MemoryLock:
    """Locks of one process, gone when it ends; the URL is `memory:`."""

    def __init__(self, url: str = "memory:") -> None:
        if url.rstrip("/") != "memory:":
            raise ValueError(f"the memory lock takes no address: {url!r}; use memory:")
        self._held: dict[str, _Held] = {}
        self._guard = threading.Lock()

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.acquire`."""
        with self._guard:
            if self._current(session) is not None:
                return False
            self._held[session] = _Held(token, _deadline(lease))
            return True

    def extend(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.extend`."""
        with self._guard:
            held = self._current(session)
            if held is None or held.token != token:
                return False
            self._held[session] = _Held(token, _deadline(lease))
            return True

    def release(self, session: str, token: str) -> bool:
        """See `SessionLock.release`."""
        with self._guard:
            held = self._current(session)
            if held is None or held.token != token:
                return False
            del self._held[session]
            return True

    def owner(self, session: str) -> str | None:
        """See `SessionLock.owner`."""
        with self._guard:
            held = self._current(session)
            return None if held is None else held.token

    def _current(self, session: str) -> _Held | None:
        held = self._held.get(session)
        if held is not None and held.is_over():
            del self._held[session]
            return None
        return held


def _deadline(lease: float | None) -> float | None:
    return None if lease is None else time.monotonic() + lease
