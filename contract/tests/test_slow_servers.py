"""A slow server gets a verdict: each requirement has its first check; what had no time is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from kit import session_on

from onejob_contract.checks import Cost, Proof
from onejob_contract.iut import Iut
from onejob_contract.places import Places
from onejob_contract.run import Run
from onejob_contract.scheduler import Scheduler, Task
from onejob_contract.verdict import Ending, Verdict
from onejob_fixtures.servers import running

LONG_AGO = 3600.0


@pytest.fixture
def run(correct_server: str) -> Iterator[Run]:
    session = session_on(correct_server)
    yield session.run_state
    session.client.close()


@pytest.fixture
def slow(run: Run) -> Run:
    run.surroundings = replace(run.surroundings, pace_s=0.1)
    return run


def task(name: str, *requirements: str, body: Callable[[Iut], None] = lambda _: None) -> Task:
    return Task(name, 0, Proof(requirements, Cost.FAST, ()), body)


@pytest.mark.parametrize(
    ("server", "lanes"),
    [
        ("correct", range(3, 6)),
        ("slow-refusals-and-updates", range(10, 65)),
        ("slow-grants", range(10, 65)),
    ],
)
def test_a_server_slow_in_anything_is_asked_many_things_at_a_time(
    server: str, lanes: range
) -> None:
    """Not by the pace under load: a server of one thread must not be drowned for its queue."""
    with running(server) as url:
        session = session_on(url)
        session.client.close()
    assert Scheduler(session.run_state).lanes in lanes
    assert session.run_state.is_slow is (server != "correct")


@pytest.mark.parametrize(
    ("server", "in_turn"), [("slow-at-random", False), ("one-request-at-a-time-30-ms", True)]
)
def test_who_answers_late_does_not_therefore_answer_in_turn(server: str, in_turn: bool) -> None:
    with running(server) as url:
        session = session_on(url)
        session.client.close()
    assert session.run_state.is_slow
    assert session.client.places.in_turn is in_turn


def test_every_requirement_has_a_check_before_any_has_its_second(slow: Run) -> None:
    slow.client.places = Places(1, in_turn=True)
    ran: list[str] = []

    def notes(iut: Iut) -> None:
        ran.append(iut.check)

    tasks = [
        task("one of A", "PUBLISH-BUSY", body=notes),
        task("two of A", "PUBLISH-BUSY", body=notes),
        task("one of A and B", "PUBLISH-BUSY", "HEALTH-OK", body=notes),
    ]
    scheduler = Scheduler(slow)
    scheduler.lanes = 1
    results = list(scheduler.results(tasks))
    assert ran == ["one of A", "one of A and B", "two of A"]
    assert {result.ending for _, result in results} == {Ending.PASSED}


def test_after_its_time_only_what_the_verdict_waits_for_is_run(slow: Run) -> None:
    slow.started = time.monotonic() - 4 * slow.profile.seconds
    tasks = [task("first", "PUBLISH-BUSY"), task("second", "PUBLISH-BUSY")]
    endings = {done.name: result.ending for done, result in Scheduler(slow).results(tasks)}
    assert endings == {"first": Ending.PASSED, "second": Ending.NO_TIME}


def test_that_too_has_an_end(slow: Run) -> None:
    slow.started = time.monotonic() - LONG_AGO
    ((_, result),) = Scheduler(slow).results([task("first", "PUBLISH-BUSY")])
    assert result.ending is Ending.NO_TIME


def test_on_a_fast_server_no_check_may_be_left_out(run: Run) -> None:
    run.started = time.monotonic() - LONG_AGO
    ((_, result),) = Scheduler(run).results([task("first", "PUBLISH-BUSY")])
    assert result.ending is Ending.UNOBSERVABLE


def test_on_a_server_that_works_in_turn_a_list_of_cases_gets_its_share_only(slow: Run) -> None:
    slow.client.places = Places(1, in_turn=True)
    slow.started = time.monotonic() - 2.9 * slow.profile.seconds
    done: list[int] = []

    def takes_its_time(iut: Iut) -> None:
        def one(number: int) -> None:
            done.append(number)
            iut.run.stop.wait(0.05)

        iut.each(range(1000), one)

    tasks = [task("long", "PUBLISH-BUSY", body=takes_its_time)]
    ((_, result),) = Scheduler(slow).results(tasks)
    assert result.ending is Ending.PASSED
    assert 0 < len(done) < 100
    assert slow.cut_short["long"] == f"{len(done)} of 1000 cases"


def test_the_verdict_rests_on_the_checks_that_had_time_and_says_how_many_had_not() -> None:
    with running("correct") as url:
        session = session_on(url)
        state = session.run_state
        state.surroundings = replace(state.surroundings, pace_s=0.1)
        state.started = time.monotonic() - 4 * state.profile.seconds
        tasks = [task("first", "HEALTH-OK"), task("second", "HEALTH-OK")]
        session.results = [result for _, result in Scheduler(state).results(tasks)]
        conclusion = session.conclusion()
        session.client.close()
    (health,) = (one for one in conclusion.requirements if one.requirement.id == "HEALTH-OK")
    assert (health.verdict, health.reason) == (Verdict.PASS, "1 of 2 checks had no time")
