"""The documented failures of POST /publish, provoked by the faults that the target file declares.

Each fault is injected, observed and healed by one check at a time: faults concern the whole
server, so they run after everything else.
"""

from onejob_contract.checks import Cost, proves
from onejob_contract.documented import Answer
from onejob_contract.faults import injected
from onejob_contract.findings import Unobservable
from onejob_contract.iut import Iut

DOCUMENTED = {
    "job_dir": Answer.JOB_DIR_FAILED,
    "save_files": Answer.SAVE_FAILED,
    "database": Answer.DATABASE_FAILED,
    "broker": Answer.PUBLISH_FAILED,
}
FAILURES = frozenset(DOCUMENTED.values())


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
    for fault in iut.run.target.faults.values():
        older = iut.active_job()
        done, url = iut.completed_job()
        refused = iut.new_session()
        with injected(fault, iut.run.client):
            seen = iut.publish(refused)
            for answered in (seen, iut.status(older), iut.publish(older.session), iut.status(done)):
                iut.must_be_answered(answered, "FAULT-NO-HANG")
        iut.requirement = "FAULT-RECOVERY"
        if seen.answer is not Answer.GRANTED:
            iut.complete(iut.must_grant(refused))
        iut.requirement = "FAULT-JOBS-SURVIVE"
        iut.must_hold(older)
        iut.must_read(done, url)
        iut.must_read(older, iut.complete(older))
        iut.complete(iut.must_grant(older.session))


@proves("FAULT-HISTORY", cost=Cost.LAST, needs=("fault:any",))
def test_the_history_with_its_faults_fits_one_order(iut: Iut) -> None:
    """Whatever is answered while something is broken must agree with what is answered later."""
    for fault in iut.run.target.faults.values():
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


def _fails_as_documented(iut: Iut, name: str) -> None:
    with injected(iut.run.target.faults[name], iut.run.client):
        for _ in range(3):
            seen = iut.publish(iut.new_session())
            if seen.answer is Answer.GRANTED:
                job = seen.step.granted_job or ""
                iut.status(job).must_be(Answer.PROCESSING, Answer.COMPLETED)
                raise Unobservable(f"the fault {name} does not show: a publish was granted")
            seen.must_be(DOCUMENTED[name])
