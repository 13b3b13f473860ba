"""How the number of users changes over a run: ramp, spike, stairs, soak."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_STAIRS: Final = 5


def ramp(progress: float) -> float:
    """Go from nobody to everybody, evenly."""
    return progress


def spike(progress: float) -> float:
    """Give a tenth of the users, everybody in the middle fifth, a tenth again."""
    return 1.0 if 0.4 <= progress < 0.6 else 0.1


def stairs(progress: float) -> float:
    """Five equal steps up."""
    return math.floor(progress * _STAIRS + 1) / _STAIRS


def soak(progress: float) -> float:
    """Up within a tenth of the time, and then long the same."""
    return min(1.0, progress * 10)


SHAPES: Final[Mapping[str, Callable[[float], float]]] = {
    "ramp": ramp,
    "spike": spike,
    "stairs": stairs,
    "soak": soak,
}
"""The share of users at a share of the run time, both from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A shape with its full number of users, its run time (s) and its spawn rate (users/s)."""

    shape: Callable[[float], float]
    users: int
    seconds: float
    spawn_rate: float

    def at(self, seconds: float) -> tuple[int, float] | None:
        """Users and spawn rate at a time of the run; None when it is over."""
        if seconds >= self.seconds:
            return None
        users = max(1, round(self.shape(seconds / self.seconds) * self.users))
        return users, self.spawn_rate
