"""The Flask application: the parts put together, errors rendered, requests logged."""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, g, request, send_from_directory
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from onejob_reference.api import AnyText, api
from onejob_reference.database import Database, DatabaseError
from onejob_reference.dispatch import open_dispatcher, uses_broker
from onejob_reference.documentation import documentation
from onejob_reference.errors import PublishFailed, Refusal
from onejob_reference.grants import Grants, JointGrants, LeasedGrants
from onejob_reference.jobs import Jobs
from onejob_reference.locks import open_lock
from onejob_reference.settings import Settings
from onejob_reference.store import State
from onejob_reference.uploads import Uploads

log = structlog.get_logger()


def create_app(settings: Settings) -> Flask:
    """Build the WSGI application. It opens nothing until the first request needs it."""
    database = Database(settings.database, settings.patience)
    jobs = Jobs(
        database,
        open_grants(settings, database),
        Uploads(settings.upload_root),
        open_dispatcher(settings.dispatch),
    )
    app = Flask("onejob_reference", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload
    app.url_map.merge_slashes = False
    app.url_map.converters["any_text"] = AnyText
    app.register_blueprint(api(jobs, settings.update_secret))

    @app.get("/results/<name>")
    def result(name: str) -> Response:
        return send_from_directory(settings.result_root.absolute(), name)

    app.register_blueprint(documentation())
    _log_requests(app)
    _render_errors(app)
    return app


def open_grants(settings: Settings, database: Database) -> Grants:
    """Choose how lock and job go together: in one transaction where the lock allows it."""
    first = State.PUBLISHING if uses_broker(settings.dispatch) else State.PROCESSING
    if settings.lock == "sql:":
        return JointGrants(database, first, settings.patience)
    return LeasedGrants(database, open_lock(settings.lock), first, settings.patience)


def _render_errors(app: Flask) -> None:
    """Turn every error into JSON: the document knows no other media type."""

    @app.errorhandler(Refusal)
    def refused(refusal: Refusal) -> ResponseReturnValue:
        return refusal.body, refusal.status

    @app.errorhandler(HTTPException)
    def unknown_route_or_method(error: HTTPException) -> ResponseReturnValue:
        headers = [(k, v) for k, v in error.get_headers() if k.lower() != "content-type"]
        return {"error": error.description or error.name}, error.code or 500, headers

    @app.errorhandler(DatabaseError)
    def no_database(failure: DatabaseError) -> ResponseReturnValue:
        return {"error": str(failure)}, 500

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> ResponseReturnValue:
        log.exception("unforeseen error", path=request.path)
        if request.endpoint == "api.publish":
            refusal = PublishFailed(f"internal error ({type(error).__name__})")
            return refusal.body, refusal.status
        return {"error": f"Internal error ({type(error).__name__})"}, 500


def _log_requests(app: Flask) -> None:
    """Write one line per request, with the ids that connect it to a client's and a job's log."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round((time.perf_counter() - g.began) * 1000, 2),
            request=request.headers.get("X-Onejob-Request"),
            session=g.get("session"),
            job=g.get("job"),
        )
        return response
