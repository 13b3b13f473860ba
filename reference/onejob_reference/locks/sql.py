"""A session lock in a table of SQLite or PostgreSQL; leases run by the database's clock.

The functions work within a transaction of the caller, so that a job table in the same
database can commit lock and job together; `SqlLock` gives each its own transaction.
"""

from __future__ import annotations

from sqlalchemy import BindParameter, Double, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from onejob_reference.database import Database, Now, Statement, Transaction
from onejob_reference.schema import create_tables, session_locks, to_bytes, to_text

_session: BindParameter[bytes] = bindparam("the_session")
_token: BindParameter[bytes] = bindparam("the_token")
_lease_end = Now() + bindparam("the_lease", type_=Double)  # a NULL lease never ends

_is_alive = or_(session_locks.c.expires_at.is_(None), session_locks.c.expires_at > Now())
_is_owned = (session_locks.c.session == _session) & (session_locks.c.token == _token) & _is_alive


def _acquire(insert: sqlite.Insert | postgresql.Insert) -> Statement:
    row = insert.values(session=_session, token=_token, expires_at=_lease_end)
    return Statement(
        row.on_conflict_do_update(
            index_elements=[session_locks.c.session],
            set_={"token": row.excluded.token, "expires_at": row.excluded.expires_at},
            where=session_locks.c.expires_at <= Now(),
        )
    )


_ACQUIRE = {
    "sqlite": _acquire(sqlite.insert(session_locks)),
    "postgresql": _acquire(postgresql.insert(session_locks)),
}
_EXTEND = Statement(update(session_locks).where(_is_owned).values(expires_at=_lease_end))
_RELEASE = Statement(delete(session_locks).where(_is_owned))
_OWNER = Statement(
    select(session_locks.c.token).where((session_locks.c.session == _session) & _is_alive)
)


def acquire(transaction: Transaction, session: str, token: str, lease: float | None) -> bool:
    """`SessionLock.acquire` within `transaction`."""
    key, value = to_bytes(session), to_bytes(token)
    touched = transaction.change(
        _ACQUIRE[transaction.dialect], the_session=key, the_token=value, the_lease=lease
    )
    return touched == 1


def release(transaction: Transaction, session: str, token: str) -> bool:
    """`SessionLock.release` within `transaction`."""
    key, value = to_bytes(session), to_bytes(token)
    return transaction.change(_RELEASE, the_session=key, the_token=value) == 1


def owner(transaction: Transaction, session: str) -> str | None:
    """`SessionLock.owner` within `transaction`."""
    for (token,) in transaction.rows(_OWNER, the_session=to_bytes(session)):
        return to_text(token)
    return None


class SqlLock:
    """Locks in the table `session_locks` of the database behind `sql:DATABASE-URL`."""

    def __init__(self, url: str) -> None:
        self._database = Database(url.removeprefix("sql:"))
        create_tables(self._database)

    def close(self) -> None:
        """Give back the connections to the database; the locks stay."""
        self._database.close()

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.acquire`."""
        with self._database.writing() as transaction:
            return acquire(transaction, session, token, lease)

    def extend(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.extend`."""
        key, value = to_bytes(session), to_bytes(token)
        with self._database.writing() as transaction:
            touched = transaction.change(_EXTEND, the_session=key, the_token=value, the_lease=lease)
        return touched == 1

    def release(self, session: str, token: str) -> bool:
        """See `SessionLock.release`."""
        with self._database.writing() as transaction:
            return release(transaction, session, token)

    def owner(self, session: str) -> str | None:
        """See `SessionLock.owner`."""
        with self._database.reading() as transaction:
            return owner(transaction, session)
