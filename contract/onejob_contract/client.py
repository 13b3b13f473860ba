"""The one way through which every exchange of a run passes, whichever check or library makes it."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Final
from urllib.parse import quote

from onejob_contract.documented import FAILURES, Answer, Call, Reading, describe_exchange, read
from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.places import Places
from onejob_contract.target import Target
from onejob_contract.wire import Connection, Exchange, Request, Response, Trouble, WireError
from onejob_fixtures.forms import Form

REQUEST_ID: Final = "X-Onejob-Request"
"""The header to look for in the server's log: run, check and number of the request."""

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


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a check with what it said: what a failure is explained and replayed from.

    `call` is None for a request outside the contract. `session` is the publish's session, `job`
    the argument of status and update, `url` the reported result URL.
    """

    call: Call | None
    exchange: Exchange
    reading: Reading
    session: str | None = None
    job: str | None = None
    url: str | None = None

    @property
    def answer(self) -> Answer | None:
        """The documented answer, if it was one."""
        return self.reading.answer

    @property
    def granted_job(self) -> str | None:
        """The jobId a publish was granted."""
        return self.reading.member("jobId") if self.answer is Answer.GRANTED else None


def request_id(step: Step) -> str:
    """The id under which the server's log may know the request."""
    return dict(step.exchange.request.headers).get(REQUEST_ID, "")


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
        self._idle: list[Connection] = []
        self._guard = threading.Lock()

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
            idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(OSError):
                connection.close()


ANSWERS: Final = {
    (OperationKind.PUBLISH, Outcome.GRANTED): Answer.GRANTED,
    (OperationKind.PUBLISH, Outcome.BUSY): Answer.BUSY,
    (OperationKind.UPDATE, Outcome.OK): Answer.UPDATED,
    (OperationKind.UPDATE, Outcome.NOT_FOUND): Answer.UNKNOWN_JOB,
    (OperationKind.STATUS, Outcome.PROCESSING): Answer.PROCESSING,
    (OperationKind.STATUS, Outcome.COMPLETED): Answer.COMPLETED,
    (OperationKind.STATUS, Outcome.NOT_FOUND): Answer.NOT_FOUND,
}
"""The documented answer behind each outcome that a history knows."""
_OUTCOMES: Final = {answer: outcome for (_, outcome), answer in ANSWERS.items()}
_KINDS: Final = {
    Call.PUBLISH: OperationKind.PUBLISH,
    Call.UPDATE: OperationKind.UPDATE,
    Call.STATUS: OperationKind.STATUS,
}


def operation_of(step: Step, who: str) -> Operation | None:
    """A step as an operation of the history, or None if it certainly changed and showed nothing.

    Refused requests have no effect (design: how to read the document, 6). A timeout, a reset, a
    5xx or an undocumented success may have taken effect, at any later time: its outcome is unknown.
    """
    exchange = step.exchange
    if step.call is None or step.call not in _KINDS or exchange.trouble is Trouble.REFUSED:
        return None
    kind = _KINDS[step.call]
    if (not step.session) if kind is OperationKind.PUBLISH else (step.job is None):
        return None
    outcome = _OUTCOMES.get(step.answer) if step.answer else None
    returned: int | None = exchange.returned_ns
    if outcome is None:
        unsure = exchange.response is None or exchange.response.status // 100 != 4
        if not unsure or kind is OperationKind.STATUS:
            return None
        outcome, returned = Outcome.UNKNOWN, None
    url = step.reading.member("image_url") if outcome is Outcome.COMPLETED else step.url
    return Operation(
        session=step.session,
        client=who,
        operation=kind,
        job=step.granted_job or step.job,
        url=url,
        invoked_ns=exchange.invoked_ns,
        returned_ns=returned,
        outcome=outcome,
    )


def without(
    operations: Iterable[Operation], sessions: Sequence[str], failed: Iterable[Step] = ()
) -> list[Operation]:
    """The history without some sessions and the jobs that were granted in them.

    Nor is there any busy that overlaps a publish of its session that `failed` in a documented way:
    a server cannot know that it will fail, and may keep others waiting by refusing them.
    """
    hidden = set(sessions)
    everything = list(operations)
    jobs = {op.job for op in everything if op.session in hidden and op.job is not None}
    attempts: defaultdict[str | None, list[Exchange]] = defaultdict(list)
    for step in failed:
        attempts[step.session].append(step.exchange)
    return [
        op
        for op in everything
        if op.session not in hidden
        and op.job not in jobs
        and not (op.outcome is Outcome.BUSY and _meets(op, attempts.get(op.session, ())))
    ]


def _meets(operation: Operation, exchanges: Iterable[Exchange]) -> bool:
    until = operation.returned_ns or operation.invoked_ns
    return any(
        exchange.invoked_ns <= until and operation.invoked_ns <= exchange.returned_ns
        for exchange in exchanges
    )


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"
