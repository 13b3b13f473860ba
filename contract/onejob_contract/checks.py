"""How a check says what it proves, when it runs, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

import pytest

MARK: Final = "proves"

Check = TypeVar("Check", bound=Callable[..., None])


class Cost(IntEnum):
    """When a check runs: in this order, so that the cheapest finds come first."""

    WORKER = 0
    """Watches the server's own worker; runs before that is stopped, where it can be stopped."""
    WAITS = 1
    """Starts at the beginning, waits beside the others, and is judged at the end."""
    FAST = 2
    """A handful of requests."""
    LIST = 3
    """A longer list of cases, each of them once."""
    HEAVY = 4
    """A list of cases with large bodies."""
    VOLUME = 5
    """As many rounds as the profile has time for; a long run takes a brief look at each first."""
    EXPLORES = 6
    """Generated requests, as many as there is time for; they find the least in a second."""
    LAST = 7
    """Judges what all the others did."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a check proves. The first requirement is the one its `must_...` words blame.

    `share` is how many times the usual share of the run's time it may take for its rounds.
    """

    requirements: tuple[str, ...]
    cost: Cost
    needs: tuple[str, ...]
    share: float = 1.0

    @property
    def breaks_the_server(self) -> bool:
        """Whether the check injects faults."""
        return any(need.startswith("fault:") for need in self.needs)


def proves(
    *requirements: str, cost: Cost = Cost.FAST, needs: tuple[str, ...] = (), share: float = 1.0
) -> Callable[[Check], Check]:
    """Bind a check to its requirements by id."""

    def bind(check: Check) -> Check:
        mark = getattr(pytest.mark, MARK)(Proof(requirements, cost, needs, share))
        return mark(check)  # type: ignore[no-any-return]

    return bind
