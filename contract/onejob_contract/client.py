"""The one way through which every exchange of a run passes, whichever check or library makes it."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Final
from urllib.parse import quote

from onejob_contract.documented import FAILURES, Call, Reading, describe_exchange, read
from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.places import Places
from onejob_contract.steps import REQUEST_ID, Step, operation_of
from onejob_contract.target import Target
from onejob_contract.wire import Connection, Exchange, Request, Response, Trouble, WireError
from onejob_fixtures.forms import Form

AGENT: Final = ("User-Agent", f"onejob/{version('onejob')}")
NO_AGENT: Final = ("User-Agent", "")
"""Among a request's headers: it is sent as by a client that does not say who it is."""

_ALIVE_S: Final = 2.0
_LAST_BREATHS: Final = 3
_BREAKS_WITHIN_S: Final = 0.1
_FIRST_MOMENTS: Final = 0.2
_LONG_WAIT: Final = 5
"""Waiting for more than this fraction of the deadline is waiting for other requests."""

_READ_WITHIN_S: Final = 0.02
_IDLE_S: Final = 1.0
"""A connection idle for longer may be closed by the server at any moment; common limits are 2 s."""

_MAY_COME_UNASKED: Final = (b"HTTP/1.1 408", b"HTTP/1.0 408")
"""Some servers say that they waited long enough before they close an idle connection."""


def publish_request(form: Form) -> Request:
    """POST /publish with a form."""
    return Request("POST", "/publish", (("Content-Type", form.content_type),), form.body)


def status_request(job: str) -> Request:
    """GET /status/{jobId}; the id is opaque, so everything but unreserved characters is escaped."""
    return Request("GET", f"/status/{quote(job, safe='')}")


def update_request(job: str, url: str, *, escaped: bool = True) -> Request:
    """POST /update_status, as the worker does; what is beyond ASCII `escaped` or as it is."""
    body = json.dumps({"jobId": job, "resultUrl": url}, ensure_ascii=escaped).encode()
    return Request("POST", "/update_status", (("Content-Type", "application/json"),), body)


def in_lower_case(request: Request) -> Request:
    """The request with the names of its headers as `fetch` and gateways of HTTP/2 write them."""
    return replace(request, headers=tuple((name.lower(), text) for name, text in request.headers))


class Client:
    """Sends requests, stamps them, and keeps the history of the run. Safe to use from threads.

    `token` is unique to this run, so that runs never meet in a session; it is no random choice of
    the run and therefore not taken from its seed.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.token = "r" + _base36(secrets.randbits(36)).rjust(7, "0")
        self.history: list[Operation] = []
        self.failed: list[Step] = []
        """Publishes that failed in a documented way."""
        self.keep_alive = True
        self.places = Places()
        self.cancelled = False
        self.out_of_turn: list[tuple[str, bytes]] = []
        self.exchanges = 0
        self._numbers = itertools.count(1)
        self._shared: list[Connection] = []
        self._of_thread = threading.local()
        self._guard = threading.Lock()

    @property
    def _idle(self) -> list[Connection]:
        """The kept connections that what this thread sends may use."""
        kept: list[Connection] = getattr(self._of_thread, "kept", self._shared)
        return kept

    @contextmanager
    def another(self) -> Iterator[Callable[[], AbstractContextManager[None]]]:
        """Another client with connections of its own.

        Yields what begins the body of a `with` whose requests come from that client.
        """
        kept: list[Connection] = []

        @contextmanager
        def asking() -> Iterator[None]:
            self._of_thread.kept = kept
            try:
                yield
            finally:
                del self._of_thread.kept

        try:
            yield asking
        finally:
            for connection in kept:
                connection.close()

    def send(self, request: Request, who: str, timeout_s: float | None = None) -> Exchange:
        """One exchange. It never raises for what a server does: the exchange says what happened."""
        with self.places.taken():
            return self._sent(self.stamped(request, who), timeout_s)

    def _sent(self, request: Request, timeout_s: float | None) -> Exchange:
        deadline = time.monotonic() + (timeout_s or self.target.response_timeout_s)
        invoked = time.monotonic_ns()
        connection: Connection | None = None
        response: Response | None = None
        trouble, detail, after = None, "", ""
        try:
            connection = self.connection(deadline)
            after = connection.last_request
            connection.send(request, deadline)
            response = connection.receive(deadline)
        except WireError as error:
            trouble, detail = error.trouble, error.detail
        returned = time.monotonic_ns()
        if connection is not None:
            self.give_back(connection, reusable=response is not None)
        if trouble is Trouble.STALE:
            self.keep_alive = False
        with self._guard:
            self.exchanges += 1
        return Exchange(request, response, trouble, detail, invoked, invoked, returned, after)

    def publish(self, session: str, form: Form, who: str) -> Step:
        """POST /publish for a session, recorded."""
        return self.recorded(
            Call.PUBLISH, self.send(publish_request(form), who), who, session=session
        )

    def status(self, job: str, who: str) -> Step:
        """GET /status/{jobId}, recorded."""
        return self.recorded(Call.STATUS, self.send(status_request(job), who), who, job=job)

    def update(self, job: str, url: str, who: str) -> Step:
        """POST /update_status with both members, recorded."""
        exchange = self.send(update_request(job, url), who)
        return self.recorded(Call.UPDATE, exchange, who, job=job, url=url)

    def outside(self, request: Request, who: str, session: str | None = None) -> Step:
        """A request outside the contract; `session` is the one it could change, if it is known.

        A publish that is accepted all the same is a publish like any other.
        """
        exchange = self.send(request, who)
        call = {"/publish": Call.PUBLISH, "/update_status": Call.UPDATE}.get(request.target)
        if call is Call.PUBLISH and session is not None:
            reading = self.recorded(call, exchange, who, session=session).reading
        elif call is not None:
            reading = read(call, exchange)
        else:
            reading = Reading(None, describe_exchange(exchange), json_type=True)
        return Step(None, exchange, reading, session)

    def give_up(
        self, request: Request, bytes_of_body: int, who: str, session: str, *, reset: bool
    ) -> None:
        """Begin a publish, then reset or close the connection; what becomes of it is unknown."""
        request = self.stamped(request, who)
        with self.places.taken():
            deadline = time.monotonic() + self.target.response_timeout_s
            invoked = time.monotonic_ns()
            try:
                connection = Connection(self.target.origin, deadline)
                connection.send_half(request, bytes_of_body, deadline)
                if reset:
                    time.sleep(_READ_WITHIN_S)  # a reset takes along what was not read yet
                    connection.abort()
                else:
                    connection.close()
            except WireError:
                return
        self.history.append(
            Operation(
                session, who, OperationKind.PUBLISH, None, None, invoked, None, Outcome.UNKNOWN
            )
        )

    def recorded(
        self,
        call: Call,
        exchange: Exchange,
        who: str,
        *,
        session: str | None = None,
        job: str | None = None,
        url: str | None = None,
    ) -> Step:
        """Read an exchange, and put it into the history if it has a place there."""
        step = Step(call, exchange, read(call, exchange), session, job, url)
        operation = operation_of(step, who)
        if operation is not None:
            self.history.append(operation)
        if step.answer in FAILURES:
            self.failed.append(step)
        return step

    def stamped(self, request: Request, who: str) -> Request:
        """The request with the headers that every request of this run carries.

        HEAD is the last one on its connection: some servers let their application answer it with
        a body, which would be taken for the answer to the next request.
        """
        headers = (
            *request.headers,
            *self.target.headers,
            (REQUEST_ID, f"{self.token}/{who}/{next(self._numbers)}"),
        )
        if not any(name.lower() == "user-agent" for name, _ in headers):
            headers = (*headers, AGENT)
        if not self.keep_alive or request.method == "HEAD":
            headers = (*headers, ("Connection", "close"))
        return replace(request, headers=headers)

    def connection(self, deadline: float) -> Connection:
        """A kept connection that is still good, or a new one. Raises WireError(REFUSED)."""
        if self.cancelled:
            raise WireError(Trouble.REFUSED, "the run was abandoned")
        now = time.monotonic()
        while True:
            with self._guard:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                return Connection(self.target.origin, deadline)
            said = kept.unasked()
            if said is None and self.keep_alive and now - kept.last_used < _IDLE_S:
                return kept
            kept.close()
            if said and not said.strip().startswith(_MAY_COME_UNASKED):
                self.out_of_turn.append((kept.last_request, said))

    def hot_connection(self, deadline: float) -> Connection:
        """A connection that a request can be held back on. Raises WireError.

        A new one over TLS is used once before: the handshakes of others may need the threads that
        requests which are held back take.
        """
        connection = self.connection(deadline)
        if self.target.origin.scheme != "https" or connection.is_reused or not self.keep_alive:
            return connection
        connection.send(self.stamped(Request("GET", "/health"), "warm-up"), deadline)
        connection.receive(deadline)
        if connection.recycle():
            return connection
        connection.close()
        return Connection(self.target.origin, deadline)

    def give_back(self, connection: Connection, *, reusable: bool) -> None:
        """Keep a connection for the next request, or close it."""
        if reusable and self.keep_alive and connection.recycle():
            with self._guard:
                self._idle.append(connection)
        else:
            connection.close()

    def was_crowded(self, exchange: Exchange) -> bool:
        """Whether other requests had to wait for long, too, while this one was on its way."""
        long_ns = self.target.response_timeout_s * 1e9 / _LONG_WAIT
        return any(
            op.returned_ns is not None
            and op.returned_ns - op.invoked_ns > long_ns
            and op.invoked_ns < exchange.returned_ns
            and op.returned_ns > exchange.invoked_ns
            for op in list(self.history)
        )

    def stood_still(self, exchange: Exchange) -> bool:
        """Whether nothing that was asked while this request was on its way got an answer, either.

        What was asked in the first moments counts for nothing: the server may have stopped later.
        """
        since_ns = exchange.invoked_ns + _FIRST_MOMENTS * (
            exchange.returned_ns - exchange.invoked_ns
        )
        return not any(
            op.returned_ns is not None
            and op.invoked_ns > since_ns
            and op.returned_ns < exchange.returned_ns
            for op in list(self.history)
        )

    def is_answered_at_all(self) -> bool:
        """Whether the server still accepts connections, and not only because it is going down.

        What is accepted while a process ends breaks at once, without a request.
        """
        for _ in range(_LAST_BREATHS):
            try:
                connection = Connection(self.target.origin, time.monotonic() + _ALIVE_S)
            except WireError:
                return False
            breaks = connection.speaks_within(_BREAKS_WITHIN_S)
            connection.close()
            if not breaks:
                return True
        return True

    def cancel(self) -> None:
        """Send nothing more: the run was abandoned."""
        self.cancelled = True

    def close(self) -> None:
        """Close the kept connections."""
        with self._guard:
            idle, self._shared = self._shared, []
        for connection in idle:
            with suppress(OSError):
                connection.close()


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"
