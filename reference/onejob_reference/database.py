"""The database: transactions on SQLite or PostgreSQL, and the one clock all hosts share.

SQLAlchemy writes the SQL, knows the dialects and keeps the connections. The statements
are compiled once and run on the driver itself: on the way of a publish, SQLAlchemy's work
per execution costs more than the statements do (measured: 0.5 of 2.5 ms).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import (
    ClauseElement,
    Double,
    Engine,
    FunctionElement,
    create_engine,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.ext.compiler import compiles

_PATIENCE_S = 2.5
_SHORTEST_CONNECT_TIMEOUT_S = 2  # of PostgreSQL's client library
_SCHEMA_LOCK = select(func.pg_advisory_xact_lock(0x6F6E656A6F62))
_LARGEST_POOL = 64
_CHECKPOINT_PAGES = 4000  # 16 MB: writers wait for the disk at each checkpoint

log = structlog.get_logger()


class DatabaseError(Exception):
    """The database did not do it: the transaction had no effect.

    The text says why without showing statement, values, host or password.
    """


class ConflictError(DatabaseError):
    """A unique index refused the row."""


class OutcomeUnknownError(DatabaseError):
    """The commit itself failed: the transaction may have taken effect or not."""


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


class Statement:
    """An SQLAlchemy statement whose text is made once per dialect."""

    def __init__(self, element: ClauseElement) -> None:
        self._element = element
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def compiled(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """Return its text and the parameters that are part of the statement."""
        if dialect.name not in self._compiled:
            compiled = self._element.compile(
                dialect=dialect, compile_kwargs={"render_postcompile": True}
            )
            constants = {k: v for k, v in (compiled.params or {}).items() if v is not None}
            self._compiled[dialect.name] = str(compiled), constants
        return self._compiled[dialect.name]


class Transaction:
    """Runs statements on one connection."""

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        self._cursor = cursor
        self._dialect = dialect

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._dialect.name

    def change(self, statement: Statement, **values: object) -> int:
        """Run an INSERT, UPDATE or DELETE and return how many rows it touched."""
        self._run(statement, values)
        touched: int = self._cursor.rowcount
        return touched

    def rows(self, statement: Statement, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows, and return them all."""
        self._run(statement, values)
        found: list[tuple[Any, ...]] = self._cursor.fetchall()
        return found

    def _run(self, statement: Statement, values: dict[str, object]) -> None:
        text, constants = statement.compiled(self._dialect)
        self._cursor.execute(text, constants | values)


class Database:
    """One engine on one database; `url` is an SQLAlchemy URL of SQLite or PostgreSQL.

    A database that is locked or does not answer for `patience` seconds is given up; PostgreSQL
    gives up a client that falls silent in a transaction. Raises ValueError for a URL of anything
    else. Transactions raise DatabaseError.
    """

    def __init__(self, url: str, patience: float = _PATIENCE_S) -> None:
        parsed = _parse(url)
        self._is_sqlite = parsed.get_backend_name() == "sqlite"
        if self._is_sqlite:
            Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
        self._engine = (_sqlite if self._is_sqlite else _postgresql)(parsed, patience)
        # A deferred BEGIN followed by a write fails at once on SQLite when another writer was
        # faster, whatever the busy timeout: writers must queue at BEGIN.
        self._begin = "BEGIN IMMEDIATE" if self._is_sqlite else "BEGIN"

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Yield a connection for single queries, each of which sees the latest commit."""
        with self._cursor() as cursor, self._telling_why():
            yield Transaction(cursor, self._engine.dialect)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Yield one transaction: committed at the end of the block, undone by any exception.

        Raises OutcomeUnknownError if the connection broke at the commit; any other exception
        means that nothing was written.
        """
        with self._cursor() as cursor:
            try:
                with self._telling_why():
                    cursor.execute(self._begin)
                    yield Transaction(cursor, self._engine.dialect)
            except BaseException as failure:
                if not _is_broken(failure):
                    with self._telling_why():
                        cursor.execute("ROLLBACK")
                raise
            try:
                cursor.execute("COMMIT")
            except self._driver.Error as failure:
                kind = DatabaseError if self._is_sqlite else OutcomeUnknownError
                raise kind(_reason(failure)) from failure

    def create(self, statements: list[ClauseElement]) -> None:
        """Run DDL that may find its work done; several processes may run it at once."""
        with self.writing() as transaction:
            if not self._is_sqlite:
                transaction.rows(Statement(_SCHEMA_LOCK))
            for statement in statements:
                transaction.change(Statement(statement))

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    @property
    def _driver(self) -> Any:
        return self._engine.dialect.dbapi

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        try:
            connection = self._engine.raw_connection()
        except DBAPIError as failure:
            raise DatabaseError(_reason(failure.orig)) from failure
        except self._driver.Error as failure:
            raise DatabaseError(_reason(failure)) from failure
        try:
            yield connection.cursor()
        except BaseException as failure:
            if _is_broken(failure):
                connection.invalidate()  # whatever state it is in, it is not handed out again
            raise
        finally:
            connection.close()  # back to the pool

    @contextmanager
    def _telling_why(self) -> Iterator[None]:
        try:
            yield
        except self._driver.IntegrityError as failure:
            raise ConflictError(_reason(failure)) from failure
        except self._driver.Error as failure:
            raise DatabaseError(_reason(failure)) from failure


def _is_broken(failure: BaseException) -> bool:
    """Whether the connection cannot be trusted after this; a refused row does it no harm.

    What is no Exception interrupts a thread anywhere, also in the middle of a commit.
    """
    if not isinstance(failure, Exception):
        return True
    return isinstance(failure, DatabaseError) and not isinstance(failure, ConflictError)


def _reason(failure: BaseException | None) -> str:
    kind = type(failure).__name__
    log.warning("database failure", kind=kind, message=str(failure).strip())
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
            f"no support for {parsed.get_backend_name()!r}; use sqlite:///FILE or postgresql://"
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("a SQLite database needs a file: several processes share it")
    return parsed


def _sqlite(url: URL, patience: float) -> Engine:
    engine = create_engine(
        url,
        paramstyle="named",
        pool_size=_LARGEST_POOL,
        pool_reset_on_return=None,  # `writing` leaves nothing open
        connect_args={"timeout": patience, "isolation_level": None},
    )

    def is_writable() -> bool:
        return os.access(url.database or "", os.W_OK)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        record.info["read-only"] = not is_writable()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    @event.listens_for(engine, "checkout")
    def replace_if_outdated(_connection: Any, record: Any, _proxy: Any) -> None:
        # Connections that were opened while the file was read-only stay so, and so do new ones
        # of the same process while any of them is open.
        if record.info["read-only"] and is_writable():
            engine.dispose()
            raise DisconnectionError

    return engine


def _postgresql(url: URL, patience: float) -> Engine:
    from onejob_reference.impatient import connect  # noqa: PLC0415 - needs PostgreSQL's library

    milliseconds = round(patience * 1000)
    # A process that stops inside a transaction must not hold a session for long.
    server_options = (
        f"-c idle_in_transaction_session_timeout={milliseconds} -c lock_timeout={milliseconds} "
        f"-c statement_timeout={milliseconds}"
    )
    engine = create_engine(
        url,
        pool_size=_LARGEST_POOL,
        pool_reset_on_return=None,  # `writing` leaves nothing open
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": max(_SHORTEST_CONNECT_TIMEOUT_S, round(patience)),
            "options": server_options,
            "autocommit": True,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect_impatiently(_dialect: Any, _record: Any, args: Any, options: Any) -> Any:
        return connect(patience, *args, **options)

    return engine
