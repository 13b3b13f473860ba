"""What all checks of one run share: the client, the clock, the budget, what was found out."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from onejob_contract.client import Client
from onejob_contract.findings import Violation
from onejob_contract.history import Operation, Outcome
from onejob_contract.steps import Step, without
from onejob_contract.target import Target, WorkerMode

if TYPE_CHECKING:
    from onejob_contract.linearizability import Judgement


@dataclass(frozen=True, slots=True)
class Profile:
    """How long the parts of a run take on a fast server.

    `seconds` for all checks that ask, `hold_s` for locks that wait meanwhile. Then nobody asks
    anything for `idle_s`, and until what was left alone from the beginning is `oldest_s` old.
    """

    name: str
    seconds: float
    hold_s: float
    idle_s: float
    oldest_s: float


PROFILES: Final = MappingProxyType(
    {
        "quick": Profile("quick", 5.0, 3.8, 0.0, 0.0),
        "standard": Profile("standard", 24.0, 21.0, 6.5, 31.0),
        "thorough": Profile("thorough", 250.0, 245.0, 61.0, 306.0),
    }
)
STRETCH: Final = 3.0
"""A slow server gets this many times the profile's seconds before checks are cut short."""
_JUDGING_S: Final = 60.0
_OUTSIDE_KEPT: Final = 16
_OF_THE_WORKER: Final = "the result of the server's own worker"
CLEANED_UP: Final = "https://results.example.com/cleaned-up.png"
SHARE_FOR_CLEANING: Final = 0.2
"""This fraction of the profile's seconds at most goes into completing what was left active."""
_CLEANERS: Final = 16
_CLEANERS_OF_A_SLOW_SERVER: Final = 128
SLOW_S: Final = 0.02
"""Waiting for one answer of this length after the other wastes the profile's seconds."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found out before the checks begin.

    `latency_s` is the median answer time; `pace_s` the mean over requests of every kind but the
    slowest of those that came first, which may have been a cold start.
    """

    latency_s: float
    pace_s: float
    update_status: bool
    update_status_reason: str
    live_worker: bool


@dataclass(slots=True)
class Run:
    """One run against one implementation under test. Shared by the threads that run the checks."""

    client: Client
    target: Target
    profile: Profile
    seed: int
    surroundings: Surroundings
    hold_s: float
    known_failures: frozenset[str] = frozenset()
    started: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)
    violations: list[Violation] = field(default_factory=list)
    reported_urls: set[str] = field(default_factory=set)
    worker_urls: set[str] = field(default_factory=set)
    untracked_sessions: list[str] = field(default_factory=list)
    unfinished: dict[str, str] = field(default_factory=dict)
    left_alone: list[Sequence[Step]] = field(default_factory=list)
    cut_short: dict[str, str] = field(default_factory=dict)
    measured: dict[str, str] = field(default_factory=dict)
    live_worker_seen: str | None = None
    gone: bool = False
    unhealed: str = ""
    silent_since: float | None = None
    unanswered: list[Violation] = field(default_factory=list)
    last_outside: deque[Step] = field(default_factory=lambda: deque(maxlen=_OUTSIDE_KEPT))
    fails_now_and_then: bool = False
    job_ids: dict[str, tuple[Operation, str]] = field(default_factory=dict)
    _watched_until: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def may_have_worker(self) -> bool:
        """Whether a job that ends by itself is the server's own worker, not a fault."""
        return self.target.worker is not WorkerMode.HARNESS

    @property
    def has_worker(self) -> bool:
        """Whether the server's own worker is known to be at work."""
        return (
            self.target.worker is WorkerMode.LIVE
            or self.surroundings.live_worker
            or self.live_worker_seen is not None
        )

    @property
    def is_slow(self) -> bool:
        """Whether waiting for one answer at a time wastes the profile's seconds."""
        return self.surroundings.pace_s > SLOW_S

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self.started

    def draw(self, judgement: Judgement) -> str:
        """The picture of a judgement: its witness among the operations around it."""
        from onejob_contract.timeline import timeline  # noqa: PLC0415 (only runs that need it)

        return timeline(
            self.client.history,
            judgement.witness,
            session=judgement.session,
            live_worker=self.has_worker,
        )

    def worker_stopped(self, left: WorkerMode) -> None:
        """From here on only the kit completes jobs; `left` says how sure that is."""
        self.target = replace(self.target, worker=left)
        self.surroundings = replace(self.surroundings, live_worker=False)
        self.live_worker_seen = None
        self._watched_until = time.monotonic_ns()

    def worker_back(self) -> None:
        """The server's own worker is at work again, and may finish what was left meanwhile."""
        self.surroundings = replace(self.surroundings, live_worker=True)
        self._watched_until = 0

    def judge_history(self, sessions: Collection[str] | None = None) -> Judgement:
        """Judge the history of the run so far, the time with a worker and that without.

        While other checks are at work only `sessions` of one's own can be judged: what the others
        have on its way has taken effect, perhaps, and is not in the history yet.
        """
        from onejob_contract.linearizability import judge  # noqa: PLC0415 (only runs that need it)

        budget_s = min(_JUDGING_S, self.profile.seconds)
        watched = self._watched_until
        history = without(self.client.history, self.untracked_sessions, self.client.failed)
        if sessions is not None:
            jobs = {op.job for op in history if op.session in sessions and op.job is not None}
            history = [op for op in history if op.session in sessions or op.job in jobs]
        if self.has_worker or watched:
            # What the server's own worker reported is not known, and may be signed at each read.
            history = [
                replace(op, url=_OF_THE_WORKER)
                if op.outcome is Outcome.COMPLETED and op.url not in self.reported_urls
                else op
                for op in history
            ]
        with_worker = [op for op in history if op.invoked_ns < watched]
        judgement = judge(with_worker, live_worker=True, budget_s=budget_s)
        if judgement.verdict == "linearizable":
            rest = [op for op in history if op.invoked_ns >= watched]
            judgement = judge(rest, live_worker=self.has_worker, budget_s=budget_s)
        return judgement

    def reports(self, *urls: str) -> None:
        """Note that this run reports these URLs as results; those of the worker stay its own."""
        self.reported_urls.update(url for url in urls if url not in self.worker_urls)

    def is_foreign(self, url: str) -> bool:
        """Whether a result URL is not one that this run reported, and so the server's own."""
        if url in self.reported_urls:
            return False
        self.worker_urls.add(url)
        return True

    def complete_unfinished(self, seconds: float) -> None:
        """Complete the jobs of this run that are still active, as many as there is time for."""
        if not self.surroundings.update_status or self.gone:
            return
        deadline = time.monotonic() + seconds
        silent = threading.Event()
        self.reports(CLEANED_UP)

        def clean(job: str) -> None:
            if time.monotonic() < deadline and not silent.is_set():
                step = self.client.update(job, CLEANED_UP, "cleaning-up")
                self.unfinished.pop(job, None)
                if step.exchange.response is None:
                    silent.set()

        number = _CLEANERS_OF_A_SLOW_SERVER if self.is_slow else _CLEANERS
        with ThreadPoolExecutor(number) as cleaners:
            list(cleaners.map(clean, list(self.unfinished)))

    def report(self, violation: Violation) -> bool:
        """Record a violation; seen again it only counts, and the one that was replayed is kept.

        Returns whether it is a new one, or the first that can be replayed.
        """
        with self._guard:
            for index, known in enumerate(self.violations):
                if (
                    known.requirement == violation.requirement
                    and known.expected == violation.expected
                ):
                    violation.times += known.times
                    can_be_shown = violation.replayable and violation.replayed is None
                    if can_be_shown and not known.replayable and known.replayed is None:
                        self.violations[index] = violation
                        return True
                    if known.replayed is not None or violation.replayed is None:
                        known.times, violation = violation.times, known
                    self.violations[index] = violation
                    return False
            self.violations.append(violation)
            return True

    def first_grant(self, job: str, grant: Operation, request: str) -> tuple[Operation, str] | None:
        """Remember a grant of a jobId, with its request id; an earlier one, if there was."""
        with self._guard:
            if job in self.job_ids:
                return self.job_ids[job]
            self.job_ids[job] = (grant, request)
            return None
