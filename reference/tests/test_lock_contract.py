"""The kit for lock backends, on every backend and on the real servers where there are any.

Name a PostgreSQL database in ONEJOB_TEST_POSTGRESQL (postgresql://postgres@127.0.0.1/test) and a
Redis in ONEJOB_TEST_REDIS (redis://127.0.0.1:6379/9); without a name their usual ports are tried.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis, RedisError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from onejob_contract.lockkit import OpenLock, SessionLockContract
from onejob_reference.locks import open_lock
from onejob_reference.locks.sql import SqlLock

IN_CI = os.environ.get("CI") == "true"
REDIS = os.environ.get("ONEJOB_TEST_REDIS", "redis://127.0.0.1:6379/9")
POSTGRESQL = os.environ.get("ONEJOB_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1/test")


def _missing(what: str, url: str, error: Exception) -> None:
    """Skip for want of a server; in CI it must be there."""
    reason = (
        f"no {what} at {url} ({type(error).__name__}); start one or name one in the environment"
    )
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


class TestMemoryLock(SessionLockContract):
    @pytest.fixture
    def open_lock(self) -> OpenLock:
        lock = open_lock("memory:")  # one process: its handles share one table
        return lambda: lock


class TestSqliteLock(SessionLockContract):
    @pytest.fixture
    def open_lock(self, tmp_path: Path) -> OpenLock:
        return lambda: open_lock(f"sql:sqlite:///{tmp_path / 'locks.sqlite3'}")


class TestPostgresqlLock(SessionLockContract):
    @pytest.fixture
    def open_lock(self) -> Iterator[OpenLock]:
        engine = create_engine(POSTGRESQL.replace("postgresql:", "postgresql+psycopg:", 1))
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            _missing("PostgreSQL", POSTGRESQL, error)
        finally:
            engine.dispose()
        opened: list[SqlLock] = []

        def another() -> SqlLock:
            opened.append(SqlLock(f"sql:{POSTGRESQL}"))
            return opened[-1]

        yield another
        for lock in opened:
            lock.close()


class TestRedisLock(SessionLockContract):
    @pytest.fixture
    def open_lock(self) -> OpenLock:
        try:
            with Redis.from_url(REDIS) as redis:
                redis.ping()
        except RedisError as error:
            _missing("Redis", REDIS, error)
        return lambda: open_lock(REDIS)
