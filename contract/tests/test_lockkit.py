"""The kit for lock backends: a right lock passes, and every broken one is convicted."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from uuid import uuid4

import pytest

from onejob_contract.lockkit import OpenLock, SessionLockContract


@dataclass
class InMemoryLock:
    """A right lock for one process."""

    held: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    mutex: Lock = field(default_factory=Lock)

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        with self.mutex:
            if self._owner(session) is not None:
                return False
            self.held[session] = (token, _end(lease))
            return True

    def extend(self, session: str, token: str, lease: float | None) -> bool:
        with self.mutex:
            if self._owner(session) != token:
                return False
            self.held[session] = (token, _end(lease))
            return True

    def release(self, session: str, token: str) -> bool:
        with self.mutex:
            if self._owner(session) != token:
                return False
            del self.held[session]
            return True

    def owner(self, session: str) -> str | None:
        with self.mutex:
            return self._owner(session)

    def _owner(self, session: str) -> str | None:
        token, end = self.held.get(session, (None, None))
        return None if end is not None and time.monotonic() >= end else token


def _end(lease: float | None) -> float | None:
    return None if lease is None else time.monotonic() + lease


class TestInMemoryLock(SessionLockContract):
    @pytest.fixture
    def open_lock(self) -> OpenLock:
        lock = InMemoryLock()
        return lambda: lock


class ChecksThenSets(InMemoryLock):
    """Looks and takes in two steps, so that two may get in."""

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        if self.owner(session) is not None:
            return False
        time.sleep(0.002)
        self.held[session] = (token, _end(lease))
        return True


class ReleasesForAnybody(InMemoryLock):
    def release(self, session: str, token: str) -> bool:  # noqa: ARG002
        return self.held.pop(session, None) is not None


class ReleasesTwice(InMemoryLock):
    def release(self, session: str, token: str) -> bool:
        return super().release(session, token) or self.owner(session) is None


class ExtendsForAnybody(InMemoryLock):
    def extend(self, session: str, token: str, lease: float | None) -> bool:  # noqa: ARG002
        owner = self.owner(session)
        return owner is not None and super().extend(session, owner, lease)


class ExtendsWhatExpired(InMemoryLock):
    def extend(self, session: str, token: str, lease: float | None) -> bool:
        self.held[session] = (token, _end(lease))
        return True


class ForgetsExtensions(InMemoryLock):
    def extend(self, session: str, token: str, lease: float | None) -> bool:  # noqa: ARG002
        return self.owner(session) == token


class NeverExpires(InMemoryLock):
    def acquire(self, session: str, token: str, lease: float | None) -> bool:  # noqa: ARG002
        return super().acquire(session, token, None)


class AlwaysExpires(InMemoryLock):
    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        return super().acquire(session, token, 0.2 if lease is None else lease)


class LetsItsTokenInAgain(InMemoryLock):
    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        return super().acquire(session, token, lease) or self.owner(session) == token


class OneLockForAll(InMemoryLock):
    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        return not self.held and super().acquire(session, token, lease)


class FoldsCase(InMemoryLock):
    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        return super().acquire(session.casefold(), token, lease)

    def owner(self, session: str) -> str | None:
        return super().owner(session.casefold())

    def release(self, session: str, token: str) -> bool:
        return super().release(session.casefold(), token)


BROKEN: list[tuple[type[InMemoryLock], str]] = [
    (ChecksThenSets, "test_of_many_at_once_one_acquires"),
    (ChecksThenSets, "test_a_concurrent_history_is_linearizable"),
    (ReleasesForAnybody, "test_only_the_token_releases"),
    (ReleasesForAnybody, "test_a_stale_release_leaves_the_newer_lock_alone"),
    (ReleasesTwice, "test_release_frees_the_session_once"),
    (ReleasesTwice, "test_any_sequence_follows_the_model"),
    (ExtendsForAnybody, "test_only_the_token_extends"),
    (ExtendsWhatExpired, "test_a_lease_expires"),
    (ForgetsExtensions, "test_a_lease_can_be_extended_and_made_permanent"),
    (NeverExpires, "test_a_lease_expires"),
    (NeverExpires, "test_a_leased_lock_outlives_its_owners_crash_by_the_lease_only"),
    (AlwaysExpires, "test_a_lock_without_a_lease_never_expires"),
    (LetsItsTokenInAgain, "test_a_held_session_is_refused"),
    (OneLockForAll, "test_two_sessions_are_two_locks"),
    (FoldsCase, "test_two_sessions_are_two_locks"),
]


@pytest.mark.parametrize(("broken", "test"), BROKEN)
def test_a_broken_lock_is_convicted(
    broken: type[InMemoryLock], test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onejob_contract.lockkit.PATIENCE_S", 1.0)
    lock = broken()
    promise: Callable[[OpenLock, str], None] = getattr(TestInMemoryLock(), test)

    with pytest.raises(AssertionError):
        promise(lambda: lock, f"session {uuid4()}")


def test_a_lock_that_only_one_handle_sees_is_convicted() -> None:
    with pytest.raises(AssertionError):
        TestInMemoryLock().test_a_held_session_is_refused(InMemoryLock, f"session {uuid4()}")
