"""Connections to PostgreSQL that do not wait for ever.

Every timeout of PostgreSQL runs on its side. A server that is stopped, or behind a network
that swallows what is sent, keeps none of them; then the client has to give up by itself.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from psycopg import Connection, OperationalError

_AFTER_THE_SERVER = 1.5  # its own timeouts tell the reason; they come first where it lives


def connect(patience: float, *args: Any, **options: Any) -> Connection[Any]:
    """Connect as psycopg does; what takes 1.5 times `patience` seconds raises OperationalError."""
    connection = _Impatient.connect(*args, **options)
    connection.limit_s = patience * _AFTER_THE_SERVER
    return connection


class _Impatient(Connection[Any]):
    """A connection whose every exchange ends within `limit_s` seconds."""

    limit_s = 60.0

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """Wait as psycopg does, which looks up ten times per second, but not for ever."""
        return super().wait(_within(gen, self.limit_s), *args, **options)


def _within(exchange: Generator[Any, Any, Any], limit_s: float) -> Generator[Any, Any, Any]:
    """Run an exchange of psycopg's, which is resumed with what its socket is ready for."""
    give_up_at = time.monotonic() + limit_s
    try:
        wish = next(exchange)
        while True:
            is_ready = yield wish
            if not is_ready and time.monotonic() > give_up_at:
                raise OperationalError(f"no answer within {limit_s:g} s")
            wish = exchange.send(is_ready)
    except StopIteration as done:
        return done.value
