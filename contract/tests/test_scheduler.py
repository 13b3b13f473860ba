"""Checks run in lanes, each in its time, and what they need is there."""

import math
import threading
from collections.abc import Callable

import pytest
from kit import plain_tasks, session_on

from onejob_contract.checks import Cost, Proof
from onejob_contract.conversation import TRACE_LIMIT
from onejob_contract.documented import Answer
from onejob_contract.findings import TargetGone, Unobservable, Violation
from onejob_contract.iut import Iut
from onejob_contract.run import PROFILES
from onejob_contract.scheduler import ATTEMPTS, Scheduler, Task
from onejob_contract.session import Options, Session
from onejob_contract.shares import Budget
from onejob_contract.target import Target
from onejob_contract.verdict import CheckResult, Ending, Exit
from onejob_contract.wire import Origin
from onejob_fixtures.servers import running


def task(
    name: str, body: Callable[[Iut], None], cost: Cost = Cost.FAST, needs: tuple[str, ...] = ()
) -> Task:
    return Task(name, 0, Proof(("PUBLISH-BUSY",), cost, needs), body)


def outcome(
    session: Session, body: Callable[[Iut], None], needs: tuple[str, ...] = ()
) -> CheckResult:
    return Scheduler(session.run_state).run_one(task("a check", body, needs=needs))


def test_waiting_checks_start_first_and_the_last_ones_see_all_others_done(session: Session) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def waits(_: Iut) -> None:
        waiting.set()
        order.append("began to wait")
        session.run_state.stop.wait(0.3)
        order.append("waited")

    def fast(_: Iut) -> None:
        assert waiting.wait(5)
        order.append("fast")

    tasks = [
        task("last", lambda _: order.append("last"), Cost.LAST),
        task("fast", fast),
        task("waits", waits, Cost.WAITS),
    ]
    results = [done.name for done, _ in Scheduler(session.run_state).results(tasks)]
    assert order == ["began to wait", "fast", "waited", "last"]
    assert results == ["fast", "waits", "last"]


def test_a_long_run_looks_briefly_at_all_checks_before_any_gets_its_share(
    session: Session,
) -> None:
    session.run_state.profile = PROFILES["thorough"]
    looks: list[tuple[str, int]] = []

    def many_rounds(iut: Iut) -> None:
        looks.append((iut.check, len(list(iut.rounds(2, 20, 30)))))

    tasks = [task(name, many_rounds, Cost.VOLUME) for name in ("one", "two")]
    scheduler = Scheduler(session.run_state)
    scheduler.lanes = 1
    results = [done.name for done, _ in scheduler.results(tasks)]
    assert looks == [("one", 2), ("two", 2), ("one", 30), ("two", 30)]
    assert results == ["one", "two"], "each handed in once"


def test_what_a_brief_look_finds_is_not_looked_at_again(session: Session) -> None:
    session.run_state.profile = PROFILES["thorough"]
    looks = []

    def finds(iut: Iut) -> None:
        looks.append(iut.check)
        raise Violation("PUBLISH-BUSY", "busy", "granted", replayable=False)

    results = list(Scheduler(session.run_state).results([task("one", finds, Cost.VOLUME)]))
    assert [result.ending for _, result in results] == [Ending.VIOLATED]
    assert looks == ["one"]


def test_an_error_of_ours_inside_a_check_is_a_fault_of_the_kit(session: Session) -> None:
    def body(_: Iut) -> None:
        raise KeyError("a bug in the check")

    result = outcome(session, body)
    assert result.ending is Ending.FAULT
    assert "KeyError: 'a bug in the check'" in result.reason
    session.results.append(result)
    assert session.conclusion().exit is Exit.KIT_FAULT


def test_what_can_be_seen_at_another_attempt_is_tried_again(session: Session) -> None:
    attempts = []

    def body(iut: Iut) -> None:
        attempts.append(iut.new_session())
        raise Unobservable("the worker was faster", again=True)

    assert outcome(session, body).ending is Ending.UNOBSERVABLE
    assert len(set(attempts)) == ATTEMPTS, "each with names of its own"


@pytest.mark.parametrize("need", ["upload_root", "fault:broker", "fault:any"])
def test_a_check_whose_needs_are_not_declared_does_not_apply(session: Session, need: str) -> None:
    def body(_: Iut) -> None:
        raise AssertionError("it must not run")

    result = outcome(session, body, needs=(need,))
    assert result.ending is Ending.NOT_APPLICABLE
    assert "declared in a target file" in result.reason


def test_after_a_stop_nothing_more_is_judged(session: Session) -> None:
    session.run_state.stop.set()
    assert outcome(session, lambda _: None).ending is Ending.NOT_RUN


def test_a_busy_machine_has_time_for_the_rounds_of_the_quick_profile(session: Session) -> None:
    session.run_state.profile = PROFILES["standard"]
    for enough_by, done in ((0.0, 1), (math.inf, 5)):
        budget = Budget(0.0, math.inf, enough_by=enough_by)
        iut = Iut(session.run_state, "a check", 0, "PUBLISH-BUSY", budget)
        assert len(list(iut.rounds(5, 50, 500))) == done


def test_every_plain_check_has_a_name_of_its_own() -> None:
    names = [one.name for one in plain_tasks()]
    assert len(names) == len(set(names))


def test_a_live_worker_explains_a_grant_however_long_ago_the_job_before_was_granted() -> None:
    def body(iut: Iut) -> None:
        session = iut.active_job().session
        for _ in range(TRACE_LIMIT):
            iut.health()
        iut.publish(session).must_be(Answer.BUSY)

    with running("worker-at-once") as url:
        target = Target(Origin.parse(url))
        session = Session(target, Options(profile="quick", seed=1))
        session.prepare()
        result = outcome(session, body)
        session.client.close()
    assert (result.ending, result.blamed) == (Ending.UNOBSERVABLE, "")


def grants_on(server: str) -> tuple[CheckResult, Session]:
    """How a check ends that wants many grants, each on a new session."""

    def body(iut: Iut) -> None:
        for _ in iut.rounds(120, 120, 120):
            iut.must_grant(iut.new_session())

    with running(server) as url:
        session = session_on(url)
        result = outcome(session, body)
        session.client.close()
    return result, session


def test_a_documented_failure_that_comes_and_goes_is_asked_again() -> None:
    result, session = grants_on("files-fail-seldom")

    assert result.ending is Ending.PASSED
    assert session.run_state.fails_now_and_then
    assert not session.run_state.violations


def test_who_fails_beside_others_is_asked_alone() -> None:
    def body(iut: Iut) -> None:
        over = threading.Event()
        beside = Iut(iut.run, "another check", 1, "PUBLISH-BUSY", Budget(math.inf, math.inf))

        def never_pauses() -> None:
            while not over.is_set():
                session = beside.new_session()
                beside.run.client.publish(session, beside.form(session), beside.check)

        neighbours = [threading.Thread(target=never_pauses) for _ in range(8)]
        for neighbour in neighbours:
            neighbour.start()
        try:
            for _ in range(5):
                iut.must_grant(iut.new_session())
        finally:
            over.set()
            for neighbour in neighbours:
                neighbour.join()

    with running("one-publish-at-a-time") as url:
        session = session_on(url)
        session.run_state.fails_now_and_then = True
        result = outcome(session, body)
        session.client.close()
    assert result.ending is Ending.PASSED


def test_a_documented_failure_must_leave_its_session_free() -> None:
    result, session = grants_on("failed-publish-seldom-keeps-lock")

    (violation,) = session.run_state.violations
    assert result.ending is Ending.VIOLATED
    assert violation.requirement == "LOCK-FREE-AFTER-REFUSAL"
    assert {step.answer for step in violation.steps} == {Answer.PUBLISH_FAILED, Answer.BUSY}


def test_a_documented_failure_of_one_kind_of_upload_is_no_bad_moment() -> None:
    result, session = grants_on("mixed-pair-not-saved")

    assert result.ending is Ending.VIOLATED
    assert session.run_state.violations[0].steps[-1].answer is Answer.SAVE_FAILED


@pytest.mark.parametrize("trouble", [Unobservable("no time"), TargetGone("it hangs")])
def test_a_server_that_falls_silent_after_a_documented_failure_is_no_fault_of_the_kit(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def falls_silent(_: Iut, session: str | None) -> None:
        assert session is not None
        raise trouble

    monkeypatch.setattr(Iut, "must_have_freed", falls_silent)
    result, session = grants_on("files-fail-seldom")

    assert result.ending is Ending.PASSED
    assert not session.run_state.violations
