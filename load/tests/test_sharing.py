"""How the lock was shared: holds, gaps, fairness."""

import pytest

from onejob_contract.history import Outcome
from onejob_load.observer.durations import Durations
from onejob_load.observer.sharing import Sharing

GRANTED, BUSY = Outcome.GRANTED, Outcome.BUSY


def follow(told) -> Sharing:
    sharing = Sharing()
    for operation in told.operations:
        sharing.follow(operation)
    return sharing


def test_hold_counts_from_the_grant_and_the_gap_from_the_release(story):
    sharing = follow(
        story()
        .publish(0, GRANTED, "j1")
        .publish(50, BUSY, who="bob")
        .update(100, "j1")
        .publish(140, GRANTED, "j2", who="bob")
    )

    assert sharing.holds.percentile(50) == pytest.approx(0.100, rel=0.02)
    assert sharing.gaps.percentile(50) == pytest.approx(0.040, rel=0.02)


def test_a_session_that_nobody_else_wanted_has_no_gap(story):
    told = story().publish(0, GRANTED, "j1").update(10, "j1").publish(900, GRANTED, "j2")

    assert follow(told).gaps.count == 0


def test_a_repeated_update_of_an_older_job_ends_no_hold(story):
    told = story().publish(0, GRANTED, "j1").update(10, "j1").publish(20, GRANTED, "j2")

    sharing = follow(told.update(30, "j1"))

    assert sharing.holds.count == 1


def test_clients_that_fare_alike_are_fair(story):
    told = story()
    for turn, who in enumerate(["ann", "bob"] * 5):
        other = {"ann": "bob", "bob": "ann"}[who]
        told.publish(turn * 10, GRANTED, f"j{turn}", who=who).publish(
            turn * 10 + 3, BUSY, who=other
        )
        told.update(turn * 10 + 6, f"j{turn}", who=who)

    assert follow(told).fairness()["jain"] == pytest.approx(1.0)


def test_one_client_that_takes_all_is_unfair_and_starves_the_other(story):
    told = story()
    for turn in range(10):
        told.publish(turn * 10, GRANTED, f"j{turn}").publish(turn * 10 + 3, BUSY, who="bob")
        told.update(turn * 10 + 6, f"j{turn}")

    fairness = follow(told).fairness()

    assert fairness["jain"] == pytest.approx(0.5)
    assert fairness["starvation"] == pytest.approx(0.092)


def test_without_competition_there_is_no_fairness_to_speak_of(story):
    assert follow(story().publish(0, GRANTED, "j1")).fairness()["jain"] is None


def test_percentiles_are_right_within_one_per_cent():
    durations = Durations()
    for milliseconds in range(1, 1001):
        durations.add(milliseconds / 1000)

    assert durations.percentile(50) == pytest.approx(0.500, rel=0.012)
    assert durations.percentile(99) == pytest.approx(0.990, rel=0.012)
    assert durations.percentile(100) == pytest.approx(1.0, rel=0.012)
    assert Durations().percentile(50) is None
