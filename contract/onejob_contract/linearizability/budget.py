"""The time a judgement may take, so that a hard history ends as undecided and never hangs."""

import time
from dataclasses import dataclass, field


class BudgetExceeded(Exception):
    """The search could not finish within its budget."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds of wall-clock time from now on."""

    seconds: float
    _ends: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", time.perf_counter() + self.seconds)

    def spend(self) -> None:
        """Raise `BudgetExceeded` once the time is over; searches call it at every branch."""
        if time.perf_counter() > self._ends:
            raise BudgetExceeded
