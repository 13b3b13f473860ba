"""Fixtures for the tests of the kit: where a user stands, and a server to judge."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import CommandLine

from onejob_fixtures.servers import running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole_run: runs a whole profile, about half a minute")


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    """A user with a command line, in an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def correct_server() -> Iterator[str]:
    """The base URL of a server that does what the document says."""
    with running("correct") as url:
        yield url
