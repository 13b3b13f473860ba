"""The rules of the API: publish, status, complete. Knows nothing of HTTP."""

from __future__ import annotations

from collections import OrderedDict
from typing import BinaryIO

import structlog

from onejob_reference import store
from onejob_reference.database import Database, DatabaseError
from onejob_reference.dispatch import Dispatcher, DispatchError
from onejob_reference.errors import (
    DatabaseFailed,
    JobNotFound,
    PublishFailed,
    PublishUnknown,
    SessionBusy,
    StatusNotFound,
)
from onejob_reference.grants import Grants
from onejob_reference.job_id import is_job_id, new_job_id
from onejob_reference.uploads import Uploads

_SESSIONS_REMEMBERED = 1_000

log = structlog.get_logger()


class Jobs:
    """One active job per session, from its acceptance to its completion."""

    def __init__(
        self, database: Database, grants: Grants, uploads: Uploads, dispatcher: Dispatcher
    ) -> None:
        self._database = database
        self._grants = grants
        self._uploads = uploads
        self._dispatcher = dispatcher
        self._recent = _RecentSessions()

    def publish(self, session: str, images: tuple[BinaryIO, BinaryIO]) -> str:
        """Accept a job for the session and return its id.

        Raises the refusals of `POST /publish`; after any of them but PublishUnknown the session
        is as it was and no file is left.
        """
        # Known early, a refusal spares the disk an upload; who comes first is seldom refused.
        if session in self._recent and self._is_busy(session):
            raise SessionBusy
        self._recent.add(session)
        job_id = new_job_id()
        self._uploads.save(job_id, images)
        try:
            self._grants.grant(session, job_id)
            self._hand_over(session, job_id)
        except PublishUnknown:
            raise  # the job may have been accepted, and then it needs its images
        except BaseException:
            self._uploads.remove(job_id)
            raise
        return job_id

    def status(self, job_id: str) -> store.Job:
        """Return the job. Raises StatusNotFound."""
        job = self._find(job_id) if is_job_id(job_id) else None
        if job is None:
            raise StatusNotFound
        return job

    def complete(self, job_id: str, image_url: str) -> store.Job:
        """Complete the job, free its session and drop its images; return it as it was before.

        Repeating the report of a completed job is fine. Raises JobNotFound for an unknown job
        and for a different report of a completed one, which changes nothing.
        """
        job = self._find(job_id) if is_job_id(job_id) else None
        if job is None:
            raise JobNotFound
        if self._grants.end(job.session, job_id, image_url):
            self._uploads.remove(job_id)
            return job
        ended = self._find(job_id)
        if ended is None or ended.image_url != image_url:
            raise JobNotFound
        return job

    def _hand_over(self, session: str, job_id: str) -> None:
        """Tell a worker of the granted job, or withdraw it: the broker may be there, or not."""
        try:
            self._dispatcher.wake(job_id)
        except DispatchError as failure:
            try:
                withdrawn = self._grants.withdraw(session, job_id)
            except DatabaseError as worse:
                raise PublishUnknown(f"{failure}, then {worse}") from worse
            if withdrawn:
                raise PublishFailed(str(failure)) from failure
        self._grants.confirm(session, job_id)

    def _is_busy(self, session: str) -> bool:
        try:
            with self._database.reading() as transaction:
                return store.active_state(transaction, session) is store.State.PROCESSING
        except DatabaseError as failure:
            raise DatabaseFailed(str(failure)) from failure

    def _find(self, job_id: str) -> store.Job | None:
        with self._database.reading() as transaction:
            return store.find(transaction, job_id)


class _RecentSessions:
    """The last sessions this process saw a publish of. A hint: the grant decides, never this."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def add(self, session: str) -> None:
        """Remember the session, and forget the oldest one beyond the limit."""
        self._sessions[session] = None
        if len(self._sessions) > _SESSIONS_REMEMBERED:
            self._sessions.popitem(last=False)
