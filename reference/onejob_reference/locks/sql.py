"""A session lock in a table of SQLite or PostgreSQL; leases run by the database's clock.

The functions work inside a transaction of the caller, so that a job table in the same
database can commit lock and job together; `SqlLock` gives each its own transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, Double, String, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from onejob_reference.database import Database, Now, OpaqueText, session_locks

_SESSION = bindparam("the_session", type_=OpaqueText)
_TOKEN = bindparam("the_token", type_=String)
_EXPIRES_AT = Now() + bindparam("the_lease", type_=Double)  # a NULL lease never expires

_is_alive = or_(session_locks.c.expires_at.is_(None), session_locks.c.expires_at > Now())
_is_owned = (session_locks.c.session == _SESSION) & (session_locks.c.token == _TOKEN) & _is_alive


def _acquire_with(insert: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    row = insert.values(session=_SESSION, token=_TOKEN, expires_at=_EXPIRES_AT)
    return row.on_conflict_do_update(
        index_elements=[session_locks.c.session],
        set_={"token": row.excluded.token, "expires_at": row.excluded.expires_at},
        where=session_locks.c.expires_at <= Now(),
    )


_ACQUIRE = {
    "sqlite": _acquire_with(sqlite.insert(session_locks)),
    "postgresql": _acquire_with(postgresql.insert(session_locks)),
}
_EXTEND = update(session_locks).where(_is_owned).values(expires_at=_EXPIRES_AT)
_RELEASE = delete(session_locks).where(_is_owned)
_OWNER = select(session_locks.c.token).where((session_locks.c.session == _SESSION) & _is_alive)


def acquire(connection: Connection, session: str, token: str, lease: float | None) -> bool:
    """`SessionLock.acquire` within the transaction of `connection`."""
    values = {"the_session": session, "the_token": token, "the_lease": lease}
    return connection.execute(_ACQUIRE[connection.dialect.name], values).rowcount == 1


def release(connection: Connection, session: str, token: str) -> bool:
    """`SessionLock.release` within the transaction of `connection`."""
    values = {"the_session": session, "the_token": token}
    return connection.execute(_RELEASE, values).rowcount == 1


def owner(connection: Connection, session: str) -> str | None:
    """`SessionLock.owner` within the transaction of `connection`."""
    token: str | None = connection.execute(_OWNER, {"the_session": session}).scalar()
    return token


class SqlLock:
    """Locks in the table `session_locks` of the database behind `sql:DATABASE-URL`."""

    def __init__(self, url: str) -> None:
        self._database = Database(url.removeprefix("sql:"))
        self._database.create_tables()

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.acquire`."""
        with self._database.writing() as connection:
            return acquire(connection, session, token, lease)

    def extend(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.extend`."""
        values = {"the_session": session, "the_token": token, "the_lease": lease}
        with self._database.writing() as connection:
            return connection.execute(_EXTEND, values).rowcount == 1

    def release(self, session: str, token: str) -> bool:
        """See `SessionLock.release`."""
        with self._database.writing() as connection:
            return release(connection, session, token)

    def owner(self, session: str) -> str | None:
        """See `SessionLock.owner`."""
        with self._database.reading() as connection:
            return owner(connection, session)
