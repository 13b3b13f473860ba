"""The documented failures of POST /publish, provoked by the faults that the target file declares.

Each fault is injected, observed and healed by one check at a time: faults concern the whole
server, so they run after everything else.
"""

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from onejob_contract.checks import Cost, proves
from onejob_contract.documented import FAILURES, Answer
from onejob_contract.faults import injected
from onejob_contract.findings import NotApplicable, Unobservable
from onejob_contract.iut import Iut, Job, Seen
from onejob_contract.target import Fault
from onejob_contract.wire import Trouble

DOCUMENTED = {
    "job_dir": Answer.JOB_DIR_FAILED,
    "save_files": Answer.SAVE_FAILED,
    "database": Answer.DATABASE_FAILED,
    "broker": Answer.PUBLISH_FAILED,
}
_BROKEN = {
    "job_dir": "PUBLISH-JOB-DIR-FAILURE",
    "save_files": "PUBLISH-SAVE-FAILURE",
    "database": "PUBLISH-DATABASE-FAILURE",
    "broker": "PUBLISH-BROKER-FAILURE",
}
_BEFORE_THE_JOB = ("job_dir", "save_files", "broker")
"""Faults that leave alone what a status is read from."""

_TRIES = 3
_WORKER_S = 2.0
_CLIENTS = 6
_SESSIONS = 3
_PUBLISHES = 30
_MOST_PUBLISHES = 300
_PAUSE_S = 0.01


@proves("PUBLISH-JOB-DIR-FAILURE", cost=Cost.LAST, needs=("fault:job_dir",))
def test_a_job_directory_that_cannot_be_created_is_told(iut: Iut) -> None:
    """Publishes on new sessions while the fault lasts."""
    _fails_as_documented(iut, "job_dir")


@proves("PUBLISH-SAVE-FAILURE", cost=Cost.LAST, needs=("fault:save_files",))
def test_files_that_cannot_be_saved_are_told(iut: Iut) -> None:
    """Publishes on new sessions while the fault lasts."""
    _fails_as_documented(iut, "save_files")


@proves("PUBLISH-DATABASE-FAILURE", cost=Cost.LAST, needs=("fault:database",))
def test_a_database_failure_is_told(iut: Iut) -> None:
    """Publishes on new sessions while the fault lasts."""
    _fails_as_documented(iut, "database")


@proves("PUBLISH-BROKER-FAILURE", cost=Cost.LAST, needs=("fault:broker",))
def test_a_job_that_cannot_be_handed_over_is_told(iut: Iut) -> None:
    """Publishes on new sessions while the fault lasts."""
    _fails_as_documented(iut, "broker")


@proves(
    "FAULT-NO-HANG",
    "FAULT-RECOVERY",
    "FAULT-JOBS-SURVIVE",
    cost=Cost.LAST,
    needs=("fault:any",),
)
def test_everything_works_again_after_each_fault(iut: Iut) -> None:
    """Sessions refused while broken are free when healed; older jobs keep their status and end."""
    if iut.run.may_have_worker:
        iut.sees_worker([iut.active_job()], _WORKER_S)
    for fault in iut.run.target.faults.values():
        iut.trace.clear()
        older = iut.active_job()
        done, url = iut.completed_job()
        refused = iut.new_session()
        with injected(fault, iut.run.client):
            seen = iut.publish(refused)
            _answered_in_time(iut, fault, seen)
            if seen.step.exchange.response is not None:
                iut.requirement = _BROKEN.get(fault.name, "PUBLISH-ACCEPTED")
                seen.must_be(Answer.GRANTED, *FAILURES)
            for job in (older, done):
                polled = iut.status(job)
                _answered_in_time(iut, fault, polled)
                if fault.name in _BEFORE_THE_JOB:
                    polled.is_arranged(Answer.PROCESSING, Answer.COMPLETED)
            _answered_in_time(iut, fault, again := iut.publish(older.session))
            _answered_in_time(iut, fault, health := iut.health())
            if health.step.exchange.response is not None:
                health.is_arranged(Answer.HEALTHY)
        iut.requirement = "FAULT-RECOVERY"
        if seen.answer is not Answer.GRANTED:
            iut.complete(iut.must_grant(refused))
        iut.requirement = "FAULT-JOBS-SURVIVE"
        iut.must_read(done, url)
        if again.step.granted_job is not None:
            iut.status(older).must_be(Answer.COMPLETED)
            iut.complete(Job(again.step.granted_job, older.session))
        elif iut.run.has_worker:
            iut.must_complete_by_itself(older)
        else:
            iut.must_hold(older)
            iut.must_read(older, iut.complete(older))
        iut.complete(iut.must_grant(older.session))


@proves("FAULT-JOBS-SURVIVE", cost=Cost.LAST, needs=("fault:any",))
def test_jobs_wait_for_a_stopped_worker(iut: Iut) -> None:
    """Accepted while it is stopped, they hold their sessions, and complete when it is back."""
    fault = iut.run.target.faults.get("worker_stop")
    if fault is None or not iut.run.may_have_worker:
        raise NotApplicable("there is no worker that this run can stop")
    if not iut.sees_worker([iut.active_job()], _WORKER_S):
        raise NotApplicable("no live worker was seen, so there is none to stop")
    with injected(fault, iut.run.client) as said:
        jobs = [iut.active_job() for _ in range(3)]
        for job in jobs:
            if iut.status(job).answer is Answer.COMPLETED:
                raise Unobservable(_does_not_show("worker_stop", "a job was completed", said))
            iut.must_hold(job)
    for job in jobs:
        iut.must_complete_by_itself(job)


@proves("FAULT-HISTORY", cost=Cost.LAST, needs=("fault:any",))
def test_the_history_with_its_faults_fits_one_order(iut: Iut) -> None:
    """Whatever is answered while something is broken must agree with what is answered later."""
    for fault in iut.run.target.faults.values():
        iut.trace.clear()
        held, reported = iut.active_job(), iut.active_job()
        free = iut.new_session()
        with injected(fault, iut.run.client):
            if iut.run.surroundings.update_status:
                iut.update(reported, iut.new_url())
            for session in (held.session, reported.session, free):
                iut.publish(session)
            for job in (held, reported):
                iut.status(job)
        for job in (held, reported):
            iut.status(job)
            iut.publish(job.session)
        iut.publish(free)
    iut.must_fit_one_order("FAULT-HISTORY")


@proves("FAULT-HISTORY", cost=Cost.LAST, needs=("fault:any",))
def test_faults_among_busy_clients_fit_one_order(iut: Iut) -> None:
    """Six clients share three sessions while each fault comes and goes."""
    for fault in iut.run.target.faults.values():
        _amid_clients(iut, fault)
    iut.must_fit_one_order("FAULT-HISTORY")


def _amid_clients(iut: Iut, fault: Fault) -> None:
    sessions = [iut.new_session() for _ in range(_SESSIONS)]
    over = threading.Event()
    published: queue.SimpleQueue[None] = queue.SimpleQueue()

    def client(number: int) -> None:
        for turn in range(number, number + _MOST_PUBLISHES):
            if over.is_set() or iut.run.stop.is_set():
                return
            seen = iut.publish(sessions[turn % _SESSIONS])
            published.put(None)
            job = seen.step.granted_job
            if job is not None:
                iut.status(job)
                if iut.run.surroundings.update_status:
                    iut.update(job, iut.new_url())
            elif seen.answer is not Answer.BUSY:
                over.wait(_PAUSE_S)

    def some_more() -> None:
        deadline = time.monotonic() + fault.timeout_s
        with suppress(queue.Empty):
            for _ in range(_PUBLISHES):
                published.get(timeout=max(0.0, deadline - time.monotonic()))

    with ThreadPoolExecutor(_CLIENTS) as pool:
        clients = [pool.submit(client, number) for number in range(_CLIENTS)]
        try:
            some_more()
            with injected(fault, iut.run.client):
                some_more()
            some_more()
        finally:
            over.set()
    for ended in clients:
        ended.result()


def _answered_in_time(iut: Iut, fault: Fault, seen: Seen) -> None:
    """Judge: no hang. A server that is being restarted may refuse and cut connections."""
    if fault.name != "server_restart" or seen.step.exchange.trouble is Trouble.TIMED_OUT:
        iut.must_be_answered(seen, "FAULT-NO-HANG")


def _fails_as_documented(iut: Iut, name: str) -> None:
    granted = 0
    with injected(iut.run.target.faults[name], iut.run.client) as said:
        for _ in range(_TRIES):
            seen = iut.publish(iut.new_session())
            if seen.answer is Answer.GRANTED:
                job = seen.step.granted_job or ""
                iut.status(job).must_be(Answer.PROCESSING, Answer.COMPLETED)
                granted += 1
            elif seen.answer in FAILURES - {DOCUMENTED[name]}:
                raise Unobservable(
                    f"the fault {name} shows as another documented failure, "
                    f"{seen.reading.actual}: does its inject break more than its name says?"
                )
            else:
                seen.must_be(DOCUMENTED[name])
    if granted == _TRIES:
        raise Unobservable(_does_not_show(name, f"{granted} publishes were granted", said))


def _does_not_show(name: str, instead: str, said: str) -> str:
    return f"the fault {name} does not show: {instead}; inject said: {said or 'nothing'}"
