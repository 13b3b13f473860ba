"""Every refusal the API document names, one exception each.

The HTTP layer renders them in one place; nothing else knows a status code.
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """An answer other than 200: `status` is the HTTP status, `body` the JSON object."""

    status: ClassVar[int]

    @property
    def body(self) -> dict[str, str]:
        """The JSON object the document shows for this refusal."""
        return {"error": str(self)}


class BadRequest(Refusal):
    """The request lacks something the document requires, or goes beyond what it allows."""

    status = 400


class Forbidden(Refusal):
    """The caller may not use an internal operation."""

    status = 403


class JobDirFailed(Refusal):
    """The directory of the job could not be created."""

    status = 400

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to create job dir: {reason}")


class SaveFailed(Refusal):
    """The uploaded images could not be written."""

    status = 400

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to save files: {reason}")


class DatabaseFailed(Refusal):
    """The database refused the job; nothing of it remains."""

    status = 400

    def __init__(self, reason: str) -> None:
        super().__init__(f"DB error: {reason}")


class SessionBusy(Refusal):
    """The session has an active job."""

    status = 429

    def __init__(self) -> None:
        super().__init__("Previous job still processing")


class PublishFailed(Refusal):
    """The job could not be handed over, or anything else went wrong; nothing of it remains."""

    status = 500

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to publish job: {reason}")


class PublishUnknown(PublishFailed):
    """Nobody can tell whether the job was accepted."""


class StatusNotFound(Refusal):
    """`GET /status/{jobId}` for a job that was never accepted."""

    status = 404

    @property
    def body(self) -> dict[str, str]:
        """This refusal alone is told as a status."""
        return {"status": "not_found"}


class JobNotFound(Refusal):
    """`POST /update_status` for no job that this update could complete."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Job not found")
