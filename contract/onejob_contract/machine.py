"""Walks that Hypothesis chooses.

It leaves out some kinds of moves in each walk, so that long runs of one kind come up. Nothing is
raised through it, since it would then repeat the walk by itself; `replay` does that better.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from onejob_contract.findings import Unobservable
from onejob_contract.iut import Iut
from onejob_contract.turns import choosing, sending
from onejob_contract.walk import FIELDS, MEMBERS, PAIRS, STEMS, Walk
from onejob_fixtures.names import ConfusablePair, SessionStem

_BATCH = 10

sessions = st.sampled_from((0, 0, 0, 0, 1, 2, 3))
ages = st.sampled_from((0, 0, 1, 2))
"""One session and its latest job come up most, since deep sequences need many moves on one."""
orders_of_fields = st.permutations(range(FIELDS))
too_few_fields = st.sets(st.integers(0, FIELDS - 1), min_size=1, max_size=FIELDS - 1)
too_few_members = st.sets(st.sampled_from(MEMBERS), max_size=len(MEMBERS) - 1)


class Walks:
    """Walks on one server, one for each round, each of so many moves.

    `walked` came to their end; the server's own worker cut the others short, `cut` says how.
    """

    def __init__(self, iut: Iut, rounds: Iterator[int], moves: int) -> None:
        self.iut = iut
        self.walked = 0
        self.cut: Unobservable | None = None
        self.failure: Exception | None = None
        self._rounds = rounds
        self._moves = moves
        self._more = True

    def explore(self) -> None:
        """Walk until the rounds are over. Raises what the first walk raised that failed."""
        settled = settings(
            max_examples=_BATCH,
            stateful_step_count=self._moves,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        while self._more:
            machine = seed(self.iut.random.getrandbits(64))(lambda: Machine(self))
            with choosing():
                run_state_machine_as_test(machine, settings=settled)  # type: ignore[arg-type]
            if self.failure is not None:
                raise self.failure

    def begins(self) -> bool:
        """Whether another walk may begin."""
        self._more = self._more and next(self._rounds, None) is not None
        return self._more

    def fails(self, failure: Exception) -> None:
        """A walk failed; nothing more is walked."""
        self.failure = failure
        self._more = False


class Machine(RuleBasedStateMachine):
    """One walk. Once it is over, what Hypothesis still chooses is not done."""

    def __init__(self, walks: Walks) -> None:
        super().__init__()
        self._walks = walks
        self._walk = Walk(walks.iut)
        self._going = walks.begins()
        self._can_report = walks.iut.run.surroundings.update_status

    @initialize(
        one=st.sampled_from(STEMS), other=st.sampled_from(STEMS), two=st.sampled_from(PAIRS)
    )
    def open(self, one: SessionStem, other: SessionStem, two: ConfusablePair) -> None:
        """Four sessions: any two, and two that careless servers confuse."""
        self._move(lambda: self._walk.open(one))
        self._move(lambda: self._walk.open(other))
        self._move(lambda: self._walk.open(two.first, two.second))

    @rule(session=sessions, order=orders_of_fields)
    def publish(self, session: int, order: Sequence[int]) -> None:
        """A complete publish, its fields in any order."""
        self._move(lambda: self._walk.publish(session, order))

    @rule(session=sessions, kept=too_few_fields)
    def publish_incomplete(self, session: int, kept: Collection[int]) -> None:
        """A publish that lacks at least one field."""
        self._move(lambda: self._walk.publish_incomplete(session, kept))

    @rule(session=sessions, age=ages)
    def read(self, session: int, age: int) -> None:
        """The status of a job."""
        self._move(lambda: self._walk.read(session, age))

    @precondition(lambda self: self._can_report)
    @rule(session=sessions, age=ages, same_url=st.booleans())
    def report(self, session: int, age: int, same_url: bool) -> None:
        """The worker's report: of an active job the first, of others a late one."""
        self._move(lambda: self._walk.report(session, age, same_url=same_url))

    @precondition(lambda self: self._can_report)
    @rule(session=sessions, age=ages, members=too_few_members)
    def report_incomplete(self, session: int, age: int, members: Collection[str]) -> None:
        """A report that lacks at least one member."""
        self._move(lambda: self._walk.report_incomplete(session, age, members))

    @rule()
    def health(self) -> None:
        """A health check in between."""
        self._move(self._walk.health)

    def teardown(self) -> None:
        """Every job is read and every session tried once more."""
        self._move(self._walk.finish)
        if self._going:
            self._walks.walked += 1

    def _move(self, move: Callable[[], None]) -> None:
        if not self._going:
            return
        try:
            with sending():
                move()
        except Unobservable as cut:
            self._walks.cut = cut
            self._going = False
        except Exception as failure:
            self._walks.fails(failure)
            self._going = False
