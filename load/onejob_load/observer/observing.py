"""The observer itself: batches in, a snapshot of the run out at any time."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from typing import Any, Final

from onejob_contract.history import Operation
from onejob_load.batch import Batch, Health, IncidentKind, Round
from onejob_load.conclusion import Evidence, Overall, conclude
from onejob_load.observer.durations import Durations
from onejob_load.observer.judging import BUSY_WHEN_FREE, EXPLAINED, Bench, Violation
from onejob_load.observer.sharing import Sharing
from onejob_load.observer.stuck import Stuck
from onejob_load.observer.timeline import Timeline
from onejob_load.thresholds import LATENCIES, Threshold, parse_thresholds

SCHEMA_VERSION: Final = 1
ENOUGH_OVERLAP: Final = 0.5
"""The share of racing pairs that must have overlapped for a stampede to have been one."""
GONE_AFTER_S: Final = 3
LATE_LOOP_S: Final = 0.025
"""An event loop that is this late at its 95th percentile measures itself, not the server."""
BUSY_CPU_PERCENT: Final = 90.0
STUCK: Final = "stuck session"


@dataclass(frozen=True, slots=True)
class RunDescription:
    """What the observer is told of a run before it starts."""

    url: str
    settings: dict[str, Any]
    started_at: str
    live_worker: bool

    def thresholds(self) -> tuple[Threshold, ...]:
        """Give the thresholds of the settings."""
        return parse_thresholds(self.settings["thresholds"])


@dataclass(slots=True)
class _Generator:
    clock: str
    batches: int = 0
    health: Health = field(default_factory=lambda: Health(0, 0, 0.0, 0))
    lag: Durations = field(default_factory=Durations)
    cpu_total: float = 0.0
    ended: bool = False
    lost: bool = False

    @property
    def cpu_percent(self) -> float:
        return self.cpu_total / self.batches if self.batches else 0.0


class Observer:
    """Follows one run."""

    def __init__(self, run: RunDescription) -> None:
        self._run = run
        self._timeline = Timeline()
        self._sharing = Sharing()
        job_timeout = run.settings["job_timeout"]
        self._stuck = Stuck(job_timeout if run.live_worker else None)
        self._benches: dict[str, Bench] = {}
        self._generators: dict[str, _Generator] = {}
        self._newest_rounds: deque[Round] = deque(maxlen=30)
        self._winners: Counter[int] = Counter()
        self._spreads = Durations()
        self._overlapping = 0
        self._pairs = 0
        self._unheard: list[str] = []
        self._finished = False

    def take(self, batch: Batch) -> None:
        """Take in what a generator tells."""
        bench = self._bench(batch.clock)
        generator = self._generators.setdefault(batch.generator, _Generator(batch.clock))
        if generator.lost:
            return
        if batch.samples:
            # The first batch need not hold the earliest operation, but it comes close.
            self._timeline.begin(batch.clock, min(s.operation.invoked_ns for s in batch.samples))
        for sample in batch.samples:
            self._timeline.sample(batch.clock, sample)
        for incident in batch.incidents:
            self._timeline.incident(batch.clock, incident)
        for one in batch.rounds:
            self._round(one)
        self._health(generator, batch)
        watermark = math.inf if batch.last else batch.watermark_ns
        generator.ended = batch.last
        operations = [sample.operation for sample in batch.samples]
        self._follow(bench.take(batch.generator, operations, watermark))

    def lose(self, name: str) -> None:
        """Take note that a generator died without saying so.

        One that nobody has heard of may have done anything anywhere: nothing is judged any more.
        """
        generator = self._generators.get(name)
        if generator is None:
            self._unheard.append(name)
            self._stuck = Stuck(None)
            for bench in self._benches.values():
                bench.void()
        elif not generator.ended and not generator.lost:
            generator.lost = True
            self._benches[generator.clock].lose(name)

    def finish(self) -> None:
        """Judge the run as a whole; generators that did not end are lost."""
        for name in self._generators:
            self.lose(name)
        for bench in self._benches.values():
            self._follow(bench.finish())
        self._finished = True

    def snapshot(self) -> dict[str, Any]:
        """Give all that is known as a JSON object: the page shows it, a report keeps it."""
        figures = self.figures()
        thresholds = [one.judge(figures) for one in self._run.thresholds()]
        violations = list(self._violations())
        violated = sum(len(bench.violated) for bench in self._benches.values())
        conclusion = conclude(
            Evidence(
                granted=self._timeline.latencies["granted"].count,
                violated_sessions=violated,
                first_violation=violations[0].explanation if violations else "",
                thresholds=thresholds,
                doubts=list(self._doubts()),
            )
        )
        decided = self._finished or conclusion.overall is Overall.FAILED
        return {
            "schema": SCHEMA_VERSION,
            "version": version("onejob"),
            "url": self._run.url,
            "settings": self._run.settings,
            "started_at": self._run.started_at,
            "duration_s": self._timeline.seconds,
            "finished": self._finished,
            "verdict": str(conclusion.overall) if decided else "running",
            "because": conclusion.because if decided else "no violation so far",
            "exit_code": int(conclusion.exit),
            "thresholds": [asdict(result) for result in thresholds],
            "violations": {
                "sessions": violated,
                "undecided": sum(bench.undecided for bench in self._benches.values()),
                "judged": sum(bench.sessions for bench in self._benches.values()),
                "examples": [one.as_json() for one in (*violations, *self._overdue())],
            },
            "figures": figures,
            "timeline": self._timeline.as_json(),
            "hottest": self._sharing.hottest(),
            "rounds": [asdict(one) for one in self._newest_rounds],
            "winners": {str(count): rounds for count, rounds in sorted(self._winners.items())},
            "incidents": {
                kind: [{"text": text, "count": count} for text, count in texts.most_common()]
                for kind, texts in self._timeline.texts.items()
            },
            "generators": [
                {
                    "generator": name,
                    "clock": one.clock,
                    "users": one.health.users,
                    "lag_p95": one.lag.percentile(95),
                    "cpu_percent": one.cpu_percent,
                    "lost": one.lost,
                }
                for name, one in self._generators.items()
            ],
            "limit": self._limit(),
            "notes": list(self._notes()),
        }

    def figures(self) -> dict[str, float | None]:
        """Every metric that a threshold can name."""
        timeline, seconds = self._timeline, max(1, self._timeline.seconds)
        granted, busy = timeline.latencies["granted"].count, timeline.latencies["busy"].count
        fairness = self._sharing.fairness()
        answered = granted + busy
        figures: dict[str, float | None] = {
            "violations": sum(len(bench.violated) for bench in self._benches.values()),
            "stuck": len(self._stuck.busy_for_good() | self._stuck.overdue().keys()),
            **{str(kind): timeline.incidents[kind] for kind in IncidentKind},
            "requests.count": timeline.samples,
            "requests.rate": timeline.samples / seconds,
            "granted.rate": granted / answered if answered else None,
            "busy.rate": busy / answered if answered else None,
            "fairness.jain": fairness["jain"],
            "fairness.starvation": fairness["starvation"],
            "utilisation": self._sharing.utilisation(),
            "sessions": self._sharing.sessions,
            "races.count": sum(self._winners.values()),
            "races.spread": self._spreads.percentile(50),
            "races.overlap": self._overlapping / self._pairs if self._pairs else None,
            "generator.lag": max(
                (one.lag.percentile(95) or 0.0 for one in self._generators.values()), default=None
            ),
            "generator.cpu": max(
                (one.cpu_percent / 100 for one in self._generators.values()), default=None
            ),
        }
        durations = {
            **timeline.latencies,
            "hold": self._sharing.holds,
            "gap": self._sharing.gaps,
        }
        for name in LATENCIES:
            for statistic, value in durations[name].statistics().items():
                figures[f"{name}.{statistic}"] = value
        return figures

    def _bench(self, clock: str) -> Bench:
        if clock not in self._benches:
            self._benches[clock] = Bench(live_worker=self._run.live_worker)
            if self._unheard:
                self._benches[clock].void()
        return self._benches[clock]

    def _follow(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            self._sharing.follow(operation)
            self._stuck.follow(operation)

    def _violations(self) -> Iterator[Violation]:
        """Give the violations, with those that lasted to the end under their own name."""
        for_good = self._stuck.busy_for_good()
        for bench in self._benches.values():
            for one in bench.violations:
                is_stuck = one.kind == BUSY_WHEN_FREE and one.session in for_good
                yield replace(one, kind=STUCK) if is_stuck else one

    def _overdue(self) -> Iterator[Violation]:
        for session, explanation in islice(self._stuck.overdue().items(), EXPLAINED):
            yield Violation(STUCK, session, explanation, ())

    def _round(self, one: Round) -> None:
        self._newest_rounds.append(one)
        self._winners[one.winners] += 1
        self._spreads.add(one.spread_ns / 1e9)
        self._overlapping += one.overlapping
        self._pairs += one.pairs

    def _health(self, generator: _Generator, batch: Batch) -> None:
        generator.health = batch.health
        if not batch.health.users:
            return
        generator.batches += 1
        generator.lag.add(batch.health.lag_ns / 1e9)
        generator.cpu_total += batch.health.cpu_percent
        self._timeline.health(batch.clock, batch.health)

    def _doubts(self) -> Iterable[str]:
        """Say what keeps this run from being a proof."""
        timeline = self._timeline
        silent = timeline.seconds - 1 - timeline.last_answer_second
        unanswered = timeline.incidents["refused"] + timeline.incidents["unanswered"]
        if unanswered and silent >= GONE_AFTER_S:
            yield f"the target stopped answering {timeline.last_answer_second} s into the run"
        for name in self._unheard:
            yield (
                f"the Locust worker {name} was lost before its first word; what it did is unknown, "
                "so nothing is judged"
            )
        for name, one in self._generators.items():
            if one.lost:
                yield (
                    f"the Locust worker {name} was lost; its machine is judged only up to its "
                    "last word"
                )
        undecided = sum(bench.undecided for bench in self._benches.values())
        if self._run.live_worker and not self._stuck.completed:
            yield "no job was completed; does the server's own worker run?"
        if undecided:
            yield f"{undecided} sessions were too hard to judge in time"
        if self._pairs and self._overlapping < ENOUGH_OVERLAP * self._pairs:
            yield (
                f"the stampede was none: only {self._overlapping} of {self._pairs} pairs of "
                "publishes overlapped"
            )

    def _limit(self) -> str:
        """Say which generator is the limit of what was measured, empty if none is."""
        for name, one in self._generators.items():
            lag = one.lag.percentile(95) or 0.0
            if one.cpu_percent > BUSY_CPU_PERCENT:
                return f"{name} uses {one.cpu_percent:.0f} % of its core"
            if lag > LATE_LOOP_S:
                return f"the event loop of {name} is {lag * 1000:.0f} ms late"
        return ""

    def _notes(self) -> Iterable[str]:
        if len(self._benches) > 1:
            yield (
                f"{len(self._benches)} machines: their clocks cannot be compared, so each has "
                "sessions of its own and was judged by itself; contention between machines was "
                "not judged, except that no job id was granted twice on one machine"
            )
        if self._run.live_worker:
            yield "jobs were completed by the server's own worker; updates were not sent"
