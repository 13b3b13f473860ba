"""One active job per session: the session lock and the job's row, granted and ended together.

The row is the truth: a partial unique index admits one active job per session, whatever
happens to the lock. The lock keeps contenders off the database, and these two classes keep
lock and row together:

- `JointGrants`: the lock is a table of the same database, so one transaction changes both.
- `LeasedGrants`: the lock lives elsewhere. It is taken for a lease, which lapses if this
  process dies before the row is committed, and made permanent once it is. It is released
  just before the completion commits: dying in between leaves an active job without its
  lock, which the index still guards. The other order could leave a lock without a job,
  and nothing would ever free it.
"""

from __future__ import annotations

import time
from typing import Protocol

import structlog

from onejob_reference import store
from onejob_reference.database import (
    ConflictError,
    Database,
    DatabaseError,
    OutcomeUnknownError,
    Transaction,
)
from onejob_reference.errors import DatabaseFailed, PublishFailed, SessionBusy
from onejob_reference.locks import SessionLock, sql

_UNDECIDED_PAUSE_S = 0.005

log = structlog.get_logger()


class Grants(Protocol):
    """Grants sessions to jobs."""

    def grant(self, session: str, job_id: str) -> None:
        """Accept the job as the session's active job.

        Raises SessionBusy if the session has an active job, DatabaseFailed if nothing was
        accepted, PublishFailed if the job may have been accepted.
        """

    def end(self, session: str, job_id: str, image_url: str) -> bool:
        """Complete the job and free its session; False if the job is not active."""


class JointGrants:
    """Lock and job in one database, changed in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def grant(self, session: str, job_id: str) -> None:
        """See `Grants.grant`."""
        try:
            with self._database.writing() as transaction:
                self._take(transaction, session, job_id)
                store.add(transaction, job_id, session)
        except ConflictError:
            raise SessionBusy from None
        except OutcomeUnknownError as unknown:
            raise PublishFailed(str(unknown)) from unknown
        except DatabaseError as failure:
            raise DatabaseFailed(str(failure)) from failure

    def end(self, session: str, job_id: str, image_url: str) -> bool:
        """See `Grants.end`."""
        with self._database.writing() as transaction:
            sql.release(transaction, session, job_id)
            return store.complete(transaction, job_id, image_url)

    def _take(self, transaction: Transaction, session: str, job_id: str) -> None:
        """Take the lock, also from an owner that is no active job.

        Such an owner ended while another lock backend was in use.
        """
        if sql.acquire(transaction, session, job_id, lease=None):
            return
        if store.has_active_job(transaction, session):
            raise SessionBusy
        if (owner := sql.owner(transaction, session)) is not None:
            sql.release(transaction, session, owner)
        sql.acquire(transaction, session, job_id, lease=None)


class LeasedGrants:
    """A lock outside the job table's database. `lease` is in seconds."""

    def __init__(self, database: Database, lock: SessionLock, lease: float) -> None:
        self._database = database
        self._lock = lock
        self._lease = lease

    def grant(self, session: str, job_id: str) -> None:
        """See `Grants.grant`."""
        self._take(session, job_id)
        try:
            with self._database.writing() as transaction:
                store.add(transaction, job_id, session)
        except ConflictError:
            self._give_back(session, job_id)
            raise SessionBusy from None
        except OutcomeUnknownError as unknown:
            # The lock stays until its lease ends: the job may be there.
            raise PublishFailed(str(unknown)) from unknown
        except DatabaseError as failure:
            self._give_back(session, job_id)
            raise DatabaseFailed(str(failure)) from failure
        self._keep(session, job_id)

    def end(self, session: str, job_id: str, image_url: str) -> bool:
        """See `Grants.end`."""
        with self._database.writing() as transaction:
            ended = store.complete(transaction, job_id, image_url)
            self._lock.release(session, job_id)
        return ended

    def _take(self, session: str, job_id: str) -> None:
        """Take the lock, waiting out a publish whose job is neither accepted nor refused yet.

        Busy is said only of a job that exists, because an undecided publish may yet fail.
        """
        give_up_at = time.monotonic() + self._lease
        while not self._lock.acquire(session, job_id, self._lease):
            holder = self._lock.owner(session)
            if holder == job_id:  # the client library repeated a command whose answer was lost
                return
            job = self._find(holder) if holder is not None else None
            if job is not None and job.state is store.State.COMPLETED:
                # Left by a lock service that came back with an older state.
                self._lock.release(session, job.job_id)
            elif job is not None or time.monotonic() > give_up_at:
                raise SessionBusy
            else:
                time.sleep(_UNDECIDED_PAUSE_S)

    def _find(self, job_id: str) -> store.Job | None:
        with self._database.reading() as transaction:
            return store.find(transaction, job_id)

    def _give_back(self, session: str, job_id: str) -> None:
        try:
            self._lock.release(session, job_id)
        except Exception:  # the lease frees it
            log.warning("lock not released", exc_info=True, job=job_id)

    def _keep(self, session: str, job_id: str) -> None:
        """Make the lock permanent. Failing here costs speed, not safety: the index guards."""
        try:
            kept = self._lock.extend(session, job_id, None)
        except Exception:
            kept = False
            log.warning("lock not kept", exc_info=True, job=job_id)
        if not kept:
            log.info("active job without its lock", job=job_id)
