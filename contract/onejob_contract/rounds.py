"""How often a check does a thing, and how many at a time: as profile, budget and server allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from onejob_contract.findings import Unobservable
from onejob_contract.naming import Names
from onejob_contract.run import Run
from onejob_contract.shares import NO_TIME, Budget

_WIDTH: Final = 32
_SLOWER: Final = 3
_GRACE_S: Final = 2.0
_SHORT_GRACE_S: Final = 0.1

Thing = TypeVar("Thing")
Begun = TypeVar("Begun")


class Rounds(Names):
    """The repetitions of one check, within its budget; the report says what was left out."""

    def __init__(self, run: Run, check: str, number: int, budget: Budget) -> None:
        """`number` tells the names of this check from those of the others of the run."""
        super().__init__(check, f"{run.client.token}{number:03}", run.seed)
        self.run = run
        self._budget = budget

    def rounds(self, quick: int, standard: int, thorough: int) -> Iterator[int]:
        """Round numbers as the profile wants them, at least one; time may cut it short."""
        profile = "quick" if self._budget.brief else self.run.profile.name
        planned = {"quick": quick, "standard": standard, "thorough": thorough}[profile]
        for number in range(planned):
            until = max(self._budget.until, self._budget.enough_by if number < quick else 0.0)
            if number and (time.monotonic() > until or self.run.stop.is_set()):
                self.run.cut_short[self.check] = f"{number} of {planned} rounds"
                return
            yield number

    def in_a_row(self, number: int) -> range:
        """So many repetitions; a third of them if the server is slow to answer."""
        return range(number // _SLOWER if self.run.is_slow else number)

    def each(self, things: Iterable[Thing], do: Callable[[Thing], object]) -> list[Thing]:
        """Do something to independent things; many at a time if that makes up for slow answers.

        Things left when the time is up are left out, and the report says so. Returns those that
        were not.
        """
        todo = list(things)
        in_turn = self.run.client.places.in_turn
        end = self._budget.until if in_turn else self._budget.at_most
        end = max(end, time.monotonic() + (_SHORT_GRACE_S if in_turn else _GRACE_S))
        width = _WIDTH if self.run.is_slow and not in_turn else 1

        def one(thing: Thing) -> bool:
            if time.monotonic() > end or self.run.stop.is_set():
                return False
            do(thing)
            return True

        if width == 1:
            done = [one(thing) for thing in todo]
        else:
            with ThreadPoolExecutor(width) as pool:
                done = list(pool.map(one, todo))
        if not all(done):
            self.run.cut_short[self.check] = f"{sum(done)} of {len(todo)} cases"
        if todo and not any(done):
            raise Unobservable(NO_TIME)
        return [thing for thing, is_done in zip(todo, done, strict=True) if is_done]

    def in_two_stages(
        self,
        things: Iterable[Thing],
        begin: Callable[[Thing], Begun | None],
        end: Callable[[Begun], object],
    ) -> None:
        """Begin with all independent things, which finds the most; then end what was begun.

        Where a live worker would end it meanwhile, each thing is ended at once.
        """
        begun: list[Begun] = []

        def first(thing: Thing) -> None:
            started = begin(thing)
            if started is None:
                return
            if self.run.has_worker:
                end(started)
            else:
                begun.append(started)

        self.each(things, first)
        self.each(begun, end)
