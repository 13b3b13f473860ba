"""The server's own worker, where there is one: every accepted job ends."""

from onejob_contract.checks import Cost, proves
from onejob_contract.documented import Answer
from onejob_contract.findings import NotApplicable, Unobservable
from onejob_contract.iut import Iut


@proves("WORKER-COMPLETES", cost=Cost.WORKER)
def test_the_worker_completes_every_job(iut: Iut) -> None:
    """Several jobs at once are each completed within the stated time, and free their sessions.

    A second job is waited for in one session only: by then a worker may have a long queue.
    """
    first, *others = jobs = [iut.active_job() for _ in range(11)]
    if not iut.sees_worker(jobs[:2], iut.run.hold_s - iut.run.elapsed):
        raise NotApplicable("no live worker was seen")
    iut.must_complete_by_itself(first)
    again = iut.must_grant(first.session)
    for job in others:
        iut.must_complete_by_itself(job)
        iut.must_grant(job.session)
    iut.must_complete_by_itself(again)


@proves("PUBLISH-UPLOAD-ROOT", needs=("upload_root",))
def test_uploads_are_stored_under_the_upload_root(iut: Iut) -> None:
    """While a job is active, its folder under the declared root holds two files."""
    root = iut.run.target.upload_root
    assert root is not None
    job = iut.active_job()
    folder = root / job.id
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if iut.status(job).answer is not Answer.PROCESSING:
        raise Unobservable("the job was finished before its folder could be seen", again=True)
    iut.must_be_true(
        len(names) >= 2, f"two files under {folder}", f"{names}" if names else "no such folder"
    )
