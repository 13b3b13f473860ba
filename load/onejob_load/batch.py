"""What a generator tells the observer: everything that ended since it told it last.

Batches travel as JSON objects, through Locust's own messages where there are several processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from onejob_contract.history import Operation, OperationKind, Outcome


class IncidentKind(StrEnum):
    """Answers that are no outcome of the session lock."""

    UNEXPECTED = "unexpected"
    """The document does not know this answer."""
    FAILED = "failed"
    """A documented failure, such as a failing database."""
    UNANSWERED = "unanswered"
    """Timeout or reset: it may have taken effect."""
    REFUSED = "refused"
    """No connection: it certainly did not happen."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One operation, and when its request was due (ns): its latency counts from there."""

    operation: Operation
    due_ns: int


@dataclass(frozen=True, slots=True)
class Incident:
    """One request whose answer is no outcome: when it ended (ns), which call, what came back."""

    kind: IncidentKind
    at_ns: int
    call: str
    text: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a stampede: publishes released together on one session.

    ``spread_ns`` is the time from the first to the last release; ``overlapping`` of ``pairs``
    pairs of requests were both complete before either was answered.
    """

    at_ns: int
    session: str
    racers: int
    winners: int
    spread_ns: int
    overlapping: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Health:
    """How the generator itself fared at a time (ns): loop lateness (ns), CPU percent, users."""

    at_ns: int
    lag_ns: int
    cpu_percent: float
    users: int


@dataclass(frozen=True, slots=True)
class Batch:
    """All of one generator since its last batch.

    ``clock`` names the machine whose monotonic clock stamps the times. No later batch of this
    generator holds an operation invoked before ``watermark_ns``. ``last`` promises that none
    follows at all.
    """

    clock: str
    generator: str
    watermark_ns: int
    samples: tuple[Sample, ...]
    incidents: tuple[Incident, ...]
    rounds: tuple[Round, ...]
    health: Health
    last: bool = False


def batch_to_json(batch: Batch) -> dict[str, Any]:
    """Give the batch as a JSON object; a sample is an array, since there are many."""
    return {
        "clock": batch.clock,
        "generator": batch.generator,
        "watermark_ns": batch.watermark_ns,
        "samples": [
            (
                o.session,
                o.client,
                o.operation,
                o.job,
                o.url,
                o.invoked_ns,
                o.returned_ns,
                o.outcome,
                s.due_ns,
            )
            for s in batch.samples
            for o in (s.operation,)
        ],
        "incidents": [(i.kind, i.at_ns, i.call, i.text) for i in batch.incidents],
        "rounds": [
            (r.at_ns, r.session, r.racers, r.winners, r.spread_ns, r.overlapping, r.pairs)
            for r in batch.rounds
        ],
        "health": (
            batch.health.at_ns,
            batch.health.lag_ns,
            batch.health.cpu_percent,
            batch.health.users,
        ),
        "last": batch.last,
    }


def batch_from_json(data: dict[str, Any]) -> Batch:
    """Give the batch that `batch_to_json` made this object of."""
    return Batch(
        clock=data["clock"],
        generator=data["generator"],
        watermark_ns=data["watermark_ns"],
        samples=tuple(_sample(row) for row in data["samples"]),
        incidents=tuple(Incident(IncidentKind(kind), *rest) for kind, *rest in data["incidents"]),
        rounds=tuple(Round(*row) for row in data["rounds"]),
        health=Health(*data["health"]),
        last=data["last"],
    )


_KINDS = {str(kind): kind for kind in OperationKind}
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


def _sample(row: list[Any]) -> Sample:
    session, client, kind, job, url, invoked, returned, outcome, due = row
    operation = Operation(
        session, client, _KINDS[kind], job, url, invoked, returned, _OUTCOMES[outcome]
    )
    return Sample(operation, due)
