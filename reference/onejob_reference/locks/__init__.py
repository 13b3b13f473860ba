"""The session lock: its protocol, and the way from a URL to a backend.

A backend is a class that takes its URL as its only argument and follows `SessionLock`.
Packages add backends through the entry-point group `onejob.locks`: the entry's name is
the scheme of the URL.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

GROUP = "onejob.locks"


@runtime_checkable
class SessionLock(Protocol):
    """At most one token owns a session. No method waits for another owner.

    `session` and `token` are opaque, non-empty texts. `lease` is in seconds (above 0);
    None means that the lock stays until it is released. Methods raise whatever their
    backend raises when it cannot be reached.
    """

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        """Take the session for the token; False if any token owns it, this one included."""

    def extend(self, session: str, token: str, lease: float | None) -> bool:
        """Let the lock live `lease` seconds from now; False if the token does not own it."""

    def release(self, session: str, token: str) -> bool:
        """Free the session if the token owns it, else leave it alone and return False."""

    def owner(self, session: str) -> str | None:
        """Return the token that owns the session now, None if it is free."""


def open_lock(url: str) -> SessionLock:
    """Open the backend that the scheme of `url` names.

    Raises ValueError for a scheme nobody provides, and what the backend raises for its URL.
    """
    scheme = url.partition(":")[0]
    found = list(entry_points(group=GROUP, name=scheme))
    if not found:
        known = ", ".join(sorted(entry.name + ":" for entry in entry_points(group=GROUP)))
        raise ValueError(f"no session lock for {scheme + ':'!r}; installed are {known}")
    backend: SessionLock = found[0].load()(url)
    return backend
