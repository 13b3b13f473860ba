"""Checks run in lanes; what they find is shown again with as few requests as possible."""

import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kit import judged, plain_tasks, session_on

from onejob_contract.checks import Cost, Proof
from onejob_contract.conversation import TRACE_LIMIT
from onejob_contract.documented import Answer
from onejob_contract.findings import Unobservable, Violation
from onejob_contract.iut import Budget, Iut
from onejob_contract.replay import confirm
from onejob_contract.run import PROFILES
from onejob_contract.scheduler import ATTEMPTS, Scheduler, Task
from onejob_contract.session import Options, Session
from onejob_contract.target import Target
from onejob_contract.verdict import CheckResult, Ending, Exit
from onejob_contract.wire import Exchange, Origin, Request
from onejob_fixtures.servers import running


@pytest.fixture
def session(correct_server: str) -> Iterator[Session]:
    session = session_on(correct_server)
    yield session
    session.client.close()


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


def violation_of(session: Session, body: Callable[[Iut], None]) -> tuple[Violation, Iut]:
    no_limit = Budget(math.inf, math.inf)
    iut = Iut(session.run_state, "a check", 0, "PUBLISH-BUSY", no_limit)
    with pytest.raises(Violation) as found:
        body(iut)
    return found.value, iut


def test_of_thirty_requests_the_two_that_matter_are_left() -> None:
    def body(iut: Iut) -> None:
        job = iut.active_job()
        for _ in range(14):
            iut.status(job)
            iut.health()
        iut.publish(job.session).must_be(Answer.BUSY)

    with running("busy-says-409") as url:
        session = session_on(url)
        violation, iut = violation_of(session, body)
        assert len(violation.steps) == 30
        confirmed = confirm(violation, iut, seconds=5.0)
        session.client.close()
    assert [step.exchange.request.method for step in confirmed.steps] == ["POST", "POST"]
    assert confirmed.replayed == (1, 1)
    assert not confirmed.intermittent


def test_what_is_not_shown_again_is_marked_as_intermittent(session: Session) -> None:
    def body(iut: Iut) -> None:
        job = iut.active_job()
        seen = iut.publish(job.session)
        raise Violation(
            "PUBLISH-BUSY", "x", "y", iut.trace, allowed=frozenset({seen.answer or Answer.BUSY})
        )

    violation, iut = violation_of(session, body)
    confirmed = confirm(violation, iut, seconds=5.0)
    assert confirmed.replayed is not None
    assert confirmed.replayed[0] == 0
    assert confirmed.intermittent


@pytest.mark.parametrize(
    ("server", "requirement", "steps"),
    [
        ("file-name-ascii-only", "PUBLISH-ANY-FILE-NAME", 1),
        ("session-quote-breaks-sql", "PUBLISH-ANY-SESSION-ID", 1),
        ("job-id-counts-per-session", "PUBLISH-JOB-ID-UNIQUE", 2),
        ("refused-upload-locks-session", "ROBUST-NO-STATE-CHANGE", 2),
        ("update-needs-job-id-first", "UPDATE-OK", 2),
    ],
)
def test_a_fault_that_is_always_there_is_shown_again(
    server: str, requirement: str, steps: int
) -> None:
    """Undocumented server errors, ids granted twice, and what a spoilt form leaves behind, too."""
    with running(server) as url:
        violations = judged(url, requirement).run_state.violations
    shown = next(one for one in violations if one.requirement == requirement)
    assert shown.replayed == (1, 1)
    assert len(shown.steps) == steps


def test_job_ids_that_contain_each_other_do_not_grow_in_a_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each id is the beginning of the next one; in the replay each becomes a later one."""
    sent: list[Request] = []

    def body(iut: Iut) -> None:
        session = iut.new_session()
        for _ in range(30):
            iut.complete(iut.active_job(session))
        raise Violation("LOCK-REUSABLE", "x", "y", iut.trace, allowed=frozenset({Answer.BUSY}))

    with running("job-ids-one-longer-each-time") as url:
        session = session_on(url)
        violation, iut = violation_of(session, body)
        for _ in range(150):
            iut.active_job()
        send = session.client.send

        def noted(request: Request, who: str, timeout_s: float | None = None) -> Exchange:
            sent.append(request)
            return send(request, who, timeout_s)

        monkeypatch.setattr(session.client, "send", noted)
        confirmed = confirm(violation, iut, seconds=5.0)
        session.client.close()
    assert confirmed.replayed is not None
    assert confirmed.replayed[0] == 0
    assert max(len(request.body) for request in sent) < 2_000
    assert len(sent) >= len(violation.steps), "the replay went on to the end"


def test_a_fault_is_called_what_its_shortest_requests_show() -> None:
    """A refused publish frees the session; the polls of the check play no part in it."""

    def body(iut: Iut) -> None:
        iut.requirement = "LOCK-HELD-OVER-POLLS"
        job = iut.active_job()
        iut.status(job)
        iut.publish(job.session).is_arranged(Answer.BUSY)
        iut.publish(job.session).must_be(Answer.BUSY)

    with running("refusal-frees-session") as url:
        session = session_on(url)
        confirmed = confirm(*violation_of(session, body), seconds=5.0)
        session.client.close()
    assert confirmed.requirement == "LOCK-HELD-OVER-REFUSALS"
    assert len(confirmed.steps) == 3


def test_a_session_that_is_fresh_only_once_is_not_called_intermittent(session: Session) -> None:
    def body(iut: Iut) -> None:
        iut.publish("only-once").must_be(Answer.BUSY)

    confirmed = confirm(*violation_of(session, body), seconds=5.0)
    assert confirmed.replayed is None
    assert "'only-once' is fresh only once" in confirmed.note


def test_what_took_its_time_shows_the_session_it_is_about_and_how_long_it_took() -> None:
    with running("lock-expires-after-1-s") as url:
        violations = judged(url, "LOCK-HELD-OVER-TIME").run_state.violations
    (shown,) = (one for one in violations if one.requirement == "LOCK-HELD-OVER-TIME")
    assert {step.session for step in shown.steps} == {shown.steps[-1].session}
    assert [step.answer for step in shown.steps] == [Answer.GRANTED] * 2
    granted, again = (step.exchange for step in shown.steps)
    assert again.invoked_ns - granted.returned_ns > 0.9e9


def test_a_grant_of_long_ago_is_part_of_what_is_shown(session: Session) -> None:
    def body(iut: Iut) -> None:
        job = iut.active_job()
        for _ in range(TRACE_LIMIT):
            iut.health()
        iut.publish(job.session).must_be(Answer.GRANTED)

    violation, _ = violation_of(session, body)
    first, *_, last = violation.steps
    assert first.answer is Answer.GRANTED
    assert (first.session, last.answer) == (last.session, Answer.BUSY)


def test_a_busy_machine_has_time_for_the_rounds_of_the_quick_profile(session: Session) -> None:
    session.run_state.profile = PROFILES["standard"]
    for enough_by, done in ((0.0, 1), (math.inf, 5)):
        budget = Budget(0.0, math.inf, enough_by=enough_by)
        iut = Iut(session.run_state, "a check", 0, "PUBLISH-BUSY", budget)
        assert len(list(iut.rounds(5, 50, 500))) == done


def test_what_takes_other_checks_at_work_is_told_so(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay in quiet gets the right answer, the ones before did not."""

    def body(iut: Iut) -> None:
        iut.publish_parts("", iut.parts("")[1:]).must_be(Answer.MISSING_IMAGE)

    violation, iut = violation_of(session, body)
    alone, send = session.client.places.alone, session.client.send

    @contextmanager
    def alone_and_right(patience_s: float) -> Iterator[bool]:
        with alone(patience_s) as is_quiet, monkeypatch.context() as patch:
            patch.setattr(session.client, "send", lambda _, who: send(Request("GET", "/"), who))
            yield is_quiet

    monkeypatch.setattr(session.client.places, "alone", alone_and_right)
    confirmed = confirm(violation, iut, seconds=5.0)
    assert confirmed.replayed == (1, 2)
    assert confirmed.note == "shown again only while other checks were at work"


def sessions_of(session: Session) -> list[tuple[str, str]]:
    """The sessions that each check published for, without what names this run.

    Its token may be written in digits, or, where there is room for no more, as one ideograph.
    """
    return [
        (op.client, re.sub(r"\d{12,}", "RUN", op.session.replace(session.client.token, "RUN")))
        for op in session.client.history
        if op.session is not None and len(op.session) > 1
    ]


def test_the_same_seed_gives_the_same_requests(correct_server: str) -> None:
    # A brief look and the whole share after it begin alike, but count their names elsewhere.
    one, other, different = (
        list(
            dict.fromkeys(
                re.sub(r"RUN\d{8}", "RUN", session)
                for check, session in sessions_of(
                    judged(correct_server, "PUBLISH-ANY-SESSION-ID", seed=seed)
                )
                if check.endswith("test_random_texts_name_sessions")
            )
        )
        for seed in (7, 7, 8)
    )
    both = min(len(one), len(other))  # a busy machine may have had time for fewer rounds
    assert both > 0
    assert one[:both] == other[:both]
    assert one[:both] != different[:both]


def test_two_runs_at_once_and_a_dirty_server_change_no_verdict(correct_server: str) -> None:
    exits = []

    def run() -> None:
        exits.append(judged(correct_server, "PUBLISH-BUSY", "HEALTH-OK").conclusion().exit)

    pair = [threading.Thread(target=run) for _ in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join(60)
    run()
    assert exits == [Exit.CONFORMANT] * 3


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
