"""One combination of lock, store and dispatch under a seeded series of faults."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from backends import Backend, OwnPostgres, OwnRabbit, OwnRedis
from clients import Client, Crowd, Record
from cluster import Cluster, Member, pause

from onejob_contract.linearizability import Judgement, Verdict, judge

LEASE_S = 2.0
# What a machine under load adds to a lease: polling, restarts of processes, reconnects.
ALLOWANCE_S = 20.0
_SESSIONS = 6
# A worker that is told to stop while it still starts has nothing to finish.
_GRACEFUL = {0, -signal.SIGTERM}
_CLIENTS = 6


@dataclass(frozen=True, slots=True)
class Combination:
    """Which lock, store and dispatch work together, and with how many server processes."""

    lock: str
    store: str
    dispatch: str
    processes: int

    @property
    def name(self) -> str:
        """Short and unique, as in `redis+postgresql+rabbitmq`."""
        return f"{self.lock}+{self.store}+{self.dispatch}"


COMBINATIONS = (
    Combination("memory", "sqlite", "local", processes=1),
    Combination("sql", "sqlite", "local", processes=2),
    Combination("redis", "sqlite", "local", processes=2),
    Combination("sql", "postgresql", "local", processes=2),
    Combination("redis", "postgresql", "redis", processes=2),
    Combination("sql", "postgresql", "rabbitmq", processes=2),
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a campaign showed. Times are in seconds after the last fault."""

    combination: Combination
    faults: Counter[str]
    granted: int
    unknown: int
    unfinished: int
    all_done_s: float
    all_free_s: float
    judgement: Judgement
    record: Record
    exit_codes: list[int]

    @property
    def passed(self) -> bool:
        """Never stuck, never two, never lost."""
        return (
            self.unfinished == 0
            and self.granted > 0
            and self.judgement.verdict is Verdict.LINEARIZABLE
            and max(self.all_done_s, self.all_free_s) <= LEASE_S + ALLOWANCE_S
            and set(self.exit_codes) <= _GRACEFUL
        )


def campaign(combination: Combination, faults: int, seed: int, folder: Path) -> Findings:
    """Run the combination through `faults` faults; raises MissingProgramError."""
    random = Random(f"{combination.name} {seed}")
    with ExitStack() as stack:
        backends = _backends(combination, folder)
        for backend in backends.values():
            stack.callback(backend.kill)
            backend.start()
        settings = _settings(combination, backends, folder)
        cluster = Cluster(settings, combination.processes, workers=2, folder=folder)
        stack.callback(cluster.kill)
        cluster.start()
        sessions = [f"session {number}" for number in range(_SESSIONS)]
        crowd = Crowd(cluster.port, sessions, _CLIENTS, seed)
        crowd.start()
        try:
            struck = _strike(faults, random, cluster, list(backends.values()))
        finally:
            last_fault = time.monotonic()
            crowd.stop()
        judge_client = Client("afterwards", cluster.port, crowd.record)
        granted = crowd.record.granted()
        unfinished = _wait_until_done(judge_client, granted, cluster)
        all_done = time.monotonic() - last_fault
        _wait_until_free(judge_client, sessions)
        all_free = time.monotonic() - last_fault
        unfinished |= _wait_until_done(judge_client, crowd.record.granted() - granted, cluster)
        exit_codes = cluster.stop()
    history = crowd.record.history
    return Findings(
        combination,
        struck,
        granted=len(crowd.record.granted()),
        unknown=sum(operation.returned_ns is None for operation in history),
        unfinished=len(unfinished),
        all_done_s=all_done,
        all_free_s=all_free,
        judgement=judge(history, live_worker=True),
        record=crowd.record,
        exit_codes=exit_codes,
    )


def _backends(combination: Combination, folder: Path) -> dict[str, Backend]:
    needed = {combination.lock, combination.store, combination.dispatch}
    kinds = {"redis": OwnRedis, "postgresql": OwnPostgres, "rabbitmq": OwnRabbit}
    return {name: kind(folder) for name, kind in kinds.items() if name in needed}


def _settings(
    combination: Combination, backends: dict[str, Backend], folder: Path
) -> dict[str, str]:
    urls = {name: backend.url for name, backend in backends.items()}
    urls |= {name: f"{name}:" for name in ("memory", "sql", "local")}
    urls["sqlite"] = f"sqlite:///{folder / 'jobs.sqlite3'}"
    uploads = folder / "uploads"
    uploads.mkdir()
    return {
        "ONEJOB_LOCK": urls[combination.lock],
        "ONEJOB_DATABASE": urls[combination.store],
        "ONEJOB_DISPATCH": urls[combination.dispatch],
        "ONEJOB_LEASE": str(LEASE_S),
        "ONEJOB_UPLOAD_ROOT": str(uploads),
        "ONEJOB_RESULT_ROOT": str(folder / "results"),
        "ONEJOB_MAX_ATTEMPTS": "50",
    }


def _strike(faults: int, random: Random, cluster: Cluster, backends: list[Backend]) -> Counter[str]:
    """Let faults happen one after the other, with clients at work before, during and after."""

    def kill_server_process() -> None:
        with suppress(ProcessLookupError):
            os.kill(cluster.server.some_child(random), signal.SIGKILL)

    def stop_server_process() -> None:
        pause([cluster.server.some_child(random)], random.uniform(0.1, 1.5) * LEASE_S)

    def some_worker() -> Member:
        return random.choice(cluster.workers)

    def kill_worker() -> None:
        worker = some_worker()
        worker.kill()
        worker.start()

    def stop_worker() -> None:
        worker = some_worker()
        if worker.process is not None:
            pause([worker.process.pid], random.uniform(0.1, 2) * LEASE_S)

    def retire_worker() -> None:
        worker = some_worker()
        worker.stop()
        worker.start()

    def reload_server() -> None:
        if cluster.server.process is not None:
            cluster.server.process.send_signal(signal.SIGHUP)

    def crash(backend: Backend) -> Callable[[], None]:
        def crash_backend() -> None:
            backend.kill()
            time.sleep(random.uniform(0, LEASE_S / 2))
            backend.start()

        crash_backend.__name__ = f"crash_{backend.name}"
        return crash_backend

    often: list[Callable[[], None]] = [kill_worker, kill_server_process, stop_server_process]
    seldom = [stop_worker, retire_worker, reload_server, cluster.restart_server]
    choices = [*often * 2, *seldom, *map(crash, backends)]
    struck: Counter[str] = Counter()
    for _ in range(faults):
        fault = random.choice(choices)
        fault()
        struck[fault.__name__.replace("_", " ")] += 1
        time.sleep(random.uniform(0.05, 0.4))
        cluster.revive()
    return struck


def _wait_until_done(client: Client, jobs: set[str], cluster: Cluster) -> set[str]:
    """Return the jobs that are not completed in time."""
    deadline = time.monotonic() + LEASE_S + ALLOWANCE_S
    while jobs and time.monotonic() < deadline:
        jobs = {job for job in jobs if client.status(job) is None}
        cluster.revive()
        time.sleep(0.05)
    return jobs


def _wait_until_free(client: Client, sessions: list[str]) -> None:
    """Publish once into every session."""
    deadline = time.monotonic() + LEASE_S + ALLOWANCE_S
    for session in sessions:
        while client.publish(session) is None and time.monotonic() < deadline:
            time.sleep(0.05)
