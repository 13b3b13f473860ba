"""Take a request in whole before the application sees it.

A server that refuses an upload half-way and closes resets the connection, and the client
never sees the refusal; and a thread that waits for a slow client inside the application
looks the same as one that works. Small bodies stay in memory, others wait in a file; if the
disk has no room for it, the application is told why under `BODY_LOST` in the environment.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BODY_LOST = "onejob.body_lost"
_PIECE = 64 * 1024
_IN_MEMORY = 512 * 1024
_READ_AT_MOST = 4  # times the limit: beyond that a client is not worth an answer


class WholeRequest:
    """WSGI middleware. `limit` is the largest body in bytes that the application gets.

    Of a larger one it gets `limit + 1` bytes, enough to refuse it; the rest is read and
    dropped. `arrived` is called with the environment once the request is complete.
    """

    def __init__(
        self,
        application: WSGIApplication,
        limit: int,
        arrived: Callable[[WSGIEnvironment], None],
    ) -> None:
        self._application = application
        self._limit = limit
        self._arrived = arrived

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
            self._arrived(environ)
            return self._application(environ, start_response)
        announced = int(environ.get("CONTENT_LENGTH") or 0)
        is_small = 0 < announced <= _IN_MEMORY
        with BytesIO() if is_small else tempfile.SpooledTemporaryFile(_IN_MEMORY) as body:
            received, failure = self._read(environ["wsgi.input"], body)
            self._arrived(environ)
            if failure is not None:
                environ[BODY_LOST] = failure.strerror or type(failure).__name__
            if received < min(announced, _READ_AT_MOST * self._limit):
                start_response("400 Bad Request", [("Content-Type", "application/json")])
                return [b'{"error": "The request ended before its announced length"}\n']
            environ["wsgi.input"] = body
            # Taken in full, since the file goes when this returns; answers to uploads are small.
            return list(self._application(environ, start_response))

    def _read(self, source: IO[bytes], body: IO[bytes]) -> tuple[int, OSError | None]:
        """Copy at most `limit + 1` bytes into `body`, which ends rewound.

        Return how many were received, and what kept them from being written.
        """
        received, failure = 0, None
        while received <= _READ_AT_MOST * self._limit and (piece := source.read(_PIECE)):
            if failure is None:
                try:
                    body.write(piece[: max(0, self._limit + 1 - received)])
                except OSError as full:
                    failure = full
            received += len(piece)
        body.seek(0)
        return received, failure
