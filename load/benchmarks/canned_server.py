"""The fastest server there is in Python: it parses just enough to give canned answers.

A publish for the session "bare" is always granted; for any other session the first is granted and
every later one refused, and each update frees its session, so that a judge finds nothing wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Final

_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (\d+)")
_SESSION: Final = re.compile(rb'name="sessionId"\r\n\r\n([^\r]*)')
_JOB: Final = re.compile(rb'"jobId": "([^"]*)"')


def _answer(status: bytes, body: bytes) -> bytes:
    return (b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s") % (
        status,
        len(body),
        body,
    )


_BUSY: Final = _answer(b"429 TOO MANY REQUESTS", b'{"error": "Previous job still processing"}')
_UPDATED: Final = _answer(b"200 OK", b'{"status": "updated"}')
_HEALTHY: Final = _answer(b"200 OK", b'{"status": "ok", "service": "flask-api"}')


class _Canned(asyncio.Protocol):
    holders: Final[dict[bytes, bytes]] = {}
    sessions: Final[dict[bytes, bytes]] = {}
    numbers: Final = itertools.count(1)

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < size:
                return
            request, self._received = self._received[:size], self._received[size:]
            assert isinstance(self._transport, asyncio.WriteTransport)  # noqa: S101
            self._transport.write(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        if request.startswith(b"POST /publish"):
            return self._publish(request)
        if request.startswith(b"POST /update_status") and (found := _JOB.search(request)):
            self.holders.pop(self.sessions.get(found[1], b""), None)
            return _UPDATED
        return _HEALTHY

    def _publish(self, request: bytes) -> bytes:
        found = _SESSION.search(request)
        session = found[1] if found else b"bare"
        if session in self.holders:
            return _BUSY
        job = b"job-%d" % next(self.numbers)
        if session != b"bare":
            self.holders[session], self.sessions[job] = job, session
        return _answer(b"200 OK", b'{"status": "processing", "jobId": "%s"}' % job)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Canned, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
