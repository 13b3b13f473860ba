"""The job table as workers see it: claim a job, renew the claim.

A claim is a compare-and-set that counts attempts. The attempt number is the claim's
fencing token: whoever lost the claim holds an older number and can renew nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Double, and_, bindparam, or_, select, update

from onejob_reference.database import Database, Now, Statement
from onejob_reference.schema import is_active, jobs
from onejob_reference.store import State


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the claim ends; `attempt` counts from 1."""

    job_id: str
    attempt: int


_is_the_job = jobs.c.job_id == bindparam("the_job")
_is_new = jobs.c.lease_until.is_(None)
_is_lost = jobs.c.lease_until <= Now()
_lease_end = Now() + bindparam("the_lease", type_=Double)
_is_waiting = jobs.c.created_at <= Now() - bindparam("the_age", type_=Double)

_OLDEST = Statement(
    select(jobs.c.job_id)
    .where(is_active & or_(_is_lost, and_(_is_new, _is_waiting)))
    .order_by(jobs.c.created_at)
    .limit(bindparam("the_limit"))
)
_CLAIM = Statement(
    update(jobs)
    .where(_is_the_job & is_active & or_(_is_lost, _is_new))
    .values(state=State.PROCESSING.value, attempt=jobs.c.attempt + 1, lease_until=_lease_end)
    .returning(jobs.c.attempt)
)
_RENEW = Statement(
    update(jobs)
    .where(_is_the_job & (jobs.c.attempt == bindparam("the_attempt")) & is_active)
    .values(lease_until=_lease_end)
)
_IS_ACTIVE = Statement(select(jobs.c.job_id).where(_is_the_job & is_active))


class Claims:
    """Claims that live `lifetime` seconds unless renewed. Methods raise DatabaseError."""

    def __init__(self, database: Database, lifetime: float) -> None:
        self._database = database
        self.lifetime = lifetime

    def next(self, age: float = 0.0) -> Claim | None:
        """Claim the oldest job that was left by its worker or waits for one since `age` seconds.

        None if there is none or another was faster.
        """
        with self._database.reading() as transaction:
            waiting = transaction.rows(_OLDEST, the_age=age, the_limit=1)
        return self.claim(waiting[0][0]) if waiting else None

    def claim(self, job_id: str) -> Claim | None:
        """Claim this job; None if it is done, unknown or in other hands."""
        with self._database.writing() as transaction:
            for (attempt,) in transaction.rows(_CLAIM, the_job=job_id, the_lease=self.lifetime):
                return Claim(job_id, attempt)
        return None

    def renew(self, claim: Claim) -> bool:
        """Let the claim live on; False if the job is done or claimed by another."""
        with self._database.writing() as transaction:
            touched = transaction.change(
                _RENEW, the_job=claim.job_id, the_attempt=claim.attempt, the_lease=self.lifetime
            )
        return touched == 1

    def is_active(self, job_id: str) -> bool:
        """Whether the job is in the table and not completed."""
        with self._database.reading() as transaction:
            return bool(transaction.rows(_IS_ACTIVE, the_job=job_id))
