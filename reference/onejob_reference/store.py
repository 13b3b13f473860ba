"""The job table as the server sees it: add, accept, look up, complete.

The functions work within a transaction of the caller.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select, update

from onejob_reference.database import Now, Statement, Transaction
from onejob_reference.schema import is_active, jobs, to_bytes, to_text


class State(enum.StrEnum):
    """The two states the document knows, and one before them.

    A job that has to be handed to a broker is PUBLISHING until that succeeded: it may yet be
    withdrawn, so nobody is told that its session is busy. Whoever claims it accepts it.
    """

    PUBLISHING = "publishing"
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
_is_publishing = jobs.c.state == State.PUBLISHING.value

_ADD = Statement(
    insert(jobs).values(
        job_id=bindparam("the_job"),
        session=bindparam("the_session"),
        state=bindparam("the_state"),
        created_at=Now(),
    )
)
_FIND = Statement(
    select(jobs.c.job_id, jobs.c.session, jobs.c.state, jobs.c.image_url).where(_is_the_job)
)
_ACTIVE = Statement(
    select(jobs.c.state).where((jobs.c.session == bindparam("the_session")) & is_active)
)
_ACCEPT = Statement(
    update(jobs).where(_is_the_job & _is_publishing).values(state=State.PROCESSING.value)
)
_WITHDRAW = Statement(delete(jobs).where(_is_the_job & _is_publishing))
_COMPLETE = Statement(
    update(jobs)
    .where(_is_the_job & is_active)
    .values(state=State.COMPLETED.value, image_url=bindparam("the_url"))
)


def add(transaction: Transaction, job_id: str, session: str, state: State) -> None:
    """Insert an active job; raises ConflictError if its session has one already."""
    transaction.change(_ADD, the_job=job_id, the_session=to_bytes(session), the_state=state.value)


def accept(transaction: Transaction, job_id: str) -> None:
    """Accept the job if it is publishing."""
    transaction.change(_ACCEPT, the_job=job_id)


def withdraw(transaction: Transaction, job_id: str) -> bool:
    """Remove the job if it is publishing; False if it is not."""
    return transaction.change(_WITHDRAW, the_job=job_id) == 1


def complete(transaction: Transaction, job_id: str, image_url: str) -> bool:
    """Complete the job if it is active; False if it is not."""
    return transaction.change(_COMPLETE, the_job=job_id, the_url=to_bytes(image_url)) == 1


def find(transaction: Transaction, job_id: str) -> Job | None:
    """Return the job, None if there is no such job."""
    for found, session, state, url in transaction.rows(_FIND, the_job=job_id):
        return Job(found, to_text(session), State(state), None if url is None else to_text(url))
    return None


def active_state(transaction: Transaction, session: str) -> State | None:
    """Return the state of the session's active job, None if it has none."""
    for (state,) in transaction.rows(_ACTIVE, the_session=to_bytes(session)):
        return State(state)
    return None
