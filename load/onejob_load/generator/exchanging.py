"""Sends requests of the API and records what they showed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import gevent
from gevent import GreenletExit

from onejob_contract.documented import Answer, Call, Reading, describe, read
from onejob_contract.history import Outcome
from onejob_contract.steps import Step, operation_of
from onejob_contract.wire import Exchange, Request, Response, Trouble, WireError
from onejob_load.batch import IncidentKind, Round
from onejob_load.generator.recorder import Recorder
from onejob_load.generator.requests import Requests
from onejob_load.generator.wire import Connection, Connections

_CALLS: Final = {
    Call.PUBLISH: Request("POST", "/publish"),
    Call.STATUS: Request("GET", "/status"),
    Call.UPDATE: Request("POST", "/update_status"),
}
_OURS: Final = "the load test ended first"
REFUSED_PAUSE_S: Final = 0.25
"""A target that takes no connections is asked again this much later, not as fast as we can."""

Listener = Callable[[Step, float, str], None]
"""Told of every exchange: the step, its latency in ms, and what is wrong with it if anything."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the caller of an operation was told; `outcome` is None where it is no outcome."""

    outcome: Outcome | None
    job: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class _Planned:
    """A request before it is sent."""

    call: Call
    data: bytes
    who: str
    session: str
    job: str | None = None
    url: str | None = None


class Exchanger:
    """The operations of the API for one user, on its own kept connections."""

    def __init__(
        self, connections: Connections, requests: Requests, recorder: Recorder, listener: Listener
    ) -> None:
        self._connections = connections
        self._requests = requests
        self._recorder = recorder
        self._listener = listener

    def publish(self, session: str, who: str, due_ns: int | None = None) -> Told:
        """POST /publish. `due_ns` is when it should have been sent, if not now."""
        return self._exchange(self._publish(session, who), due_ns)

    def publish_slowly(self, session: str, who: str, seconds: float, pieces: int = 8) -> Told:
        """POST /publish, its body in pieces over some seconds."""
        planned = self._publish(session, who)
        return self._exchange(planned, None, pause_s=seconds / pieces, pieces=pieces)

    def abort_upload(self, session: str, who: str, seconds: float) -> None:
        """Send half of a publish and hang up.

        The request was never complete, so it is no operation: it must not change anything.
        """
        data = self._publish(session, who).data
        try:
            connection = self._connections.take()
        except WireError:
            gevent.sleep(REFUSED_PAUSE_S)
            return
        try:
            _send_in_pieces(connection, data[: len(data) // 2], 4, seconds / 4)
        except WireError:
            return
        finally:
            connection.close()

    def status(self, session: str, job: str, who: str) -> Told:
        """GET /status/{jobId}."""
        data = self._requests.status(job, who)
        return self._exchange(_Planned(Call.STATUS, data, who, session, job), None)

    def update(self, session: str, job: str, url: str, who: str) -> Told:
        """POST /update_status."""
        data = self._requests.update(job, url, who)
        return self._exchange(_Planned(Call.UPDATE, data, who, session, job, url), None)

    def stampede(self, session: str, who: Sequence[str]) -> list[Told]:
        """Publish once for each client so that all requests become complete together.

        Everything but the last byte is sent first, then all last bytes in one go.
        """
        racers = [_Racer(self._recorder, self._publish(session, one)) for one in who]
        try:
            for racer in racers:
                racer.connect(self._connections, self._requests.health(racer.planned.who))
            for racer in racers:
                racer.prepare()
            for racer in racers:
                racer.release()
            readers = [gevent.spawn(racer.receive) for racer in racers]
            try:
                gevent.joinall(readers)
            finally:
                gevent.killall(readers)
        finally:
            told = [self._finish(racer) for racer in racers]
        self._record_round(session, racers, told)
        return told

    def _publish(self, session: str, who: str) -> _Planned:
        return _Planned(Call.PUBLISH, self._requests.publish(session, who), who, session)

    def _exchange(
        self,
        planned: _Planned,
        due_ns: int | None,
        *,
        pause_s: float = 0.0,
        pieces: int = 1,
    ) -> Told:
        number, invoked = self._recorder.begin()
        response: Response | None = None
        trouble: Trouble | None = None
        detail = ""
        connection: Connection | None = None
        reusable = False
        try:
            connection = self._connections.take()
            if pieces == 1:
                connection.send(planned.data)
            else:
                _send_in_pieces(connection, planned.data, pieces, pause_s)
                due_ns = time.monotonic_ns()  # Our own slowness is no latency of the server.
            response, reusable = connection.receive()
        except WireError as error:
            trouble, detail = error.trouble, error.detail
        except GreenletExit:
            # We hang up: it may have taken effect, but the server is not to blame.
            trouble, detail = Trouble.CLOSED, _OURS
            raise
        finally:
            returned = time.monotonic_ns()
            if connection is not None:
                self._connections.keep(connection) if reusable else connection.close()
            exchange = Exchange(
                _CALLS[planned.call], response, trouble, detail, invoked, invoked, returned
            )
            told = self._record(number, planned, exchange, due_ns or invoked)
        if trouble is Trouble.REFUSED:
            gevent.sleep(REFUSED_PAUSE_S)
        return told

    def _finish(self, racer: _Racer) -> Told:
        if racer.connection is not None:
            if racer.reusable:
                self._connections.keep(racer.connection)
            else:
                racer.connection.close()
        exchange = Exchange(
            _CALLS[Call.PUBLISH],
            racer.response,
            racer.trouble or (None if racer.response else Trouble.CLOSED),
            racer.detail or (_OURS if racer.response is None else ""),
            racer.invoked,
            racer.released,
            racer.returned or time.monotonic_ns(),
        )
        return self._record(racer.number, racer.planned, exchange, racer.released)

    def _record(self, number: int, planned: _Planned, exchange: Exchange, due_ns: int) -> Told:
        response = exchange.response
        if response is None:
            reading = Reading(None, exchange.detail, json_type=True)
        else:
            reading = _read(
                planned.call,
                response.status,
                (response.header("Content-Type") or "").partition(";")[0].strip().lower(),
                response.body,
            )
        step = Step(planned.call, exchange, reading, planned.session, planned.job, planned.url)
        operation = operation_of(step, planned.who)
        if operation is not None:
            self._recorder.sample(operation, due_ns)
        wrong = ""
        unclear = operation is None or operation.outcome is Outcome.UNKNOWN
        if (unclear or not reading.json_type) and exchange.detail != _OURS:
            wrong = self._incident(step)
        self._recorder.end(number)
        self._listener(step, (exchange.returned_ns - due_ns) / 1e6, wrong)
        if operation is None:
            return Told(None)
        return Told(operation.outcome, operation.job, operation.url)

    def _incident(self, step: Step) -> str:
        exchange, reading = step.exchange, step.reading
        if exchange.response is None:
            refused = exchange.trouble is Trouble.REFUSED
            kind = IncidentKind.REFUSED if refused else IncidentKind.UNANSWERED
            if exchange.trouble in (Trouble.NOT_HTTP, Trouble.TOO_LARGE):
                kind = IncidentKind.UNEXPECTED
            text = f"{exchange.trouble}: {exchange.detail}"
        elif reading.answer is None or not reading.json_type:
            kind, text = IncidentKind.UNEXPECTED, describe(exchange.response)
        else:
            # A late or repeated update may be answered with anything documented.
            allowed = reading.answer in _FAILURES or step.call is Call.UPDATE
            kind = IncidentKind.FAILED if allowed else IncidentKind.UNEXPECTED
            text = describe(exchange.response)
        self._recorder.incident(kind, exchange.returned_ns, str(step.call), text)
        return f"{kind}: {text}"

    def _record_round(self, session: str, racers: Sequence[_Racer], told: Sequence[Told]) -> None:
        ran = [racer for racer in racers if racer.trouble is not Trouble.REFUSED]
        if len(ran) < 2:
            return
        releases = [racer.released for racer in ran]
        self._recorder.round(
            Round(
                at_ns=max(releases),
                session=session,
                racers=len(ran),
                winners=sum(one.outcome is Outcome.GRANTED for one in told),
                spread_ns=max(releases) - min(releases),
                overlapping=sum(
                    a.released <= b.returned and b.released <= a.returned
                    for index, a in enumerate(ran)
                    for b in ran[index + 1 :]
                ),
                pairs=len(ran) * (len(ran) - 1) // 2,
            )
        )


_FAILURES: Final = (
    Answer.JOB_DIR_FAILED,
    Answer.SAVE_FAILED,
    Answer.DATABASE_FAILED,
    Answer.PUBLISH_FAILED,
)


class _Racer:
    """One request of a stampede."""

    def __init__(self, recorder: Recorder, planned: _Planned) -> None:
        self.number, self.invoked = recorder.begin()
        self.planned = planned
        self._last = planned.data[-1:]
        self.released = self.invoked
        self.returned = 0
        self.connection: Connection | None = None
        self.response: Response | None = None
        self.trouble: Trouble | None = None
        self.detail = ""
        self.reusable = False

    def connect(self, connections: Connections, harmless: bytes) -> None:
        """Get a connection that has carried a request, or can carry one at once."""
        try:
            self.connection = connections.take_hot(harmless)
        except WireError as error:
            self._fail(error)

    def prepare(self) -> None:
        """Send all but the last byte."""
        if self.connection is None:
            return
        try:
            self.connection.send(self.planned.data[:-1])
        except WireError as error:
            self._fail(error)

    def release(self) -> None:
        """Send the last byte: from here on the server can act."""
        self.released = time.monotonic_ns()
        if self.trouble is None and self.connection is not None:
            try:
                self.connection.send_byte(self._last)
            except WireError as error:
                self._fail(error)

    def receive(self) -> None:
        """Read the answer."""
        if self.trouble is None and self.connection is not None:
            try:
                self.response, self.reusable = self.connection.receive()
            except WireError as error:
                self._fail(error)
        self.returned = time.monotonic_ns()

    def _fail(self, error: WireError) -> None:
        self.trouble, self.detail = error.trouble, error.detail


def _send_in_pieces(connection: Connection, data: bytes, pieces: int, pause_s: float) -> None:
    size = max(1, -(-len(data) // pieces))
    for start in range(0, len(data), size):
        if start:
            gevent.sleep(pause_s)
        connection.send(data[start : start + size])


@lru_cache(maxsize=1024)
def _read(call: Call, status: int, media_type: str, body: bytes) -> Reading:
    """Read an answer against the documented ones; most refusals are the same bytes every time."""
    response = Response(status, (("Content-Type", media_type),), body)
    return read(call, Exchange(_CALLS[call], response, None, "", 0, 0, 0))
