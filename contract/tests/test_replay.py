"""What a check finds is shown again, with as few requests as possible."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kit import judged, session_on

from onejob_contract.conversation import TRACE_LIMIT
from onejob_contract.documented import Answer
from onejob_contract.findings import Violation
from onejob_contract.iut import Iut
from onejob_contract.replay import confirm
from onejob_contract.session import Session
from onejob_contract.shares import Budget
from onejob_contract.wire import Exchange, Request
from onejob_fixtures.servers import running


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
    ("server", "plainest"),
    [
        ("completion-seldom-keeps-lock", "UPDATE-RELEASES-LOCK"),
        ("update-seldom-lost", "UPDATE-TAKES-EFFECT"),
    ],
)
def test_what_comes_and_goes_is_called_what_it_is_and_not_what_the_check_is_about(
    server: str, plainest: str
) -> None:
    def body(iut: Iut) -> None:
        iut.requirement = "PUBLISH-ANY-SESSION-ID"
        while True:
            job, url = iut.completed_job()
            iut.must_read(job, url)
            iut.must_grant(job.session)

    with running(server) as url:
        session = session_on(url)
        violation, iut = violation_of(session, body)
        confirmed = confirm(violation, iut, seconds=5.0)
        session.client.close()
    assert violation.intermittent
    assert confirmed.requirement == plainest


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


@pytest.mark.parametrize(
    ("server", "asked_about", "shown"),
    [
        ("missing-image-leaks-lock", "PUBLISH-ANY-FIELD-ORDER", "LOCK-FREE-AFTER-REFUSAL"),
        ("refusal-replaces-job", "LOCK-PER-SESSION", "UPDATE-RELEASES-LOCK"),
    ],
)
def test_a_session_that_stays_busy_is_told_by_what_left_it_so(
    server: str, asked_about: str, shown: str
) -> None:
    """Nothing of the shortest requests is about orders of fields, or about other sessions."""
    with running(server) as url:
        blamed = [
            violation.requirement for violation in judged(url, asked_about).run_state.violations
        ]
    assert shown in blamed
    assert asked_about not in blamed


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


def test_what_another_check_left_alone_is_shown_from_its_beginning(session: Session) -> None:
    """A busy session and a completed job: what comes later is no surprise to who reads both."""

    def leaves(iut: Iut) -> None:
        iut.leave_alone(iut.active_job())
        iut.leave_alone(iut.completed_job()[0])

    def takes_over(iut: Iut) -> None:
        active, completed = map(iut.take_over, iut.run.left_alone)
        assert iut.status(completed).answer is Answer.COMPLETED
        iut.publish(active.session).must_be(Answer.GRANTED)

    run = session.run_state
    leaves(Iut(run, "leaves", 901, "LOCK-HELD-OVER-TIME", Budget(math.inf, math.inf)))
    violation, _ = violation_of(session, takes_over)
    first, *_, last = violation.steps
    assert (first.answer, last.answer) == (Answer.GRANTED, Answer.BUSY)
    assert first.session == last.session
    assert [len(steps) for steps in run.left_alone] == [1, 2]


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
