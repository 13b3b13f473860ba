"""One HTTP/1.1 exchange over one cooperative socket, stamped and never retried.

FastHttpUser's own client sends whole requests only, says nothing of when the last byte left, and
may send one again by itself.  A race needs requests held back at their last byte, and a history
needs to know what was sent: so the socket is ours, and geventhttpclient's parser reads the answer.
"""

from __future__ import annotations

import time
from typing import Final

import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPParseError, HTTPResponse

from onejob_contract.wire import MAX_BODY_BYTES, Origin, Response, Trouble, WireError

_CHUNK: Final = 1 << 16
IDLE_S: Final = 1.0
"""A connection idle for longer may be closed by the server at any moment; common limits are 2 s."""


class _Parser(HTTPResponse):
    """Collects one response."""

    @property
    def body(self) -> bytes:
        return bytes(self._body_buffer)


class Connection:
    """A connection to the target; `send` any bytes, then `receive` one response."""

    def __init__(self, origin: Origin, timeout_s: float) -> None:
        """Connect. Raises WireError(REFUSED)."""
        self._timeout_s = timeout_s
        self.is_used = False
        self.last_used = time.monotonic()
        try:
            raw = gevent.socket.create_connection((origin.host, origin.port), timeout=timeout_s)
            raw.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
            if origin.scheme == "https":
                context = gevent.ssl.create_default_context()
                raw = context.wrap_socket(raw, server_hostname=origin.host)
        except OSError as error:
            raise WireError(
                Trouble.REFUSED, f"cannot connect to {origin.authority}: {error}"
            ) from None
        self._socket = raw

    def send(self, data: bytes) -> None:
        """Send bytes. Raises WireError."""
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise WireError(
                Trouble.TIMED_OUT, f"the request could not be sent within {self._timeout_s:g} s"
            ) from None
        except OSError as error:
            raise WireError(self._broken(), f"connection broken while sending: {error}") from None

    def send_byte(self, byte: bytes) -> None:
        """Send one byte, as fast as it goes: there is always room for one. Raises WireError."""
        try:
            self._socket.send(byte)
        except OSError as error:
            raise WireError(self._broken(), f"connection broken while sending: {error}") from None

    def receive(self) -> tuple[Response, bool]:
        """Read one response, and whether the connection can be used again. Raises WireError."""
        parser = _Parser()
        deadline = time.monotonic() + self._timeout_s
        received = 0
        try:
            while not parser.message_complete:
                data = self._socket.recv(_CHUNK)
                parser.feed(data)
                received += len(data)
                if not data:
                    break
                if received > MAX_BODY_BYTES:
                    raise WireError(Trouble.TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError
        except TimeoutError:
            raise WireError(
                Trouble.TIMED_OUT, f"no complete answer within {self._timeout_s:g} s"
            ) from None
        except HTTPParseError as error:
            trouble = Trouble.NOT_HTTP if received else self._broken()
            raise WireError(trouble, f"the answer is no complete HTTP response: {error}") from None
        except OSError as error:
            raise WireError(self._broken(), f"connection broken: {error}") from None
        if not parser.message_complete:
            raise WireError(self._broken(), "the server closed the connection without an answer")
        self.is_used = True
        self.last_used = time.monotonic()
        headers = tuple((name, str(value)) for name, value in parser.items())
        response = Response(parser.get_code(), headers, parser.body)
        return response, not parser.should_close()

    def close(self) -> None:
        """Close the connection, whatever is still under way on it."""
        self._socket.close()

    def _broken(self) -> Trouble:
        return Trouble.STALE if self.is_used else Trouble.CLOSED


class Connections:
    """The kept connections of one user, each for one request at a time."""

    def __init__(self, origin: Origin, timeout_s: float) -> None:
        self._origin = origin
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []

    def take(self) -> Connection:
        """Give a kept connection that is still good, or a new one. Raises WireError(REFUSED)."""
        now = time.monotonic()
        while self._idle:
            kept = self._idle.pop()
            if now - kept.last_used < IDLE_S:
                return kept
            kept.close()
        return Connection(self._origin, self._timeout_s)

    def take_hot(self, harmless: bytes) -> Connection:
        """Give a connection that a request can be held back on. Raises WireError.

        A new one over TLS sends a harmless request before: the handshakes of others may need the
        threads of the server that requests which are held back take.
        """
        connection = self.take()
        if self._origin.scheme != "https" or connection.is_used:
            return connection
        connection.send(harmless)
        _, reusable = connection.receive()
        if reusable:
            return connection
        connection.close()
        return Connection(self._origin, self._timeout_s)

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._idle.append(connection)

    def close(self) -> None:
        """Close all of them."""
        while self._idle:
            self._idle.pop().close()
