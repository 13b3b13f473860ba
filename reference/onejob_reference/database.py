"""The database: tables, transactions, and the one clock all hosts share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import (
    Column,
    Connection,
    Double,
    Engine,
    FunctionElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.compiler import compiles

log = structlog.get_logger()

_BUSY_TIMEOUT_S = 5
_SCHEMA_ADVISORY_LOCK = 0x6F6E656A6F62


class OutcomeUnknownError(Exception):
    """The connection broke during COMMIT: the transaction may have taken effect or not."""


class OpaqueText(TypeDecorator[str]):
    """Any text, kept as its bytes: no collation, normalisation or forbidden character applies."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:  # noqa: ARG002
        """Encode what goes into the database."""
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: bytes | None, dialect: Any) -> str | None:  # noqa: ARG002
        """Decode what comes out of it."""
        return None if value is None else bytes(value).decode("utf-8", "surrogatepass")


class Now(FunctionElement[float]):
    """The database's clock, seconds since 1970: the only clock leases are measured with."""

    type = Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def _now_sqlite(_element: Now, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _now_postgresql(_element: Now, _compiler: Any, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("session", OpaqueText, nullable=False),
    Column("state", String(10), nullable=False),
    Column("image_url", OpaqueText),
    Column("created_at", Double, nullable=False),
    Column("woken_at", Double, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("lease_until", Double),
)

_processing = text("state = 'processing'")
Index(
    "one_active_job_per_session",
    jobs.c.session,
    unique=True,
    sqlite_where=_processing,
    postgresql_where=_processing,
)
Index(
    "jobs_to_do",
    jobs.c.created_at,
    sqlite_where=_processing,
    postgresql_where=_processing,
)

session_locks = Table(
    "session_locks",
    metadata,
    Column("session", OpaqueText, primary_key=True),
    Column("token", String(200), nullable=False),
    Column("expires_at", Double),
)


class Database:
    """One engine on one database; `url` is an SQLAlchemy URL of SQLite or PostgreSQL.

    Raises ValueError for a URL of anything else.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self._engine = _sqlite(self.url) if self._is_sqlite else _postgresql(self.url)
        self._writing = self._engine.execution_options(onejob_begin="BEGIN IMMEDIATE")

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def create_tables(self) -> None:
        """Create what is missing; several processes may do so at once."""
        if self._is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        with self._writing.begin() as connection:
            if not self._is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCHEMA_ADVISORY_LOCK})"))
            metadata.create_all(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection for queries."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block and rolled back on any exception.

        Raises OutcomeUnknownError if the commit itself failed; every other exception means that
        nothing was written.
        """
        with self._writing.connect() as connection, connection.begin() as transaction:
            yield connection
            try:
                transaction.commit()
            except DBAPIError as broken:
                raise OutcomeUnknownError(reason_of(broken)) from broken

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def reason_of(failure: DBAPIError) -> str:
    """Say why a statement failed without showing statement, values, host or password."""
    kind = type(failure.orig).__name__
    log.warning("database failure", kind=kind, message=str(failure.orig).strip())
    return f"the database answered {kind}"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"not a database URL: {url!r}; try sqlite:///FILE") from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ValueError(
            f"unsupported database {parsed.get_backend_name()!r}; use sqlite:///FILE or postgresql://"
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("a SQLite database needs a file: several processes share it")
    return parsed


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S}, pool_size=64)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred BEGIN followed by a write fails at once when another writer was faster,
        # whatever the busy timeout: writers must queue at BEGIN.
        options = connection.get_execution_options()
        connection.exec_driver_sql(options.get("onejob_begin", "BEGIN"))

    return engine


def _postgresql(url: URL) -> Engine:
    # A process that stops inside a transaction must not hold a session longer than a lease.
    server_options = (
        "-c idle_in_transaction_session_timeout=8000 -c lock_timeout=5000 "
        "-c statement_timeout=15000"
    )
    return create_engine(
        url,
        connect_args={"connect_timeout": 3, "options": server_options},
        pool_pre_ping=True,
        pool_size=64,
    )
