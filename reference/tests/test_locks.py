"""Every lock backend: owned by a token, non-blocking, leased or permanent."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from onejob_reference.locks import SessionLock, open_lock

SESSION = " any text: \u00e9 \0 \ud800 "


@pytest.fixture(params=["memory", "sql", "redis", "documented"])
def lock(request: pytest.FixtureRequest, tmp_path: Path) -> SessionLock:
    match request.param:
        case "documented":
            return _documented_backend(f"folder:{tmp_path}")
        case "redis":
            url = str(request.getfixturevalue("redis_url"))
        case "sql":
            url = f"sql:sqlite:///{tmp_path / 'locks.sqlite3'}"
        case _:
            url = "memory:"
    return open_lock(url)


def _documented_backend(url: str) -> SessionLock:
    """Run the worked example of the documentation as it stands there."""
    guide = Path(__file__).parents[2] / "docs" / "reference.md"
    example = guide.read_text().partition("```python\n")[2].partition("```")[0]
    module: dict[str, Any] = {}
    exec(example, module)  # noqa: S102
    lock: SessionLock = module["FolderLock"](url)
    return lock


def _wait_until_free(lock: SessionLock, session: str) -> None:
    deadline = time.monotonic() + 10
    while lock.owner(session) is not None:
        assert time.monotonic() < deadline, "the lease never ended"
        time.sleep(0.01)


def test_a_free_session_goes_to_the_first_token(lock: SessionLock) -> None:
    assert lock.owner(SESSION) is None

    assert lock.acquire(SESSION, "one", None)

    assert lock.owner(SESSION) == "one"
    assert not lock.acquire(SESSION, "two", None)
    assert not lock.acquire(SESSION, "one", None)
    assert lock.release(SESSION, "one")


def test_only_the_owner_releases(lock: SessionLock) -> None:
    lock.acquire(SESSION, "one", None)

    assert not lock.release(SESSION, "two")
    assert lock.owner(SESSION) == "one"

    assert lock.release(SESSION, "one")
    assert not lock.release(SESSION, "one")
    assert lock.owner(SESSION) is None


def test_a_lease_ends_and_its_owner_owns_nothing_any_more(lock: SessionLock) -> None:
    lock.acquire(SESSION, "one", 0.05)
    _wait_until_free(lock, SESSION)

    assert not lock.extend(SESSION, "one", 10)
    assert lock.acquire(SESSION, "two", None)
    assert not lock.release(SESSION, "one")
    assert lock.owner(SESSION) == "two"
    lock.release(SESSION, "two")


def test_a_lease_can_become_permanent_and_a_lease_again(lock: SessionLock) -> None:
    lock.acquire(SESSION, "one", 30)

    assert not lock.extend(SESSION, "two", None)
    assert lock.extend(SESSION, "one", None)
    assert lock.extend(SESSION, "one", 0.05)

    _wait_until_free(lock, SESSION)


def test_of_many_contenders_one_wins(lock: SessionLock) -> None:
    tokens = [str(number) for number in range(16)]
    with ThreadPoolExecutor(len(tokens)) as pool:
        won = list(pool.map(lambda token: lock.acquire(SESSION, token, 30), tokens))

    assert won.count(True) == 1
    assert lock.owner(SESSION) == tokens[won.index(True)]
    lock.release(SESSION, tokens[won.index(True)])


def test_sessions_are_independent(lock: SessionLock) -> None:
    for session in ("s", "S", "s ", "", "*"):
        assert lock.acquire(session, "token", 30)
    for session in ("s", "S", "s ", "", "*"):
        assert lock.release(session, "token")


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no session lock for 'etcd:'; installed are memory:, "):
        open_lock("etcd://host")
