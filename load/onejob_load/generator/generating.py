"""The generating part of a process: its run, and the pump that hands on what was recorded."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Final

import gevent
from locust.env import Environment

from onejob_contract.target import Target
from onejob_load.batch import Batch, Health
from onejob_load.generator.identity import clock_name
from onejob_load.generator.recorder import Recorder
from onejob_load.generator.requests import Requests
from onejob_load.generator.run import Run
from onejob_load.generator.users import ContentionUser
from onejob_load.settings import Settings

_BATCH_EVERY_S: Final = 0.5
_BEAT_S: Final = 0.05


class Generating:
    """Runs while users of this process do."""

    def __init__(self, environment: Environment, deliver: Callable[[Batch], None]) -> None:
        self._environment = environment
        self._deliver = deliver
        self._run: Run | None = None
        self._pump: gevent.Greenlet[[], None] | None = None
        self._cpu = _Cpu()
        self._lags_ns: list[int] = []

    def begin(self, settings: Settings, target: Target, token: str) -> None:
        """Get ready for users; called before the first starts."""
        clock = clock_name()
        generator = f"{clock}.{os.getpid()}"
        requests = Requests(
            target.origin,
            target.headers,
            token=token,
            image_kib=settings.image_kib,
            seed=settings.seed,
        )
        recorder = Recorder(clock, generator)
        self._run = Run(settings, target, token, clock, generator, requests, recorder)
        ContentionUser.run_ = self._run
        # A first word before the first request: without it nobody would know what is missing, if
        # this process were killed.
        self._deliver(recorder.drain(Health(time.monotonic_ns(), 0, 0.0, 0)))
        self._cpu = _Cpu()
        self._pump = gevent.spawn(self._hand_on)

    def end(self) -> None:
        """Hand on the rest; called after the last user stopped."""
        if self._run is not None and self._pump is not None:
            self._pump.kill()
            self._deliver(self._run.recorder.drain(self._health(), last=True))
        self._run = self._pump = None

    def _hand_on(self) -> None:
        while self._run is not None:
            until = time.monotonic() + _BATCH_EVERY_S
            while time.monotonic() < until:
                due = time.monotonic_ns() + int(_BEAT_S * 1e9)
                gevent.sleep(_BEAT_S)
                self._lags_ns.append(time.monotonic_ns() - due)
            self._deliver(self._run.recorder.drain(self._health()))

    def _health(self) -> Health:
        lag = int(statistics.median(self._lags_ns)) if self._lags_ns else 0
        self._lags_ns = []
        runner = self._environment.runner
        users = runner.user_count if runner else 0
        return Health(time.monotonic_ns(), lag, self._cpu.percent(), users)


class _Cpu:
    """The share of one core that this process used since it was asked last."""

    def __init__(self) -> None:
        self._wall, self._used = time.monotonic(), time.process_time()

    def percent(self) -> float:
        wall, used = time.monotonic(), time.process_time()
        passed = wall - self._wall
        percent = 100 * (used - self._used) / passed if passed > 0 else 0.0
        self._wall, self._used = wall, used
        return percent
