"""Nothing is judged before everybody has said a first word, and nobody is waited for for ever."""

import pytest

from onejob_load.generator import roll
from onejob_load.generator.roll import SILENT_S, Roll


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(roll.time, "monotonic", lambda: now[0])
    return now


def test_it_is_complete_once_all_workers_have_been_heard():
    run = Roll(["one", "two"])

    run.hear("one", "here.1", last=False)
    before = run.is_complete
    run.hear("two", "here.2", last=False)

    assert (before, run.is_complete) == (False, True)


def test_a_worker_that_joins_is_waited_for_and_one_that_reconnects_is_not():
    run = Roll(["one"])
    run.hear("one", "here.1", last=False)

    run.expect("one")
    reconnected = run.is_complete
    run.expect("two")

    assert (reconnected, run.is_complete) == (True, False)


def test_who_was_never_heard_and_who_falls_silent_are_lost(clock):
    run = Roll(["one", "two", "three"])
    run.hear("one", "here.1", last=False)
    run.hear("three", "here.3", last=True)

    clock[0] += SILENT_S + 1

    assert run.lost() == ["two", "here.1"]
    assert run.lost() == []
    assert run.is_over


def test_who_still_talks_is_not_lost(clock):
    run = Roll(["one"])
    run.hear("one", "here.1", last=False)
    clock[0] += SILENT_S - 1
    run.hear("one", "here.1", last=False)

    clock[0] += SILENT_S - 1

    assert run.lost() == []
    assert not run.is_over
