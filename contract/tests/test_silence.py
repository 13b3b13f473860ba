"""What is made of a server's silence: its death, its fault, or a bad moment."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from socket import create_server

import pytest
from kit import judged, session_on
from one_check import judge

from onejob_contract.client import Client
from onejob_contract.documented import Answer
from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.iut import Iut
from onejob_contract.resending import Resending
from onejob_contract.shares import Budget
from onejob_contract.suite.test_health import test_health_stays_ok_whatever_else_happens as health
from onejob_contract.suite.test_session_lock import (
    test_an_upload_given_up_half_way_changes_nothing as given_up,
)
from onejob_contract.target import Target
from onejob_contract.wire import Exchange, Origin, Request, Trouble
from onejob_fixtures.servers import running


@contextmanager
def accepting_once_more() -> Iterator[str]:
    """A server in its last moment: it accepts one connection, and is gone."""
    listener = create_server(("127.0.0.1", 0))

    def dies() -> None:
        connection, _ = listener.accept()
        listener.close()
        connection.close()

    dying = threading.Thread(target=dies, daemon=True)
    dying.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    dying.join(5)


def test_a_server_that_accepts_while_it_goes_down_is_not_there() -> None:
    with accepting_once_more() as url:
        assert not Client(Target(Origin.parse(url))).is_answered_at_all()


def test_a_server_that_accepts_and_waits_for_a_request_is_there() -> None:
    with running("correct") as url:
        assert Client(Target(Origin.parse(url))).is_answered_at_all()


@pytest.mark.parametrize(
    ("check", "server", "requirement"),
    [
        (health, "malformed-json-kills-server", "ROBUST-UPDATE-BODY"),
        (given_up, "upload-cut-short-kills-server", "ROBUST-PUBLISH-FORM"),
    ],
)
def test_what_kills_a_server_is_blamed_whatever_the_check_was_about(
    check: Callable[[Iut], None], server: str, requirement: str
) -> None:
    found = judge(check, server)
    assert found.blamed == {requirement}
    (violation,) = found.violations
    assert "the server died of it" in violation.actual


def test_a_silence_tells_what_was_sent_before_it() -> None:
    with running("malformed-json-stalls-the-rest") as url:
        target = replace(Target(Origin.parse(url)), response_timeout_s=0.5)
        session = judged(url, "HEALTH-NO-ERRORS", "PUBLISH-ACCEPTED", target=target)
    told = [violation.note for violation in session.run_state.violations]
    told += [result.reason for result in session.results]
    assert any("before the silence was POST /update_status b'{' -> 400" in text for text in told)


def silent(invoked_s: float, returned_s: float) -> Exchange:
    request = Request("GET", "/health")
    begin, end = round(invoked_s * 1e9), round(returned_s * 1e9)
    return Exchange(request, None, Trouble.TIMED_OUT, "no answer", begin, begin, end)


@pytest.mark.parametrize(
    ("asked_s", "answered_s", "still"),
    [(1.5, 1.6, True), (1.5, 6.0, True), (6.0, 6.1, False), (10.9, 11.5, True)],
)
def test_a_server_stood_still_where_nothing_asked_meanwhile_was_answered_meanwhile(
    asked_s: float, answered_s: float, still: bool
) -> None:
    client = Client(Target(Origin.parse("http://127.0.0.1:1")))
    begin, end = round(asked_s * 1e9), round(answered_s * 1e9)
    client.history.append(
        Operation("s", "c", OperationKind.PUBLISH, "j", None, begin, end, Outcome.GRANTED)
    )
    assert client.stood_still(silent(1.0, 11.0)) is still


@pytest.mark.parametrize(
    ("waited_s", "ended_s", "crowded"), [(3.0, 8.0, True), (0.5, 8.0, False), (3.0, 0.9, False)]
)
def test_a_crowd_is_where_others_waited_long_too(
    waited_s: float, ended_s: float, crowded: bool
) -> None:
    client = Client(replace(Target(Origin.parse("http://127.0.0.1:1")), response_timeout_s=10.0))
    begin, end = round((ended_s - waited_s) * 1e9), round(ended_s * 1e9)
    client.history.append(
        Operation("s", "c", OperationKind.PUBLISH, "j", None, begin, end, Outcome.GRANTED)
    )
    assert client.was_crowded(silent(1.0, 11.0)) is crowded


def test_a_session_that_only_the_replay_was_granted_is_known_to_be_held() -> None:
    with running("correct") as url:
        session = session_on(url)
        iut = Iut(session.run_state, "a check", 0, "PUBLISH-ACCEPTED", Budget(math.inf, math.inf))
        granted = iut.publish(iut.new_session()).step
        failed = replace(granted, reading=replace(granted.reading, answer=Answer.DATABASE_FAILED))
        again = Resending(iut).send(failed)
        session.client.close()
    assert session.run_state.unfinished[again.granted_job or ""] == again.session
