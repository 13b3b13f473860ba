"""The job table as workers see it: claim a job for a lease, renew the lease.

A claim is a compare-and-set that counts attempts. The attempt number is the claim's
fencing token: whoever lost the lease holds an older number and can renew nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Double, bindparam, or_, select, update

from onejob_reference.database import Database, Now, Statement
from onejob_reference.schema import is_processing, jobs


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease ends; `attempt` counts from 1."""

    job_id: str
    attempt: int


_is_the_job = jobs.c.job_id == bindparam("the_job")
_is_unclaimed = or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= Now())
_lease = bindparam("the_lease", type_=Double)
_lease_end = Now() + _lease

_OLDEST = Statement(
    select(jobs.c.job_id)
    .where(is_processing & _is_unclaimed)
    .order_by(jobs.c.created_at)
    .limit(bindparam("the_limit"))
)
_CLAIM = Statement(
    update(jobs)
    .where(_is_the_job & is_processing & _is_unclaimed)
    .values(attempt=jobs.c.attempt + 1, lease_until=_lease_end)
    .returning(jobs.c.attempt)
)
_RENEW = Statement(
    update(jobs)
    .where(_is_the_job & (jobs.c.attempt == bindparam("the_attempt")) & is_processing)
    .values(lease_until=_lease_end)
)
_WAKE = Statement(
    update(jobs)
    .where(is_processing & _is_unclaimed & (jobs.c.woken_at <= Now() - _lease))
    .values(woken_at=Now())
    .returning(jobs.c.job_id)
)
_IS_ACTIVE = Statement(select(jobs.c.job_id).where(_is_the_job & is_processing))


class Claims:
    """Claims on the jobs of a database; `lease` is in seconds. Methods raise DatabaseError."""

    def __init__(self, database: Database, lease: float) -> None:
        self._database = database
        self.lease = lease

    def next(self) -> Claim | None:
        """Claim the oldest job nobody works on; None if there is none or another was faster."""
        with self._database.reading() as transaction:
            waiting = transaction.rows(_OLDEST, the_limit=1)
        return self.claim(waiting[0][0]) if waiting else None

    def claim(self, job_id: str) -> Claim | None:
        """Claim this job; None if it is done, unknown or in other hands."""
        with self._database.writing() as transaction:
            for (attempt,) in transaction.rows(_CLAIM, the_job=job_id, the_lease=self.lease):
                return Claim(job_id, attempt)
        return None

    def renew(self, claim: Claim) -> bool:
        """Let the claim live another lease; False if the job is done or claimed by another."""
        with self._database.writing() as transaction:
            touched = transaction.change(
                _RENEW, the_job=claim.job_id, the_attempt=claim.attempt, the_lease=self.lease
            )
        return touched == 1

    def overdue(self) -> list[str]:
        """Return the jobs nobody works on, each at most once per lease whoever asks."""
        with self._database.writing() as transaction:
            return [job_id for (job_id,) in transaction.rows(_WAKE, the_lease=self.lease)]

    def is_active(self, job_id: str) -> bool:
        """Whether the job was accepted and is not completed."""
        with self._database.reading() as transaction:
            return bool(transaction.rows(_IS_ACTIVE, the_job=job_id))
