"""HTTP: the four operations of the document, requests in, answers out. The rules are in `jobs`."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import BinaryIO, cast

import structlog
from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage
from werkzeug.routing import BaseConverter

from onejob_reference.errors import BadRequest, Forbidden, SaveFailed
from onejob_reference.jobs import Jobs
from onejob_reference.store import State
from onejob_reference.whole_request import BODY_LOST

LONGEST_SESSION = 512
_LARGEST_UPDATE = 64 * 1024

log = structlog.get_logger()


class AnyText(BaseConverter):
    """A path segment that is opaque text: an encoded slash belongs to it like any character."""

    regex = ".+"
    part_isolating = False


def api(jobs: Jobs, update_secret: str) -> Blueprint:
    """Return the documented routes, acting on `jobs`."""
    routes = Blueprint("api", __name__)

    @routes.get("/health")
    def health() -> ResponseReturnValue:
        return {"status": "ok", "service": "flask-api"}

    @routes.post("/publish")
    def publish() -> ResponseReturnValue:
        session = _form().get("sessionId", "")
        g.session = session
        if not session:
            raise BadRequest("Missing sessionId")
        if len(session) > LONGEST_SESSION:
            raise BadRequest(f"sessionId is longer than {LONGEST_SESSION} characters")
        image1, image2 = _image("image1"), _image("image2")
        if image1 is None or image2 is None:
            raise BadRequest("Missing image1 or image2")
        g.job = jobs.publish(session, (image1, image2))
        return {"status": "processing", "jobId": g.job}

    @routes.get("/status/<any_text:job_id>")
    def status(job_id: str) -> ResponseReturnValue:
        g.job = job_id
        job = jobs.status(job_id)
        if job.state is State.COMPLETED:
            return {"status": "completed", "image_url": job.image_url}
        return {"status": "processing"}

    @routes.post("/update_status")
    def update_status() -> ResponseReturnValue:
        request.max_content_length = _LARGEST_UPDATE
        body = request.get_data(cache=False)
        if update_secret and not _knows(update_secret):
            raise Forbidden("/update_status is for workers of this server")
        job_id, result_url = _report(body)
        g.job = job_id
        g.session = jobs.complete(job_id, result_url).session
        return {"status": "updated"}

    return routes


def _form() -> Mapping[str, str]:
    """Return the form of the request. Raises SaveFailed if the disk has no room for its files."""
    if (reason := request.environ.get(BODY_LOST)) is not None:
        raise SaveFailed(reason)
    try:
        return request.form
    except OSError as failure:
        raise SaveFailed(failure.strerror or type(failure).__name__) from failure


def _image(name: str) -> BinaryIO | None:
    """Return the upload, None if there is none; an unchosen file of a browser has no name."""
    part: FileStorage | None = request.files.get(name)
    if part is None:
        return None
    if not part.filename:
        empty = not part.stream.read(1)
        part.stream.seek(0)
        if empty:
            return None
    return cast(BinaryIO, part.stream)


def _report(body: bytes) -> tuple[str, str]:
    """Return job id and result URL. Raises BadRequest unless both are non-empty texts."""
    if request.mimetype == "application/json":
        try:
            report = json.loads(body)
        except (ValueError, RecursionError):
            report = None
        if isinstance(report, dict):
            match report.get("jobId"), report.get("resultUrl"):
                case str(job_id), str(result_url) if job_id and result_url:
                    return job_id, result_url
    raise BadRequest("Missing jobId or resultUrl")


def _knows(secret: str) -> bool:
    given = request.headers.get("Authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {secret}".encode())
