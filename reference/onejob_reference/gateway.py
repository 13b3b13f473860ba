"""The gunicorn worker of `onejob serve`: slow clients are cut, protocol errors are JSON.

gunicorn's thread worker reads a request in the thread that will answer it, and waits for
the client as long as the client likes. Here a request must arrive within `ARRIVAL_LIMIT_S`,
and within `CROWDED_LIMIT_S` when every thread is taken; so threads stay with clients that
send. Requests that have arrived are never cut, except from clients that do not read.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gunicorn import glogging, util  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from onejob_reference.whole_request import WholeRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ARRIVAL_LIMIT_S = 120.0
CROWDED_LIMIT_S = 5.0
_READING_LIMIT_S = 60.0
_KEEP_ALIVE_WHEN_STOPPING_S = 0.2

_STATUS_OF = (
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED),
    (errors.ParseException, HTTPStatus.BAD_REQUEST),
)


class GatewayLogger(glogging.Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's own events in the one log that everything goes to."""

    def setup(self, cfg: Any) -> None:
        """Hand every event on to the root logger."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class GatewayWorker(gthread.ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """A thread worker that does not let clients hold its threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: dict[Any, float] = {}  # connection -> since when it holds a thread
        self._guard = threading.Lock()

    def load_wsgi(self) -> None:
        """Load the application, to be called with complete requests only."""
        super().load_wsgi()
        application = self.wsgi
        self.wsgi: Any = WholeRequest(application, self.app.max_upload, self._has_arrived)

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, in a thread of the pool."""
        with self._guard:
            self._arriving[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            with self._guard:
                self._arriving.pop(conn, None)

    def notify(self) -> None:
        """Cut who is too slow; the main loop calls this at least once a second."""
        super().notify()
        with self._guard:
            is_crowded = len(self._arriving) >= self.cfg.threads
            limit = CROWDED_LIMIT_S if is_crowded else ARRIVAL_LIMIT_S
            for conn, began in self._arriving.items():
                if time.monotonic() - began > limit:
                    self.log.warning("cut a request that arrived too slowly")
                    with suppress(OSError):
                        conn.sock.shutdown(socket.SHUT_RDWR)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002
        """Answer what is no HTTP request, or one beyond gunicorn's limits."""
        known = (status for kind, status in _STATUS_OF if isinstance(exc, kind))
        status = next(known, HTTPStatus.INTERNAL_SERVER_ERROR)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("unforeseen error", exc_info=exc)
        body = json.dumps({"error": status.phrase})
        answer = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        with suppress(OSError):
            util.write_nonblock(client, answer.encode())

    def _has_arrived(self, environ: WSGIEnvironment) -> None:
        connection_socket = environ["gunicorn.socket"]
        with self._guard:
            for conn in self._arriving:
                if conn.sock is connection_socket:
                    del self._arriving[conn]
                    break
        connection_socket.settimeout(_READING_LIMIT_S)

    def _cap_keepalive(self, deadline: float) -> None:
        """Close idle connections soon after SIGTERM."""
        super()._cap_keepalive(min(deadline, time.monotonic() + _KEEP_ALIVE_WHEN_STOPPING_S))
