"""What chaos does to server, workers and backends: one seeded lane of faults for each of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from cluster import Cluster, Member
from proxy import Proxy
from service import Service, wait

LONGEST = 0.75
"""Longest outage, in leases: longer ones show nothing more, and cost time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks and mends itself when called; `weight` says how often it is drawn."""

    name: str
    strike: Callable[[], None]
    weight: int = 2


@dataclass(frozen=True, slots=True)
class Lane:
    """Faults of one victim, which happen one after the other, beside those of other lanes."""

    faults: list[Fault]
    random: Random

    def draw(self) -> Fault:
        """Choose the next fault."""
        weights = [fault.weight for fault in self.faults]
        return self.random.choices(self.faults, weights)[0]


def lanes(
    cluster: Cluster,
    services: dict[str, Service],
    proxies: dict[str, Proxy],
    seed: str,
    lease: float,
) -> list[Lane]:
    """Return a lane for the server, one for the workers, one for each backend."""
    server, workers = Random(f"{seed} server"), Random(f"{seed} workers")
    found = [
        Lane(server_faults(cluster, server, lease), server),
        Lane(worker_faults(cluster, workers, lease), workers),
    ]
    for role, service in services.items():
        random = Random(f"{seed} {role}")
        found.append(Lane(backend_faults(service, proxies[role], random, lease), random))
    return found


def server_faults(cluster: Cluster, random: Random, lease: float) -> list[Fault]:
    """Return what may happen to server processes."""

    def kill_process() -> None:
        with suppress(ProcessLookupError):
            os.kill(cluster.server.some_child(random), signal.SIGKILL)

    def stop_process() -> None:
        _pause(cluster.server.some_child(random), random.uniform(0.02, LONGEST) * lease)

    def reload() -> None:
        if cluster.server.process is not None:
            cluster.server.process.send_signal(signal.SIGHUP)

    def restart() -> None:
        cluster.restart_server()
        wait(cluster.server.is_ready, f"the server is ready, see {cluster.server.log}")

    return [
        Fault("server process killed", kill_process, weight=4),
        Fault("server process stopped", stop_process, weight=4),
        Fault("server reloaded", reload),
        Fault("server killed", restart, weight=1),
    ]


def worker_faults(cluster: Cluster, random: Random, lease: float) -> list[Fault]:
    """Return what may happen to workers."""

    def some_worker() -> Member:
        return random.choice(cluster.workers)

    def kill() -> None:
        worker = some_worker()
        worker.kill()
        worker.start()

    def stop() -> None:
        worker = some_worker()
        if worker.process is not None:
            _pause(worker.process.pid, random.uniform(0.02, LONGEST) * lease)

    def retire() -> None:
        worker = some_worker()
        worker.stop()
        worker.start()

    return [
        Fault("worker killed", kill, weight=4),
        Fault("worker stopped", stop),
        Fault("worker retired", retire, weight=1),
    ]


def backend_faults(service: Service, proxy: Proxy, random: Random, lease: float) -> list[Fault]:
    """Return what may happen to a backend and to the network before it."""

    def crash() -> None:
        service.crash()
        time.sleep(random.uniform(0, LONGEST / 2) * lease)
        service.start()

    def pause() -> None:
        service.pause()
        time.sleep(random.uniform(0.02, LONGEST) * lease)
        service.resume()

    def swallow() -> None:
        proxy.swallow()
        time.sleep(random.uniform(0.02, LONGEST) * lease)
        proxy.forward()

    return [
        Fault(f"{service.name} crashed", crash, weight=1),
        Fault(f"{service.name} paused", pause),
        Fault(f"{service.name} cut off", proxy.cut, weight=4),
        Fault(f"{service.name} in a black hole", swallow),
    ]


def _pause(pid: int, seconds: float) -> None:
    """Stop a process for a while, as a machine that swaps or migrates does."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
