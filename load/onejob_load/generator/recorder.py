"""Records what happens in this process until the observer is told of it."""

from __future__ import annotations

import time

from onejob_contract.history import Operation
from onejob_load.batch import Batch, Health, Incident, IncidentKind, Round, Sample


class Recorder:
    """Everything since the last batch, and which requests are under way."""

    def __init__(self, clock: str, generator: str) -> None:
        self._clock = clock
        self._generator = generator
        self._samples: list[Sample] = []
        self._incidents: list[Incident] = []
        self._rounds: list[Round] = []
        self._under_way: dict[int, int] = {}
        self._next = 0

    def begin(self) -> tuple[int, int]:
        """Note that a request is about to be sent; give its number and the time (ns)."""
        self._next += 1
        now = time.monotonic_ns()
        self._under_way[self._next] = now
        return self._next, now

    def end(self, number: int) -> None:
        """Note that a request is over; what it showed was recorded before."""
        del self._under_way[number]

    def sample(self, operation: Operation, due_ns: int) -> None:
        """Record an operation of the history."""
        self._samples.append(Sample(operation, due_ns))

    def incident(self, kind: IncidentKind, at_ns: int, call: str, text: str) -> None:
        """Record an answer that is no outcome."""
        self._incidents.append(Incident(kind, at_ns, call, text))

    def round(self, one: Round) -> None:
        """Record a round of a stampede."""
        self._rounds.append(one)

    def drain(self, health: Health, *, last: bool = False) -> Batch:
        """Give everything recorded since the last batch, and forget it."""
        # Requests begin in the order of their times, and a dict keeps that order.
        watermark = next(iter(self._under_way.values()), None) or time.monotonic_ns()
        batch = Batch(
            self._clock,
            self._generator,
            watermark,
            tuple(self._samples),
            tuple(self._incidents),
            tuple(self._rounds),
            health,
            last,
        )
        self._samples, self._incidents, self._rounds = [], [], []
        return batch
