"""Read a request to its end before answering it.

A server that refuses an upload half-way and closes resets the connection, and the client
never sees the refusal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PIECE = 64 * 1024


class WholeRequest:
    """WSGI middleware: whatever the application left unread is read and dropped."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._application(environ, start_response)
        while environ["wsgi.input"].read(_PIECE):
            pass
        return answer
