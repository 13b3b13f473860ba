"""The job table as workers see it: claim a job for a lease, renew the lease, hand on the overdue.

A claim is a compare-and-set that counts attempts. The attempt number is the claim's
fencing token: whoever lost the lease holds an older number and can renew nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Double, Integer, String, bindparam, or_, select, update

from onejob_reference.database import Database, Now, jobs
from onejob_reference.store import is_processing


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease ends; `attempt` counts from 1."""

    job_id: str
    attempt: int


_JOB_ID = bindparam("the_job_id", type_=String)
_ATTEMPT = bindparam("the_attempt", type_=Integer)
_LEASE = bindparam("the_lease", type_=Double)

_is_unclaimed = or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= Now())

_WAITING = select(jobs.c.job_id).where(is_processing & _is_unclaimed).order_by(jobs.c.created_at)
_OLDEST = _WAITING.limit(1)
_CLAIM = (
    update(jobs)
    .where((jobs.c.job_id == _JOB_ID) & is_processing & _is_unclaimed)
    .values(attempt=jobs.c.attempt + 1, lease_until=Now() + _LEASE)
    .returning(jobs.c.job_id, jobs.c.attempt)
)
_RENEW = (
    update(jobs)
    .where((jobs.c.job_id == _JOB_ID) & (jobs.c.attempt == _ATTEMPT) & is_processing)
    .values(lease_until=Now() + _LEASE)
)


class Claims:
    """Claims on the jobs of a database; `lease` is in seconds."""

    def __init__(self, database: Database, lease: float) -> None:
        self._database = database
        self.lease = lease

    def next(self) -> Claim | None:
        """Claim the oldest job nobody works on; None if there is none or another was faster."""
        with self._database.reading() as connection:
            job_id = connection.execute(_OLDEST).scalar()
        return None if job_id is None else self.claim(job_id)

    def claim(self, job_id: str) -> Claim | None:
        """Claim this job; None if it is done, unknown or in other hands."""
        values = {"the_job_id": job_id, "the_lease": self.lease}
        with self._database.writing() as connection:
            row = connection.execute(_CLAIM, values).first()
            return None if row is None else Claim(row.job_id, row.attempt)

    def renew(self, claim: Claim) -> bool:
        """Let the claim live another lease; False if the job is done or claimed by another."""
        values = {
            "the_job_id": claim.job_id,
            "the_attempt": claim.attempt,
            "the_lease": self.lease,
        }
        with self._database.writing() as connection:
            return connection.execute(_RENEW, values).rowcount == 1
