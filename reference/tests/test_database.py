"""A transaction happens whole or not at all, and leaves its connection fit for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from onejob_reference.database import Database, Statement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADD = Statement(text("INSERT INTO numbers VALUES (1)"))
ALL = Statement(text("SELECT * FROM numbers"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'numbers.sqlite3'}", patience=0.1)
    database.create([text("CREATE TABLE numbers (number INTEGER)")])
    yield database
    database.close()


class InterruptedAtCommit:
    """A driver's cursor in a thread that is torn down in the middle of a commit."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, statement: str, *values: object) -> None:
        if statement == "COMMIT":
            raise KeyboardInterrupt
        self._cursor.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(
    database: Database, failure: type[BaseException]
) -> None:
    with pytest.raises(failure):
        _add(database, failure)

    assert _numbers(database) == []
    _add(database)
    assert _numbers(database) == [(1,)]


def test_a_commit_that_is_torn_down_leaves_no_transaction_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = database._engine.raw_connection

    def interrupted() -> Any:
        connection = take()
        cursor = connection.cursor
        monkeypatch.setattr(connection, "cursor", lambda: InterruptedAtCommit(cursor()))
        return connection

    with monkeypatch.context() as torn:
        torn.setattr(database._engine, "raw_connection", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _add(database)

    _add(database)
    assert _numbers(database) == [(1,)]


def _add(database: Database, failure: type[BaseException] | None = None) -> None:
    with database.writing() as transaction:
        transaction.change(ADD)
        if failure is not None:
            raise failure


def _numbers(database: Database) -> list[tuple[Any, ...]]:
    with database.reading() as transaction:
        return transaction.rows(ALL)
