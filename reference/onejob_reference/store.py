"""The job table as the server sees it: accept, look up, complete.

The functions work within a transaction of the caller.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update

from onejob_reference.database import Now, Statement, Transaction
from onejob_reference.schema import is_processing, jobs, to_bytes, to_text


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


_is_the_job = jobs.c.job_id == bindparam("the_job")

_ADD = Statement(
    insert(jobs).values(
        job_id=bindparam("the_job"),
        session=bindparam("the_session"),
        state=State.PROCESSING.value,
        created_at=Now(),
        woken_at=Now(),
    )
)
_FIND = Statement(
    select(jobs.c.job_id, jobs.c.session, jobs.c.state, jobs.c.image_url).where(_is_the_job)
)
_ACTIVE = Statement(
    select(jobs.c.job_id).where((jobs.c.session == bindparam("the_session")) & is_processing)
)
_COMPLETE = Statement(
    update(jobs)
    .where(_is_the_job & is_processing)
    .values(state=State.COMPLETED.value, image_url=bindparam("the_url"))
)


def add(transaction: Transaction, job_id: str, session: str) -> None:
    """Insert an active job; raises ConflictError if its session has one already."""
    transaction.change(_ADD, the_job=job_id, the_session=to_bytes(session))


def complete(transaction: Transaction, job_id: str, image_url: str) -> bool:
    """Complete the job if it is active; False if it is not."""
    return transaction.change(_COMPLETE, the_job=job_id, the_url=to_bytes(image_url)) == 1


def find(transaction: Transaction, job_id: str) -> Job | None:
    """Return the job, None if there is no such job."""
    for found, session, state, url in transaction.rows(_FIND, the_job=job_id):
        return Job(found, to_text(session), State(state), None if url is None else to_text(url))
    return None


def has_active_job(transaction: Transaction, session: str) -> bool:
    """Whether the session has an active job."""
    return bool(transaction.rows(_ACTIVE, the_session=to_bytes(session)))
