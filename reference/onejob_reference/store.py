"""The job table as the server sees it: accept, look up, complete."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sqlalchemy import Connection, String, bindparam, insert, literal, select, update

from onejob_reference.database import Database, Now, OpaqueText, jobs


class State(enum.StrEnum):
    """The two states the document knows."""

    PROCESSING = "processing"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the job table; `image_url` is None until the job is completed."""

    job_id: str
    session: str
    state: State
    image_url: str | None


_JOB_ID = bindparam("the_job_id", type_=String)
_SESSION = bindparam("the_session", type_=OpaqueText)
_IMAGE_URL = bindparam("the_image_url", type_=OpaqueText)

# Written out, not bound: only then can the partial indexes serve these statements.
is_processing = jobs.c.state == literal(State.PROCESSING.value, literal_execute=True)

_ADD = insert(jobs).values(
    job_id=_JOB_ID,
    session=_SESSION,
    state=State.PROCESSING.value,
    created_at=Now(),
    woken_at=Now(),
)
_FIND = select(jobs.c.job_id, jobs.c.session, jobs.c.state, jobs.c.image_url).where(
    jobs.c.job_id == _JOB_ID
)
_ACTIVE = select(jobs.c.job_id).where((jobs.c.session == _SESSION) & is_processing)
_COMPLETE = (
    update(jobs)
    .where((jobs.c.job_id == _JOB_ID) & is_processing)
    .values(state=State.COMPLETED.value, image_url=_IMAGE_URL)
)


def add(connection: Connection, job_id: str, session: str) -> None:
    """Insert an active job; raises IntegrityError if its session has one already."""
    connection.execute(_ADD, {"the_job_id": job_id, "the_session": session})


def complete(connection: Connection, job_id: str, image_url: str) -> bool:
    """Complete the job if it is active; False if it is not."""
    values = {"the_job_id": job_id, "the_image_url": image_url}
    return connection.execute(_COMPLETE, values).rowcount == 1


def find(connection: Connection, job_id: str) -> Job | None:
    """Return the job, None if there is no such job."""
    row = connection.execute(_FIND, {"the_job_id": job_id}).first()
    return None if row is None else Job(row.job_id, row.session, State(row.state), row.image_url)


def active_job(connection: Connection, session: str) -> str | None:
    """Return the id of the session's active job, None if it has none."""
    job_id: str | None = connection.execute(_ACTIVE, {"the_session": session}).scalar()
    return job_id


class JobStore:
    """Questions about jobs, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, job_id: str) -> Job | None:
        """Return the job, None if there is no such job."""
        with self._database.reading() as connection:
            return find(connection, job_id)

    def active_job(self, session: str) -> str | None:
        """Return the id of the session's active job, None if it has none."""
        with self._database.reading() as connection:
            return active_job(connection, session)
