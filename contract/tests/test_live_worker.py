"""Jobs that the server's own worker completes: late behind the crowd of a run is not lost."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from onejob_contract.checks import Cost, Proof
from onejob_contract.client import publish_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import Unobservable
from onejob_contract.iut import Iut, Racer
from onejob_contract.races import RaceLog
from onejob_contract.scheduler import Scheduler, Task
from onejob_contract.session import Options, Session
from onejob_contract.shares import Budget
from onejob_contract.steps import Step
from onejob_contract.target import Target, WorkerMode
from onejob_contract.verdict import CheckResult, Ending
from onejob_contract.wire import Origin
from onejob_fixtures.forms import MALFORMED
from onejob_fixtures.servers import running


def last_of_a_crowd(server: str, crowd: int, job_timeout_s: float) -> CheckResult:
    """Publish a crowd of jobs, and judge that the last one is completed in time."""

    def check(iut: Iut) -> None:
        jobs = [iut.active_job() for _ in range(crowd)]
        iut.must_complete_by_itself(jobs[-1])

    with running(server) as url:
        target = Target(Origin.parse(url), worker=WorkerMode.LIVE, job_timeout_s=job_timeout_s)
        session = Session(target, Options(profile="quick", seed=1))
        session.prepare()
        task = Task("crowd", 1, Proof(("WORKER-COMPLETES",), Cost.WORKER, ()), check)
        result = Scheduler(session.run_state).run_one(task)
        session.client.close()
    return result


def watched(url: str) -> Session:
    """A session that looked at a server, whose own worker may be at work or not."""
    session = Session(Target(Origin.parse(url)), Options(profile="quick", seed=1))
    session.prepare()
    return session


def test_a_form_that_was_taken_for_another_session_is_no_active_job_of_this_one() -> None:
    with running("worker-and-last-of-two-sessions") as url:
        session = watched(url)
        iut = Iut(session.run_state, "a check", 0, "PUBLISH-BUSY", Budget(math.inf, math.inf))
        job = iut.active_job()
        iut.must_complete_by_itself(job)
        form = MALFORMED["two_session_ids"].spoil(iut.parts(job.session))
        assert iut.outside(publish_request(form), job.session).answer is Answer.GRANTED
        with pytest.raises(Unobservable, match="own worker"):
            iut.publish(job.session).must_be(Answer.BUSY)
        session.client.close()


def test_the_url_of_a_worker_that_was_not_seen_so_far_accuses_nobody() -> None:
    with running("worker-at-once") as url:
        session = watched(url)
        run = session.run_state
        run.surroundings = replace(run.surroundings, live_worker=False)
        iut = Iut(run, "a check", 0, "STATUS-RESULT-URL", Budget(math.inf, math.inf))
        with pytest.raises(Unobservable, match="own worker"):
            iut.must_read(iut.active_job(), iut.new_url())
        assert run.has_worker
        session.client.close()


def races_of_three(iut: Iut) -> Iterator[list[Step]]:
    """Races of three publishes, each on a new session; a job may end before the next is granted."""
    for _ in range(100):
        name = iut.new_session()
        racer = Racer(Call.PUBLISH, publish_request(iut.form(name)), session=name)
        yield iut.race([racer] * 3, RaceLog("a race"))


def test_a_grant_of_a_race_is_judged_by_the_other_jobs_of_its_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker ended the jobs on either side of it; it is active itself, as it may be."""
    with running("worker-at-once") as url:
        session = watched(url)
        iut = Iut(session.run_state, "a check", 0, "LOCK-RACE", Budget(math.inf, math.inf))
        middle = next(
            steps[1] for steps in races_of_three(iut) if all(s.granted_job for s in steps)
        )

        def is_active_itself(job: str) -> Step:
            step = iut.status(job).step
            active = replace(step.reading, answer=Answer.PROCESSING)
            return replace(step, reading=active) if job == middle.granted_job else step

        monkeypatch.setattr(iut._judging, "_status", is_active_itself)
        with pytest.raises(Unobservable, match="own worker"):
            iut.judge_racer(middle, frozenset({Answer.BUSY}), None)
        session.client.close()


def test_the_url_of_a_worker_stays_its_own_when_the_kit_reports_it_again() -> None:
    with running("worker-at-once") as url:
        session = watched(url)
        iut = Iut(session.run_state, "a check", 0, "UPDATE-REPEATED", Budget(math.inf, math.inf))
        job = iut.active_job()
        result = iut.status(job).reading.member("image_url")
        assert session.run_state.is_foreign(result)
        iut.update(job, result)
        assert session.run_state.is_foreign(result)
        mine = iut.new_url()
        iut.update(job, mine)
        assert not session.run_state.is_foreign(mine)
        session.client.close()


def test_a_job_that_was_late_because_of_the_crowd_accuses_nobody() -> None:
    # 20 ms a job: the last of 20 is late at 0.3 s, and done while a newer one is waited for.
    ended = last_of_a_crowd("worker-with-a-queue", 20, 0.3)

    assert ended.ending in (Ending.UNOBSERVABLE, Ending.PASSED), ended.reason


def test_a_job_that_is_lost_while_newer_ones_are_done_is_a_violation() -> None:
    ended = last_of_a_crowd("worker-loses-every-fifth-job", 3, 2.0)

    assert ended.ending is Ending.VIOLATED, "two jobs of the preflight were the first of five"


@pytest.mark.parametrize("taken", ["the first", "the second"])
def test_what_a_worker_does_to_every_second_job_is_not_laid_to_an_event(taken: str) -> None:
    """Two jobs a round, one treated and one left alone: the worker may always take the same one."""
    with running("worker-for-every-second-job") as url:
        session = watched(url)
        iut = Iut(
            session.run_state, "a check", 0, "LOCK-HELD-OVER-POLLS", Budget(math.inf, math.inf)
        )
        job = iut.active_job()
        while iut.status(job).answer is not Answer.COMPLETED:  # the worker takes every second one
            job = iut.active_job()
        if taken == "the first":
            iut.active_job()
        with pytest.raises(Unobservable, match="own worker"):
            iut.must_survive(iut.status, job)
        session.client.close()
