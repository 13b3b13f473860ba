"""One combination of lock, store and dispatch under a seeded series of faults."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from clients import Client, Crowd, Record
from faults import Lane, lanes
from proxy import Proxy
from service import Service
from stage import Combination, Stage

from onejob_contract.linearizability import Judgement, Verdict, judge

_FAULTS_PER_ROUND = 10
_SESSIONS = 6
_CLIENTS = 6
_WORKERS = 2
_LAST_CALL_S = 30.0
# A worker that is told to stop while it still starts has nothing to finish.
_GRACEFUL = {0, -signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a campaign showed. Times are in seconds.

    `free_after_s` is, for each round of faults, how long after its end the last session was free.
    """

    combination: Combination
    lease: float
    faults: Counter[str]
    granted: int
    unknown: int
    unfinished: int
    free_after_s: list[float]
    judgement: Judgement
    record: Record
    exit_codes: list[int]
    duration_s: float

    @property
    def problems(self) -> list[str]:
        """What was found: nothing, if no job is stuck, none is doubled, none is lost."""
        slowest = max(self.free_after_s)
        bad_codes = set(self.exit_codes) - _GRACEFUL
        found = {
            f"{self.unfinished} accepted jobs were not completed": self.unfinished > 0,
            "no job was granted at all": self.granted == 0,
            f"a session was free {slowest:.1f} s after the last fault": slowest > self.lease,
            f"history: {self.judgement.verdict} {self.judgement.explanation}": (
                self.judgement.verdict is not Verdict.LINEARIZABLE
            ),
            f"processes ended with {bad_codes}": bool(bad_codes),
        }
        return [text for text, is_found in found.items() if is_found]


def campaign(
    combination: Combination, faults: int, seed: int, lease: float, folder: Path
) -> Findings:
    """Run the combination through `faults` faults; raises MissingProgramError, OSError.

    Faults come in rounds. After each, everything is running again, and every session must be
    free within a lease.
    """
    began = time.monotonic()
    proxies: dict[str, Proxy] = {}
    with ExitStack() as stack:

        def through(service: Service) -> int:
            proxy = proxies[service.name] = Proxy(service.port)
            stack.callback(proxy.stop)
            proxy.start()
            return proxy.port

        stage = stack.enter_context(
            Stage(combination, folder, lease=lease, workers=_WORKERS, through=through)
        )
        sessions = [f"session {number}" for number in range(_SESSIONS)]
        crowd = Crowd(stage.cluster.port, sessions, _CLIENTS, seed)
        stack.callback(crowd.stop)
        crowd.start()
        tracks = lanes(stage.cluster, stage.services, proxies, f"{combination.name} {seed}", lease)
        struck: Counter[str] = Counter()
        free_after = []
        while struck.total() < faults:
            crowd.work()
            count = min(_FAULTS_PER_ROUND, faults - struck.total())
            struck += _round(tracks, count)
            stage.cluster.wait_until_ready()
            ended = time.monotonic()
            crowd.rest()
            free_after.append(_seconds_until_free(stage, sessions, crowd.record, ended))
        crowd.stop()
        unfinished = _unfinished(stage, crowd.record)
        exit_codes = stage.cluster.stop()
    history = crowd.record.history
    return Findings(
        combination,
        lease,
        struck,
        granted=len(crowd.record.granted()),
        unknown=sum(operation.returned_ns is None for operation in history),
        unfinished=unfinished,
        free_after_s=free_after,
        judgement=judge(history, live_worker=True),
        record=crowd.record,
        exit_codes=exit_codes,
        duration_s=time.monotonic() - began,
    )


def _round(tracks: list[Lane], count: int) -> Counter[str]:
    """Let `count` faults happen, in all lanes at the same time."""
    struck: Counter[str] = Counter()
    guard = threading.Lock()

    def run(lane: Lane, share: int) -> None:
        for _ in range(share):
            time.sleep(lane.random.uniform(0, 0.3))
            fault = lane.draw()
            fault.strike()
            with guard:
                struck[fault.name] += 1

    shares = [len(range(number, count, len(tracks))) for number in range(len(tracks))]
    with ThreadPoolExecutor(len(tracks)) as pool:
        for done in [pool.submit(run, *pair) for pair in zip(tracks, shares, strict=True)]:
            done.result()
    return struck


def _seconds_until_free(stage: Stage, sessions: list[str], record: Record, ended: float) -> float:
    """Publish into every session until it is granted, and return how long the last one took."""

    def publish(session: str) -> float:
        client = Client(f"prober of {session}", stage.cluster.port, record)
        while client.publish(session) is None and time.monotonic() < ended + _LAST_CALL_S:
            time.sleep(0.02)
        return time.monotonic() - ended

    with ThreadPoolExecutor(len(sessions)) as probers:
        return max(probers.map(publish, sessions))


def _unfinished(stage: Stage, record: Record) -> int:
    """Wait until every accepted job is completed; return how many are not."""
    client = Client("afterwards", stage.cluster.port, record)
    deadline = time.monotonic() + _LAST_CALL_S
    jobs = record.granted()
    while jobs and time.monotonic() < deadline:
        jobs = {job for job in jobs if client.status(job) is None}
    return len(jobs)
