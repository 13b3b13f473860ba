# ruff: noqa: D102, S101 (a test class: the names of its tests are the sentences)
"""The contract of a session lock, for whoever writes a new backend of one.

Subclass `SessionLockContract` in a test module and give it the one fixture it lacks::

    class TestMyLock(SessionLockContract):
        @pytest.fixture
        def open_lock(self, tmp_path):
            return lambda: MyLock(tmp_path / "locks.db")

Every call of ``open_lock`` opens another handle on the same locks, as another process would.
Sessions are named afresh in every test, so the locks may outlive it.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier
from typing import Protocol, TypeVar
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability import Verdict, judge

SHORT_LEASE_S = 0.3
"""A lease that tests wait for."""

LONG_LEASE_S = 600.0
"""A lease that ends after any test."""

PATIENCE_S = 10.0
"""How long an expired lease may still be seen."""


class SessionLock(Protocol):
    """A lock a session, owned by whoever holds its token; nothing ever blocks."""

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        """Take a free session for ``lease`` seconds or for good; False if any token holds it."""

    def extend(self, session: str, token: str, lease: float | None) -> bool:
        """Let the token's own lock last ``lease`` seconds from now, or for good; False if lost."""

    def release(self, session: str, token: str) -> bool:
        """Free the session if the token holds it; else change nothing and say False."""

    def owner(self, session: str) -> str | None:
        """Give the token that holds the session now."""


T = TypeVar("T")
OpenLock = Callable[[], SessionLock]


class SessionLockContract(ABC):
    """What every backend must do; one test for each promise."""

    @pytest.fixture
    @abstractmethod
    def open_lock(self) -> OpenLock:
        """Give a function that opens a handle on the locks under test."""

    @pytest.fixture
    def session(self) -> str:
        """Name a session nobody used before."""
        return f"session {uuid4()}"

    def test_a_free_session_is_acquired_and_owned(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        assert lock.owner(session) is None
        assert lock.acquire(session, "A", None)
        assert lock.owner(session) == "A"

    def test_a_held_session_is_refused(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        assert lock.acquire(session, "A", None)
        assert not lock.acquire(session, "B", None)
        assert not lock.acquire(session, "A", None)
        assert not open_lock().acquire(session, "B", LONG_LEASE_S)
        assert lock.owner(session) == "A"

    def test_two_sessions_are_two_locks(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        names = [session, session.upper(), f"{session} ", f"{session}:A", f"{session}\u00e9\u732b"]
        for number, name in enumerate(names):
            assert lock.acquire(name, f"token {number}", LONG_LEASE_S)
        assert lock.release(names[0], "token 0")
        assert [lock.owner(name) for name in names] == [
            None,
            *(f"token {number}" for number in range(1, len(names))),
        ]

    def test_release_frees_the_session_once(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        lock.acquire(session, "A", LONG_LEASE_S)
        assert lock.release(session, "A")
        assert lock.owner(session) is None
        assert not lock.release(session, "A")

    def test_only_the_token_releases(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        lock.acquire(session, "A", None)
        assert not lock.release(session, "B")
        assert lock.owner(session) == "A"

    def test_a_stale_release_leaves_the_newer_lock_alone(
        self, open_lock: OpenLock, session: str
    ) -> None:
        lock = open_lock()
        lock.acquire(session, "A", None)
        lock.release(session, "A")
        lock.acquire(session, "B", None)
        assert not lock.release(session, "A")
        assert not lock.extend(session, "A", LONG_LEASE_S)
        assert lock.owner(session) == "B"
        assert lock.release(session, "B")

    def test_a_lease_expires(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        assert lock.acquire(session, "A", SHORT_LEASE_S)
        _wait_until_free(lock, session)
        assert not lock.extend(session, "A", LONG_LEASE_S)
        assert lock.acquire(session, "B", None)
        assert not lock.release(session, "A")
        assert lock.owner(session) == "B"

    def test_a_lock_without_a_lease_never_expires(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        lock.acquire(session, "A", None)
        lock.acquire(f"{session} leased", "B", SHORT_LEASE_S)
        _wait_until_free(lock, f"{session} leased")
        assert lock.owner(session) == "A"
        assert not lock.acquire(session, "C", None)

    def test_a_lease_can_be_extended_and_made_permanent(
        self, open_lock: OpenLock, session: str
    ) -> None:
        lock = open_lock()
        leases = {"longer": LONG_LEASE_S, "for good": None}
        for name, lease in leases.items():
            assert lock.acquire(session + name, "A", SHORT_LEASE_S)
            assert lock.extend(session + name, "A", lease)
        lock.acquire(session, "B", SHORT_LEASE_S)
        _wait_until_free(lock, session)
        assert [lock.owner(session + name) for name in leases] == ["A", "A"]

    def test_only_the_token_extends(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        assert not lock.extend(session, "A", LONG_LEASE_S)
        assert lock.owner(session) is None
        lock.acquire(session, "A", SHORT_LEASE_S)
        assert not lock.extend(session, "B", LONG_LEASE_S)
        _wait_until_free(lock, session)

    def test_a_leased_lock_outlives_its_owners_crash_by_the_lease_only(
        self, open_lock: OpenLock, session: str
    ) -> None:
        crashed = open_lock()
        assert crashed.acquire(session, "A", SHORT_LEASE_S)
        del crashed
        survivor = open_lock()
        _wait_until_free(survivor, session)
        assert survivor.acquire(session, "B", None)

    def test_a_permanent_lock_outlives_its_owners_crash(
        self, open_lock: OpenLock, session: str
    ) -> None:
        crashed = open_lock()
        assert crashed.acquire(session, "A", None)
        del crashed
        survivor = open_lock()
        assert not survivor.acquire(session, "B", None)
        assert survivor.release(session, "A")

    def test_of_many_at_once_one_acquires(self, open_lock: OpenLock, session: str) -> None:
        for round_ in range(10):
            name = f"{session} {round_}"

            def acquire(number: int, name: str = name) -> bool:
                return open_lock().acquire(name, f"token {number}", None)

            assert sorted(_together(8, acquire)) == [False] * 7 + [True]

    def test_a_concurrent_history_is_linearizable(self, open_lock: OpenLock, session: str) -> None:
        histories = _together(4, lambda number: _use(open_lock(), session, number))
        judgement = judge([operation for history in histories for operation in history])
        assert judgement.verdict is Verdict.LINEARIZABLE, judgement.explanation

    def test_any_sequence_follows_the_model(self, open_lock: OpenLock, session: str) -> None:
        lock = open_lock()
        runs = iter(range(1_000_000))

        class FreshSessions(SessionLockMachine):
            def __init__(self) -> None:
                super().__init__(lock, f"{session} {next(runs)}")

        run_state_machine_as_test(
            FreshSessions,
            settings=settings(
                max_examples=20, stateful_step_count=20, deadline=None, database=None
            ),
        )


_SESSIONS = st.sampled_from(("one", "two"))
_TOKENS = st.sampled_from(("A", "B", "C"))
_LEASES = st.sampled_from((None, LONG_LEASE_S))


class SessionLockMachine(RuleBasedStateMachine):
    """Any sequence of calls on one handle, beside a dictionary that says what is right."""

    def __init__(self, lock: SessionLock, prefix: str) -> None:
        super().__init__()
        self._lock = lock
        self._prefix = prefix
        self._owners: dict[str, str] = {}

    @rule(name=_SESSIONS, token=_TOKENS, lease=_LEASES)
    def acquire(self, name: str, token: str, lease: float | None) -> None:
        """Acquire with any token, the one that holds already included."""
        acquired = self._lock.acquire(self._prefix + name, token, lease)
        assert acquired == (name not in self._owners)
        self._owners.setdefault(name, token)

    @rule(name=_SESSIONS, token=_TOKENS, lease=_LEASES)
    def extend(self, name: str, token: str, lease: float | None) -> None:
        """Extend with any token."""
        extended = self._lock.extend(self._prefix + name, token, lease)
        assert extended == (self._owners.get(name) == token)

    @rule(name=_SESSIONS, token=_TOKENS)
    def release(self, name: str, token: str) -> None:
        """Release with any token."""
        released = self._lock.release(self._prefix + name, token)
        assert released == (self._owners.get(name) == token)
        if released:
            del self._owners[name]

    @invariant()
    def owners_agree(self) -> None:
        """Compare every session's owner."""
        for name in ("one", "two"):
            assert self._lock.owner(self._prefix + name) == self._owners.get(name)


def _wait_until_free(lock: SessionLock, session: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (owner := lock.owner(session)) is not None:
        assert time.monotonic() < deadline, f"{owner} still owns {session!r}: its lease never ends"
        time.sleep(SHORT_LEASE_S / 20)


def _together(count: int, act: Callable[[int], T]) -> list[T]:
    """Let many threads act at one moment and give what each returned."""
    barrier = Barrier(count)

    def run(number: int) -> T:
        barrier.wait(PATIENCE_S)
        return act(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def _use(lock: SessionLock, session: str, number: int) -> list[Operation]:
    """Acquire and release for a while, as publishes and updates of a history would.

    An acquired token is a granted job, a release its update: whatever the judge says of sessions
    and jobs it then says of locks and tokens.
    """
    random = Random(number)
    history = []
    for turn in range(40):
        token = f"{session} {number} {turn}"
        invoked = time.perf_counter_ns()
        acquired = lock.acquire(session, token, random.choice((None, LONG_LEASE_S)))
        returned = time.perf_counter_ns()
        history.append(
            Operation(
                session=session,
                client=f"thread {number}",
                operation=OperationKind.PUBLISH,
                job=token if acquired else None,
                url=None,
                invoked_ns=invoked,
                returned_ns=returned,
                outcome=Outcome.GRANTED if acquired else Outcome.BUSY,
            )
        )
        # Holding for a moment lets a lock that admits two do so; waiting lets all have their turn.
        time.sleep(random.random() * 0.002)
        if acquired:
            invoked = time.perf_counter_ns()
            released = lock.release(session, token)
            returned = time.perf_counter_ns()
            history.append(
                Operation(
                    session=session,
                    client=f"thread {number}",
                    operation=OperationKind.UPDATE,
                    job=token,
                    url="released",
                    invoked_ns=invoked,
                    returned_ns=returned,
                    outcome=Outcome.OK if released else Outcome.NOT_FOUND,
                )
            )
    return history
