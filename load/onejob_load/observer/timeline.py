"""What happened in each second of the run."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final

from onejob_contract.history import Outcome
from onejob_load.batch import Health, Incident, Sample
from onejob_load.observer.durations import Durations

_SECOND_NS: Final = 1_000_000_000
_TIMED: Final = {
    Outcome.GRANTED: "granted",
    Outcome.BUSY: "busy",
    Outcome.OK: "update",
    Outcome.PROCESSING: "status",
    Outcome.COMPLETED: "status",
}


class Timeline:
    """Outcomes and latencies, in all and by second since the run's first event.

    Times of several machines cannot be compared, so every clock has its own second zero.
    """

    def __init__(self) -> None:
        self.latencies = {name: Durations() for name in ("granted", "busy", "update", "status")}
        self.incidents: Counter[str] = Counter()
        self.texts: dict[str, Counter[str]] = defaultdict(Counter)
        self.samples = 0
        self.last_answer_second = 0
        self._origins: dict[str, int] = {}
        self._counts: dict[int, Counter[str]] = defaultdict(Counter)
        self._latencies: dict[int, dict[str, Durations]] = defaultdict(
            lambda: {"granted": Durations(), "busy": Durations()}
        )
        self._health: dict[int, Health] = {}

    def begin(self, clock: str, at_ns: int) -> None:
        """Let second zero of a clock be at `at_ns`, unless it has one."""
        self._origins.setdefault(clock, at_ns)

    def sample(self, clock: str, sample: Sample) -> None:
        """Note one operation."""
        operation = sample.operation
        self.samples += 1
        if operation.returned_ns is None:
            return
        second = self._second(clock, operation.returned_ns)
        self.last_answer_second = max(self.last_answer_second, second)
        name = _TIMED.get(operation.outcome)
        if name is None:
            return
        seconds = (operation.returned_ns - sample.due_ns) / 1e9
        self.latencies[name].add(seconds)
        self._counts[second][name] += 1
        if name in ("granted", "busy"):
            self._latencies[second][name].add(seconds)

    def incident(self, clock: str, incident: Incident) -> None:
        """Note one answer that is no outcome."""
        self.incidents[incident.kind] += 1
        self._counts[self._second(clock, incident.at_ns)][incident.kind] += 1
        texts = self.texts[incident.kind]
        text = f"{incident.call}: {incident.text}"
        if text in texts or len(texts) < 20:
            texts[text] += 1

    def health(self, clock: str, health: Health) -> None:
        """Note how a generator fares; each second keeps the worst."""
        second = self._second(clock, health.at_ns)
        known = self._health.get(second)
        if known is None or health.lag_ns > known.lag_ns:
            self._health[second] = health

    @property
    def seconds(self) -> int:
        """How many seconds the run has had."""
        return 1 + max((*self._counts, *self._health, -1))

    def as_json(self, newest: int = 900) -> list[dict[str, Any]]:
        """Give the newest seconds, oldest first; latencies in seconds."""
        end = self.seconds
        return [self._row(second) for second in range(max(0, end - newest), end)]

    def _row(self, second: int) -> dict[str, Any]:
        counts = self._counts.get(second, Counter())
        latencies = self._latencies.get(second)
        health = self._health.get(second)
        return {
            "second": second,
            "granted": counts["granted"],
            "busy": counts["busy"],
            "other": counts["update"] + counts["status"],
            "unexpected": counts["unexpected"] + counts["failed"],
            "unanswered": counts["unanswered"] + counts["refused"],
            "granted_p50": latencies["granted"].percentile(50) if latencies else None,
            "granted_p95": latencies["granted"].percentile(95) if latencies else None,
            "busy_p50": latencies["busy"].percentile(50) if latencies else None,
            "busy_p95": latencies["busy"].percentile(95) if latencies else None,
            "lag": health.lag_ns / 1e9 if health else None,
            "users": health.users if health else None,
        }

    def _second(self, clock: str, at_ns: int) -> int:
        self.begin(clock, at_ns)
        return max(0, (at_ns - self._origins[clock]) // _SECOND_NS)
