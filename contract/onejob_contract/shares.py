"""How the time of a run is shared among its checks.

Where a slow server leaves no time for all of them, every requirement has one before any has its
second.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from onejob_contract.checks import Cost, Proof
from onejob_contract.run import STRETCH, Run

NO_TIME: Final = "there was no time for it; a longer --profile has more"
_VOLUMES: Final = (Cost.VOLUME, Cost.EXPLORES)
_SMALLEST_SLICE_S: Final = 0.25
_BRIEF_LOOK_S: Final = 0.3
_WORTH_A_BRIEF_LOOK: Final = 4
_KEPT_FOR_THE_END_S: Final = 0.4
_WORTH_WAITING: Final = 2.0
_WORTH_A_VERDICT_S: Final = 85.0
"""So much longer a slow server is asked, until it has answered for each requirement."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long one check may go on, in time.monotonic seconds: with more rounds, and at all.

    The rounds of the quick profile are worth waiting for, on a busy machine until `enough_by`.
    A request left unanswered after `at_most` ends the run, at once where nothing else is answered
    either, else two timeouts later: its server has had its time. What still goes on at `ends` is
    given up. A brief look has the rounds of the quick profile, whatever the profile.
    """

    until: float
    at_most: float
    ends: float = math.inf
    brief: bool = False
    enough_by: float = 0.0


class Shares:
    """Gives each check of a run its budget; `lanes` checks run side by side.

    `firsts` are those that every requirement needs of a slow server: its first. Safe to use from
    threads.
    """

    def __init__(self, run: Run, lanes: int) -> None:
        self.firsts: frozenset[str] = frozenset()
        self._run = run
        self._lanes = lanes
        self._volumes_left = 0
        self._firsts_left = 0
        self._guard = threading.Lock()

    def divide(self, checks: Mapping[str, Proof]) -> None:
        """Prepare for the checks that run in lanes, given in their order."""
        self._volumes_left = sum(proof.cost in _VOLUMES for proof in checks.values())
        if self._run.is_slow:
            self.firsts = _first_of_each_requirement(checks)
            self._firsts_left = len(self.firsts)

    def has_time_for_brief_looks(self) -> bool:
        """Whether every check of many rounds can have a brief look before its whole share."""
        run = self._run
        turns = math.ceil(self._volumes_left / self._lanes)
        return run.profile.seconds - run.elapsed > _WORTH_A_BRIEF_LOOK * _BRIEF_LOOK_S * turns

    def is_needed(self, name: str, proof: Proof) -> bool:
        """Whether the verdict waits for this check, though the run has had its time."""
        in_lanes = proof.cost not in (Cost.WAITS, Cost.LAST)
        return not (self._run.is_slow and in_lanes) or name in self.firsts

    def budget(self, name: str, proof: Proof, *, brief: bool) -> Budget:
        """A fair share of the time that is left; a slow server gets more of it in all."""
        run, now, cost = self._run, time.monotonic(), proof.cost
        at_most = run.started + run.profile.seconds * STRETCH
        ends = at_most + run.profile.seconds * STRETCH
        if cost is Cost.LAST:
            return Budget(math.inf, math.inf)
        if cost is Cost.WORKER:
            at_most = now + run.profile.seconds * STRETCH
            return Budget(math.inf, at_most, at_most + run.profile.seconds * STRETCH)
        if run.is_slow and self.is_needed(name, proof):
            ends = max(ends, at_most + _WORTH_A_VERDICT_S)
        if name in self.firsts and run.client.places.in_turn:
            with self._guard:
                waiting_turns = math.ceil(self._firsts_left / self._lanes)
                self._firsts_left -= 1
            share = (at_most - now) / max(1, waiting_turns)
            return Budget(now + max(_SMALLEST_SLICE_S, share), at_most, ends)
        if cost not in _VOLUMES:
            return Budget(min(at_most, now + run.profile.seconds), at_most, ends)
        if brief:
            return Budget(now + _BRIEF_LOOK_S, at_most, ends, brief=True)
        with self._guard:
            waiting_turns = math.ceil(self._volumes_left / self._lanes)
            self._volumes_left -= 1
        left = run.started + run.profile.seconds - _KEPT_FOR_THE_END_S - now
        share = min(1.0, proof.share / max(1, waiting_turns)) * left
        enough_by = 0.0 if run.is_slow else run.started + run.profile.seconds * _WORTH_WAITING
        return Budget(now + max(_SMALLEST_SLICE_S, share), at_most, ends, enough_by=enough_by)


def _first_of_each_requirement(checks: Mapping[str, Proof]) -> frozenset[str]:
    """The names of the checks that are the first, in this order, to prove some requirement."""
    proven: set[str] = set()
    firsts = set()
    for name, proof in checks.items():
        if not proven.issuperset(proof.requirements):
            proven.update(proof.requirements)
            firsts.add(name)
    return frozenset(firsts)
