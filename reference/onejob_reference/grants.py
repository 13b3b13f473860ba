"""One active job per session: the session lock and the job's row, granted and ended together.

The row is the truth: a partial unique index admits one active job per session, whatever
happens to the lock. The lock keeps contenders off the database, and these two classes keep
lock and row together:

- `JointGrants`: the lock is a table of the same database, so one transaction changes both.
- `LeasedGrants`: the lock lives elsewhere. It is taken for a lease, which lapses if this
  process dies before the job is accepted, and made permanent then. It is released just
  before the completion commits: dying in between leaves an active job without its lock,
  which the index still guards. The other order could leave a lock without a job, and
  nothing would ever free it.

A session is called busy only for the sake of an accepted job: a publish that is neither
accepted nor refused yet may still fail, so it is waited out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
from onejob_reference.errors import DatabaseFailed, PublishFailed, PublishUnknown, SessionBusy
from onejob_reference.locks import SessionLock, sql

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.05
_LONGEST_WAIT = 3  # times the lease: by then a publish that died undecided has been claimed

log = structlog.get_logger()


class Grants(Protocol):
    """Grants sessions to jobs. A granted job is confirmed or withdrawn; later it ends."""

    def grant(self, session: str, job_id: str) -> None:
        """Make the job the session's active job.

        Raises SessionBusy if the session has an active job, DatabaseFailed or PublishFailed if
        nothing was granted, PublishUnknown if the job may have been granted.
        """

    def confirm(self, session: str, job_id: str) -> None:
        """Accept the job, whose workers were told. Raises nothing: claiming it accepts it too."""

    def withdraw(self, session: str, job_id: str) -> bool:
        """Take the grant back; False if a worker claimed the job before. Raises DatabaseError."""

    def end(self, session: str, job_id: str, image_url: str) -> bool:
        """Complete the job and free its session; False if the job is not active."""


class JointGrants:
    """Lock and job in one database, changed in one transaction.

    `first` is the state in which jobs begin. Publishes that are undecided are waited out for
    some multiple of `lease` seconds.
    """

    def __init__(self, database: Database, first: store.State, lease: float) -> None:
        self._database = database
        self._first = first
        self._lease = lease

    def grant(self, session: str, job_id: str) -> None:
        """See `Grants.grant`."""
        _repeat(lambda: self._is_granted(session, job_id), self._lease)

    def confirm(self, session: str, job_id: str) -> None:  # noqa: ARG002 - it has its lock
        """See `Grants.confirm`."""
        if self._first is store.State.PUBLISHING:
            _accept(self._database, job_id)

    def withdraw(self, session: str, job_id: str) -> bool:
        """See `Grants.withdraw`."""
        with self._database.writing() as transaction:
            withdrawn = store.withdraw(transaction, job_id)
            if withdrawn:
                sql.release(transaction, session, job_id)
        return withdrawn

    def end(self, session: str, job_id: str, image_url: str) -> bool:
        """See `Grants.end`."""
        with self._database.writing() as transaction:
            sql.release(transaction, session, job_id)
            return store.complete(transaction, job_id, image_url)

    def _is_granted(self, session: str, job_id: str) -> bool:
        try:
            with self._database.writing() as transaction:
                taken = self._take(transaction, session, job_id)
                if taken:
                    store.add(transaction, job_id, session, self._first)
        except ConflictError:
            return False
        return taken

    def _take(self, transaction: Transaction, session: str, job_id: str) -> bool:
        """Take the lock, also from an owner that is no active job.

        Such an owner ended while another lock backend was in use.
        """
        if sql.acquire(transaction, session, job_id, lease=None):
            return True
        if (state := store.active_state(transaction, session)) is not None:
            _refuse_if_accepted(state)
            return False
        if (owner := sql.owner(transaction, session)) is not None:
            sql.release(transaction, session, owner)
        return sql.acquire(transaction, session, job_id, lease=None)


class LeasedGrants:
    """A lock outside the job table's database, leased for `lease` seconds at first.

    A lease that ends before its job is accepted does no harm: the index guards the session.
    """

    def __init__(
        self, database: Database, lock: SessionLock, first: store.State, lease: float
    ) -> None:
        self._database = database
        self._lock = lock
        self._first = first
        self._lease = lease

    def grant(self, session: str, job_id: str) -> None:
        """See `Grants.grant`."""
        _repeat(lambda: self._is_granted(session, job_id), self._lease)

    def confirm(self, session: str, job_id: str) -> None:
        """See `Grants.confirm`. Losing the lock here costs speed, not safety: the index guards."""
        if self._first is store.State.PUBLISHING:
            _accept(self._database, job_id)
        try:
            kept = self._lock.extend(session, job_id, None)
        except Exception as failure:
            kept = False
            log.warning("lock not kept", reason=repr(failure), job=job_id)
        if not kept:
            log.info("active job without its lock", job=job_id)

    def withdraw(self, session: str, job_id: str) -> bool:
        """See `Grants.withdraw`."""
        with self._database.writing() as transaction:
            withdrawn = store.withdraw(transaction, job_id)
        if withdrawn:
            self._give_back(session, job_id)
        return withdrawn

    def end(self, session: str, job_id: str, image_url: str) -> bool:
        """See `Grants.end`."""
        self._lock.release(session, job_id)
        with self._database.writing() as transaction:
            return store.complete(transaction, job_id, image_url)

    def _is_granted(self, session: str, job_id: str) -> bool:
        if not self._take(session, job_id):
            return False
        try:
            with self._database.writing() as transaction:
                store.add(transaction, job_id, session, self._first)
        except ConflictError:
            self._give_back(session, job_id)
            with self._database.reading() as transaction:
                _refuse_if_accepted(store.active_state(transaction, session))
            return False
        except OutcomeUnknownError:
            raise  # the job may be there, so the lock stays until its lease ends
        except DatabaseError:
            self._give_back(session, job_id)
            raise
        return True

    def _take(self, session: str, job_id: str) -> bool:
        try:
            if self._lock.acquire(session, job_id, self._lease):
                return True
            holder = self._lock.owner(session)
        except Exception as failure:  # whatever its client library raises
            log.warning("session lock out of reach", reason=repr(failure), job=job_id)
            self._give_back(session, job_id)  # it may have been taken all the same
            kind = type(failure).__name__
            raise PublishFailed(f"the session lock answered {kind}") from failure
        if holder == job_id:  # the client library repeated a command whose answer was lost
            return True
        job = self._find(holder) if holder is not None else None
        if job is not None and job.state is store.State.COMPLETED:
            # Left by a lock service that came back with an older state.
            self._give_back(session, job.job_id)
        elif job is not None:
            _refuse_if_accepted(job.state)
        return False

    def _find(self, job_id: str) -> store.Job | None:
        with self._database.reading() as transaction:
            return store.find(transaction, job_id)

    def _give_back(self, session: str, job_id: str) -> None:
        try:
            self._lock.release(session, job_id)
        except Exception as failure:  # the lease frees it
            log.warning("lock not released", reason=repr(failure), job=job_id)


def _repeat(is_granted: Callable[[], bool], lease: float) -> None:
    """Try until granted, or until an undecided publish should have been decided long ago."""
    pause, give_up_at = _FIRST_PAUSE_S, time.monotonic() + _LONGEST_WAIT * lease
    try:
        while not is_granted():
            if time.monotonic() > give_up_at:
                raise PublishFailed("another publish of this session is undecided")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
    except OutcomeUnknownError as unknown:
        raise PublishUnknown(str(unknown)) from unknown
    except DatabaseError as failure:
        raise DatabaseFailed(str(failure)) from failure


def _refuse_if_accepted(state: store.State | None) -> None:
    if state is store.State.PROCESSING:
        raise SessionBusy


def _accept(database: Database, job_id: str) -> None:
    try:
        with database.writing() as transaction:
            store.accept(transaction, job_id)
    except DatabaseError as failure:
        log.warning("job accepted by its claim only", job=job_id, reason=str(failure))
