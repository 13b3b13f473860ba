"""The two tables: jobs and session locks.

Session ids and URLs are opaque: they are kept as bytes, so that no collation, normalisation
or forbidden character of a database applies to them.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    literal_column,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from onejob_reference.database import Database

_metadata = MetaData()

jobs = Table(
    "jobs",
    _metadata,
    Column("job_id", String(36), primary_key=True),
    Column("session", LargeBinary, nullable=False),
    Column("state", String(10), nullable=False),
    Column("image_url", LargeBinary),
    Column("created_at", Double, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("lease_until", Double),
    sqlite_with_rowid=False,  # one tree to write instead of a table and its key's index
)

session_locks = Table(
    "session_locks",
    _metadata,
    Column("session", LargeBinary, primary_key=True),
    Column("token", LargeBinary, nullable=False),
    Column("expires_at", Double),
    sqlite_with_rowid=False,
)

# Written out, not bound: only then can the partial indexes serve a statement.
is_active = jobs.c.state != literal_column("'completed'")

_indexes = (
    Index(
        "one_active_job_per_session",
        jobs.c.session,
        unique=True,
        sqlite_where=is_active,
        postgresql_where=is_active,
    ),
    Index(
        "active_jobs_by_age",
        jobs.c.created_at,
        sqlite_where=is_active,
        postgresql_where=is_active,
    ),
)


def create_tables(database: Database) -> None:
    """Create what is missing. Raises DatabaseError."""
    tables = [CreateTable(table, if_not_exists=True) for table in (jobs, session_locks)]
    indexes = [CreateIndex(index, if_not_exists=True) for index in _indexes]
    database.create([*tables, *indexes])


def to_bytes(text: str) -> bytes:
    """Encode opaque text for a table; whatever JSON or a form can hold survives."""
    return text.encode("utf-8", "surrogatepass")


def to_text(stored: bytes) -> str:
    """Decode what `to_bytes` encoded."""
    return bytes(stored).decode("utf-8", "surrogatepass")
