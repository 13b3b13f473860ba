"""No server is drowned, and none is accused of the crowd that the kit itself was."""

import math
import threading
import time

import pytest
from kit import judged

from onejob_contract.client import publish_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import Unobservable, Violation
from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.iut import Iut, Racer
from onejob_contract.places import MANY, Places
from onejob_contract.races import RaceLog
from onejob_contract.replay import confirm
from onejob_contract.run import Run
from onejob_contract.session import Options, Session
from onejob_contract.shares import Budget
from onejob_contract.target import Target
from onejob_contract.verdict import Exit
from onejob_contract.wire import Origin
from onejob_fixtures.names import CONFUSABLE_PAIRS
from onejob_fixtures.servers import running

SHORT_QUEUE = "one-at-a-time-with-a-short-queue"
TWO_THREADS = "two-threads-with-kept-connections"
NO_LIMIT = Budget(math.inf, math.inf)


def session_on(url: str) -> Session:
    session = Session(Target(Origin.parse(url)), Options(profile="quick", seed=1))
    session.prepare()
    return session


def test_a_group_gets_its_places_at_once_and_is_not_overtaken() -> None:
    places, order = Places(3), []
    group_waits, one_may_leave = threading.Event(), threading.Event()

    def one() -> None:
        with places.taken():
            group_waits.wait(5)
            one_may_leave.wait(5)
            order.append("one left")

    def group() -> None:
        group_waits.set()
        with places.taken(3):
            order.append("the group came")

    def late() -> None:
        with places.taken():
            order.append("the late one came")

    threads = [threading.Thread(target=body) for body in (one, group, late)]
    threads[0].start()
    threads[1].start()
    assert group_waits.wait(5)
    deadline = time.monotonic() + 5
    while not places._groups.locked():
        assert time.monotonic() < deadline, "the group never began to wait"
        time.sleep(0.001)
    threads[2].start()
    one_may_leave.set()
    for thread in threads:
        thread.join(5)
    assert order == ["one left", "the group came", "the late one came"]


@pytest.mark.parametrize(
    ("server", "places"), [("correct", {MANY}), (SHORT_QUEUE, {4, 5, 6}), (TWO_THREADS, {2})]
)
def test_the_places_of_a_server_are_counted(server: str, places: set[int]) -> None:
    """Where they are few, none is held by a connection that is kept."""
    with running(server) as url:
        session = session_on(url)
        session.client.close()
    assert session.client.places.number in places
    assert session.client.keep_alive is (server == "correct")


def test_a_server_with_a_short_queue_is_not_accused_of_it() -> None:
    with running(SHORT_QUEUE) as url:
        session = judged(url, "PUBLISH-ANY-SESSION-ID", "PUBLISH-ACCEPTED")
    assert session.conclusion().exit is Exit.CONFORMANT


def raced(places: int, width: int) -> tuple[list[Answer | None], RaceLog, Run]:
    """Let so many publishes race for one session of a server with so many places."""
    with running("correct") as url:
        session = session_on(url)
        session.client.places = Places(places)
        iut = Iut(session.run_state, "a race", 0, "LOCK-RACE", NO_LIMIT)
        name, log = iut.new_session(), RaceLog("publishes")
        racer = Racer(Call.PUBLISH, publish_request(iut.form(name)), session=name)
        answers = [step.answer for step in iut.race([racer] * width, log)]
        session.client.close()
    return answers, log, session.run_state


def test_a_race_wider_than_the_places_runs_in_groups_that_overlap_each() -> None:
    answers, log, run = raced(places=4, width=10)
    assert answers.count(Answer.GRANTED) == 1
    assert answers.count(Answer.BUSY) == 9
    log.must_have_overlapped(run)


def test_a_race_of_one_at_a_time_proves_nothing() -> None:
    _, log, run = raced(places=1, width=4)
    with pytest.raises(Unobservable, match="did not race"):
        log.must_have_overlapped(run)


def test_what_others_have_on_its_way_is_no_part_of_ones_own_history() -> None:
    """A grant is in the history while the report that made room for it is still on its way."""
    with running("correct") as url:
        session = session_on(url)
        run, client = session.run_state, session.client
        iut = Iut(run, "a check", 0, "LOCK-LINEARIZABLE", NO_LIMIT)
        own, other = iut.completed_job()[0].session, iut.new_session()
        for job in ("A", "B"):
            now = time.monotonic_ns()
            client.history.append(
                Operation(other, "c", OperationKind.PUBLISH, job, None, now, now, Outcome.GRANTED)
            )
        client.close()
    assert run.judge_history([own]).verdict == "linearizable"
    assert run.judge_history().verdict == "violation"


def test_a_check_that_goes_on_for_too_long_is_given_up() -> None:
    with running("correct") as url:
        session = session_on(url)
        long_ago = time.monotonic() - 3600
        iut = Iut(session.run_state, "a check", 0, "HEALTH-OK", Budget(*[long_ago] * 3))
        with pytest.raises(Unobservable, match="a longer --profile"):
            iut.health()
        session.client.close()


def test_a_pair_whose_nonce_is_written_as_digits_is_shown_again() -> None:
    """The replay needs a fresh session of the same shape; the old one is busy by now."""
    pair = next(p for p in CONFUSABLE_PAIRS.values() if p.second.before == "0")
    assert pair.first.nonce_as == "digits"

    def body(iut: Iut) -> None:
        for session in iut.named(pair.first, pair.second):
            iut.must_grant(session)

    with running("session-number-normalised") as url:
        session = session_on(url)
        iut = Iut(session.run_state, "a check", 0, "LOCK-PER-SESSION", NO_LIMIT)
        with pytest.raises(Violation) as found:
            body(iut)
        confirmed = confirm(found.value, iut, seconds=5.0)
        session.client.close()
    assert confirmed.replayed == (1, 1)


def test_while_one_thread_is_alone_nobody_else_sends() -> None:
    places, order = Places(), []
    entered = threading.Event()

    def other() -> None:
        entered.set()
        with places.taken():
            order.append("the other came")

    thread = threading.Thread(target=other)
    with places.alone(5.0) as is_quiet:
        assert is_quiet
        thread.start()
        assert entered.wait(5)
        with places.taken():
            order.append("the one alone came")
    thread.join(5)
    assert order == ["the one alone came", "the other came"]


def test_who_is_alone_may_ask_for_it_again() -> None:
    places = Places()
    with places.alone(0.05), places.alone(0.05) as is_quiet:
        assert is_quiet
    assert _is_alone(places)


def test_who_wants_to_be_alone_does_not_wait_for_a_server_that_hangs() -> None:
    places = Places()
    with places.taken():
        waiting = threading.Thread(target=lambda: quiet.append(_is_alone(places)))
        quiet: list[bool] = []
        waiting.start()
        waiting.join(5)
        assert quiet == [False]
    assert _is_alone(places)


def _is_alone(places: Places) -> bool:
    with places.alone(0.05) as is_quiet:
        return is_quiet


def test_a_race_that_runs_out_of_time_is_in_the_history_as_a_whole() -> None:
    with running("correct") as url:
        session = session_on(url)
        long_ago = time.monotonic() - 3600
        iut = Iut(session.run_state, "a check", 0, "LOCK-RACE", Budget(*[long_ago] * 3))
        name = iut.new_session()
        racer = Racer(Call.PUBLISH, publish_request(iut.form(name)), session=name)
        with pytest.raises(Unobservable, match="a longer --profile"):
            iut.race([racer] * 3, RaceLog("a race"))
        outcomes = [op.outcome for op in session.client.history if op.session == name]
        session.client.close()
    assert sorted(outcomes) == sorted([Outcome.GRANTED, Outcome.BUSY, Outcome.BUSY])
