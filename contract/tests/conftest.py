"""Fixtures for the tests of the kit: where a user stands, and a server to judge."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import CommandLine, session_on

from onejob_contract.session import Session
from onejob_fixtures.servers import running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole_run: runs a whole profile, about half a minute")


@pytest.fixture(scope="session", autouse=True)
def _state_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No notes of faults but our own: a run that died here may have had the same port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    """A user with a command line, in an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def correct_server() -> Iterator[str]:
    """The base URL of a server that does what the document says."""
    with running("correct") as url:
        yield url


@pytest.fixture
def session(correct_server: str) -> Iterator[Session]:
    """The kit before the first check on the correct server."""
    session = session_on(correct_server)
    yield session
    session.client.close()
