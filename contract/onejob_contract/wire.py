"""One HTTP/1.1 exchange over one socket, bounded in time and size.

A browser-like client hides what a conformance kit must see: when the first byte left, when the
last one arrived, whether the server answered at all. So the socket is ours and h11 only parses.
Nothing is retried and no redirect is followed.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

import h11

MAX_BODY_BYTES: Final = 1 << 20
"""No documented answer is longer: the longest holds a URL of 2,000 characters."""
MAX_HEADER_BYTES: Final = 1 << 16
_CHUNK: Final = 1 << 16
_EXAMPLE: Final = "http://127.0.0.1:5000"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the implementation under test listens, and the path its routes hang under."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Read an http(s) URL. Raises ValueError with a sentence that says what is wrong."""
        try:
            parts = urlsplit(url)
            (parts.hostname or "").encode("idna")
        except ValueError:
            raise ValueError(f"{url!r} names no valid host, for example {_EXAMPLE}") from None
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError(f"{url!r} has characters that a URL writes as %20 and the like")
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"{url!r} is no http:// or https:// URL, for example {_EXAMPLE}")
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host, for example {_EXAMPLE}")
        if "@" in parts.netloc:
            raise ValueError(f"{url!r} names a user; put the Authorization header in a target file")
        if parts.query or parts.fragment:
            raise ValueError(f"{url!r} has a query or a fragment; give the base URL only")
        try:
            port = parts.port
        except ValueError:
            raise ValueError(
                f"{url!r} has no valid port: ports are numbers from 1 to 65535"
            ) from None
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `target` is the path below the prefix, already percent-encoded.

    A header without a value is not sent; `Transfer-Encoding: chunked` sends the body in so many
    `chunks`.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunks: int = 1

    @property
    def pieces(self) -> Sequence[bytes]:
        """The body, in as many pieces of about the same length as it has chunks."""
        ends = [len(self.body) * number // self.chunks for number in range(self.chunks + 1)]
        return [self.body[start:end] for start, end in pairwise(ends)]

    @property
    def is_in_lower_case(self) -> bool:
        """Whether all names of headers are written in lower case: where the first one is."""
        return bool(self.headers) and self.headers[0][0].islower()

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return _first_value(self.headers, name)


@dataclass(frozen=True, slots=True)
class Response:
    """One complete response, its body decoded from gzip or deflate where the server used them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return _first_value(self.headers, name)


def _first_value(headers: tuple[tuple[str, str], ...], name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


class Trouble(StrEnum):
    """Why an exchange ended without a complete HTTP response."""

    REFUSED = "refused"
    """No connection, so the request certainly did not happen."""
    TIMED_OUT = "timed out"
    CLOSED = "connection closed"
    STALE = "kept connection closed"
    """A kept-alive connection ended before the first byte of the answer: perhaps only bad luck."""
    NOT_HTTP = "not HTTP"
    TOO_LARGE = "answer too large"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came back. Times are `time.monotonic_ns()`.

    `invoked_ns` is stamped before the first byte is sent, `released_ns` before the last one, and
    `returned_ns` after the last byte of the answer was read (or when we stopped waiting). `after`
    is the request before it on the same connection, as `GET /health`; empty if it was the first.
    """

    request: Request
    response: Response | None
    trouble: Trouble | None
    detail: str
    invoked_ns: int
    released_ns: int
    returned_ns: int
    after: str = ""


class WireError(Exception):
    """An exchange ended without a complete HTTP response."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.detail = detail


class Connection:
    """One connection to the origin: `send_head`, `send_tail`, `receive`, again and again.

    The head is everything but the last byte, so that many connections can be prepared and
    released together by one byte each.
    """

    def __init__(self, origin: Origin, deadline: float) -> None:
        """Connect before `deadline` (time.monotonic seconds). Raises WireError(REFUSED)."""
        self._origin = origin
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._tail = b""
        self.is_reused = False
        self._answered = False
        self.last_used = time.monotonic()
        self.last_request = ""
        try:
            raw = socket.create_connection(
                (origin.host, origin.port), timeout=max(0.001, deadline - time.monotonic())
            )
        except OSError as error:
            raise WireError(
                Trouble.REFUSED, f"cannot connect to {origin.authority}: {error}"
            ) from None
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket = _tls(raw, origin.host) if origin.scheme == "https" else raw
        except OSError as error:
            raw.close()
            raise WireError(Trouble.REFUSED, f"no TLS with {origin.authority}: {error}") from None

    def send(self, request: Request, deadline: float) -> None:
        """Send a whole request."""
        self._send(self._encoded(request), deadline)

    def send_head(self, request: Request, deadline: float) -> None:
        """Send all but the last byte of a request."""
        data = self._encoded(request)
        self._tail = data[-1:]
        self._send(data[:-1], deadline)

    def send_half(self, request: Request, bytes_of_body: int, deadline: float) -> None:
        """Send the headers and the beginning of the body only."""
        data = self._encoded(request)
        self._send(data[: len(data) - len(request.body) + bytes_of_body], deadline)

    def send_tail(self, deadline: float) -> None:
        """Send the last byte: from here on the server can act on the whole request."""
        self._send(self._tail, deadline)

    def receive(self, deadline: float) -> Response:
        """Read one response. Raises WireError."""
        status = 0
        headers: list[tuple[str, str]] = []
        body = bytearray()
        try:
            while True:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    self._parser.receive_data(self._read(deadline))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers]
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > MAX_BODY_BYTES:
                        raise WireError(
                            Trouble.TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes of body"
                        )
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    break
        except h11.RemoteProtocolError as error:
            if not self._answered:
                raise WireError(
                    Trouble.STALE if self.is_reused else Trouble.CLOSED,
                    "the server closed the connection without an answer",
                ) from None
            raise WireError(Trouble.NOT_HTTP, f"the answer is no valid HTTP: {error}") from None
        response = Response(status, tuple(headers), bytes(body))
        coding = (response.header("Content-Encoding") or "identity").strip().lower()
        if coding != "identity":
            response = Response(status, tuple(headers), _decompressed(bytes(body), coding))
        self.last_used = time.monotonic()
        return response

    def recycle(self) -> bool:
        """Get ready for another request; False if this connection cannot carry one."""
        try:
            self._parser.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        self.is_reused = True
        return True

    def unasked(self) -> bytes | None:
        """What the server sent since the last answer: None for nothing, empty if it closed."""
        left = self._parser.trailing_data[0]
        self._socket.settimeout(0)
        try:
            return left + self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return left or None
        except OSError:
            return left

    def speaks_within(self, seconds: float) -> bool:
        """Whether the server says anything, or closes, before it is asked anything more."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def fileno(self) -> int:
        """The socket's file descriptor, to wait for an answer with a selector."""
        return self._socket.fileno()

    def abort(self) -> None:
        """Reset the connection at once, as a client that lost power or network does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _encoded(self, request: Request) -> bytes:
        headers = [("Host", self._origin.authority)]
        headers += [(name, value) for name, value in request.headers if value]
        is_chunked = any(name == "Transfer-Encoding" for name, _ in headers)
        if not is_chunked and (request.body or request.method in ("POST", "PUT", "PATCH")):
            headers.append(("Content-Length", str(len(request.body))))
        if request.is_in_lower_case:
            headers = [(name.lower(), value) for name, value in headers]
        event = h11.Request(
            method=request.method, target=self._origin.prefix + request.target, headers=headers
        )
        data = self._parser.send(event) or b""
        for piece in filter(None, request.pieces):
            data += self._parser.send(h11.Data(data=piece)) or b""
        data += self._parser.send(h11.EndOfMessage()) or b""
        self._answered = False
        self.last_request = f"{request.method} {request.target}"
        return data

    def _send(self, data: bytes, deadline: float) -> None:
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(data)
        except TimeoutError:
            raise WireError(Trouble.TIMED_OUT, "the server did not read the request") from None
        except OSError:
            # A server may refuse an upload before it has read all of it: its answer still counts.
            return

    def _read(self, deadline: float) -> bytes:
        try:
            self._socket.settimeout(_left(deadline))
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            what = "the answer did not end" if self._answered else "no answer"
            raise WireError(Trouble.TIMED_OUT, f"{what} within the deadline") from None
        except OSError as error:
            trouble = Trouble.STALE if self.is_reused and not self._answered else Trouble.CLOSED
            raise WireError(trouble, f"the connection broke: {error.strerror or error}") from None
        self._answered = self._answered or bool(data)
        return data


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _tls(raw: socket.socket, host: str) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(raw, server_hostname=host)


def _decompressed(body: bytes, coding: str) -> bytes:
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise WireError(Trouble.NOT_HTTP, f"content coding {coding!r} was not asked for")
    inflater = zlib.decompressobj(wbits=47)
    try:
        plain = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise WireError(Trouble.NOT_HTTP, f"the {coding} body cannot be decoded: {error}") from None
    if len(plain) > MAX_BODY_BYTES:
        raise WireError(Trouble.TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes after {coding}")
    return plain
