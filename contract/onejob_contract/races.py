"""Requests that really race: everything but the last byte is sent first, then all last bytes.

Sending the last bytes is a loop of one-byte writes, so the requests become complete within a
fraction of a millisecond of each other, far closer than threads that start together.
"""

from __future__ import annotations

import selectors
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from onejob_contract.client import Client
from onejob_contract.findings import Unobservable
from onejob_contract.run import Run
from onejob_contract.wire import Connection, Exchange, Request, Response, Trouble, WireError

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Tightness:
    """How much a race overlapped: `spread_s` between first and last release; pairs of requests.

    Two requests overlap when neither was answered before the other was complete.
    """

    spread_s: float
    overlapping_pairs: int
    pairs: int


def rendezvous(client: Client, requests: Sequence[tuple[Request, str]]) -> list[Exchange]:
    """Send requests (each with the name of its client) so that they become complete together.

    More than the server has places for are sent in groups, one after the other.
    """
    exchanges: list[Exchange] = []
    for group in _groups(requests, client):
        with client.places.taken(len(group)):
            exchanges += _together(client, group)
    return exchanges


def _groups(things: Sequence[Thing], client: Client) -> Iterator[Sequence[Thing]]:
    """What goes on its way together: as much as the server has places for."""
    size = client.places.number
    return (things[first : first + size] for first in range(0, len(things), size))


def _together(client: Client, requests: Sequence[tuple[Request, str]]) -> list[Exchange]:
    deadline = time.monotonic() + client.target.response_timeout_s
    runners = [_Runner(client, request, who, deadline) for request, who in requests]
    if client.target.origin.scheme == "https":
        for runner in runners:
            runner.connect()
    for runner in runners:
        runner.prepare()
    for runner in runners:
        runner.release()
    with selectors.DefaultSelector() as selector:
        for runner in runners:
            if runner.connection is not None:
                selector.register(runner.connection.fileno(), selectors.EVENT_READ, runner)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in ready:
                selector.unregister(key.fd)
                key.data.receive()
            if not ready:
                break
    for runner in runners:
        runner.receive()
    client.exchanges += len(runners)
    return [runner.exchange() for runner in runners]


def tightness(exchanges: Sequence[Exchange]) -> Tightness:
    """How tight a race was, from the stamps of its exchanges."""
    ran = [x for x in exchanges if x.trouble is not Trouble.REFUSED]
    releases = [x.released_ns for x in ran]
    overlapping = sum(
        a.released_ns <= b.returned_ns and b.released_ns <= a.returned_ns
        for index, a in enumerate(ran)
        for b in ran[index + 1 :]
    )
    spread = (max(releases) - min(releases)) / 1e9 if releases else 0.0
    return Tightness(spread, overlapping, len(exchanges) * (len(exchanges) - 1) // 2)


class RaceLog:
    """The tightness of all rounds of one race; a race that did not overlap proves nothing."""

    ENOUGH = 0.5

    def __init__(self, name: str) -> None:
        self._name = name
        self._rounds: list[Tightness] = []

    def add(self, exchanges: Sequence[Exchange], client: Client) -> None:
        """Note one round."""
        self._rounds += [tightness(group) for group in _groups(exchanges, client)]

    def must_have_overlapped(self, run: Run) -> None:
        """Tell the report how tight it was. Raises Unobservable when too few pairs overlapped."""
        pairs = sum(one.pairs for one in self._rounds)
        overlapping = sum(one.overlapping_pairs for one in self._rounds)
        spread = statistics.median(one.spread_s for one in self._rounds) * 1000
        words = (
            f"{len(self._rounds)} rounds, {overlapping} of {pairs} pairs overlapped, "
            f"median spread of release {spread:.2f} ms"
        )
        run.measured[f"race: {self._name}"] = words
        if not overlapping or overlapping < pairs * self.ENOUGH:
            raise Unobservable(f"the requests did not race: {words}")


class _Runner:
    """One request of a race."""

    def __init__(self, client: Client, request: Request, who: str, deadline: float) -> None:
        self._client = client
        self._request = client.stamped(request, who)
        self._deadline = deadline
        self._invoked = self._released = time.monotonic_ns()
        self._returned = 0
        self._response: Response | None = None
        self._trouble: Trouble | None = None
        self._detail = self._after = ""
        self.connection: Connection | None = None

    def connect(self) -> None:
        try:
            self.connection = self._client.hot_connection(self._deadline)
            self._after = self.connection.last_request
        except WireError as error:
            self._fail(error)

    def prepare(self) -> None:
        if self.connection is None and self._trouble is None:
            self.connect()
        if self.connection is None:
            return
        self._invoked = self._released = time.monotonic_ns()
        try:
            self.connection.send_head(self._request, self._deadline)
        except WireError as error:
            self._fail(error)

    def release(self) -> None:
        if self.connection is None:
            return
        self._released = time.monotonic_ns()
        try:
            self.connection.send_tail(self._deadline)
        except WireError as error:
            self._fail(error)

    def receive(self) -> None:
        if self.connection is None:
            return
        connection, self.connection = self.connection, None
        try:
            self._response = connection.receive(self._deadline)
        except WireError as error:
            self._fail(error)
        self._returned = time.monotonic_ns()
        self._client.give_back(connection, reusable=self._response is not None)

    def exchange(self) -> Exchange:
        return Exchange(
            self._request,
            self._response,
            self._trouble,
            self._detail,
            self._invoked,
            self._released,
            self._returned or time.monotonic_ns(),
            self._after,
        )

    def _fail(self, error: WireError) -> None:
        self._trouble, self._detail = error.trouble, error.detail
        self._returned = time.monotonic_ns()
        if self.connection is not None:
            self.connection.close()
            self.connection = None
