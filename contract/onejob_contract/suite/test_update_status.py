"""POST /update_status: the worker's report."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace

from onejob_contract.checks import Cost, proves
from onejob_contract.client import in_lower_case, status_request, update_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import Violation
from onejob_contract.iut import REPEATED, Iut, Seen
from onejob_contract.wire import Request

JSON = (("Content-Type", "application/json"),)


@proves("UPDATE-OK", needs=("update_status",))
def test_reporting_an_active_job_is_answered_updated(iut: Iut) -> None:
    """The first report of a job, in every way in which JSON can be written."""
    writings: tuple[Callable[[dict[str, str]], str], ...] = (
        json.dumps,
        lambda body: json.dumps(body, indent=4),
        lambda body: json.dumps(dict(reversed(body.items()))),
        lambda body: json.dumps(body, separators=(",", ":")),
        lambda body: json.dumps(body).replace("/", "\\u002f"),
        lambda body: json.dumps(body).replace("/", "\\/"),
        lambda body: _escaped(json.dumps(body), *body.values()),
        lambda body: _escaped(json.dumps(body), *body),
    )
    for write in writings:
        job = iut.active_job()
        url = iut.new_url()
        body = write({"jobId": job.id, "resultUrl": url}).encode()
        iut.report(job, url, Request("POST", "/update_status", JSON, body)).must_be(Answer.UPDATED)
        iut.must_read(job, url)
    job, url = iut.active_job(), iut.new_url()
    headers = (("Content-Type", "application/json; charset=utf-8"),)
    body = json.dumps({"jobId": job.id, "resultUrl": url}, ensure_ascii=False).encode()
    iut.report(job, url, Request("POST", "/update_status", headers, body)).must_be(Answer.UPDATED)
    job, url = iut.active_job(), iut.new_url()
    request = in_lower_case(update_request(job.id, url))
    iut.report(job, url, request).must_be(Answer.UPDATED)


@proves("UPDATE-MISSING-FIELDS", needs=("update_status",))
def test_a_report_without_a_member_is_told_so(iut: Iut) -> None:
    """No URL, no id, nothing at all; for active, completed and unknown jobs."""
    active = iut.active_job()
    done, _ = iut.completed_job()
    for body in ({}, {"resultUrl": iut.new_url()}, {"jobId": active.id}, {"jobId": done.id}):
        _send(iut, body).must_be(Answer.MISSING_FIELD)
    unknown = {"jobId": f"no-such-job-{iut.nonce()}"}
    _send(iut, unknown).must_be(Answer.MISSING_FIELD, Answer.UNKNOWN_JOB)


@proves("UPDATE-NOT-FOUND", needs=("update_status",))
def test_a_report_of_an_unknown_job_is_told_so(iut: Iut) -> None:
    """Ids of many shapes; a repeated report of the same unknown job too.

    JSON may escape what is beyond ASCII, as Python does, or not, as JavaScript does.
    """
    job = iut.active_job()
    for id_ in (
        f"no-such-job-{iut.nonce()}",
        str(uuid.UUID(int=iut.random.getrandbits(128), version=4)),
        f"ünknown-{iut.nonce()}-😀",
        f"{job.id}-{iut.nonce()}",
        f"{iut.nonce()}{job.id}",
        *iut.unless_job(job.session),
        *iut.shortened(job),
        f"%{iut.nonce()}%",
        *iut.unless_job(f"{job.id[:-1]}%"),
        "0" * 40 + iut.nonce(),
    ):
        for _ in range(2):
            iut.update(id_, iut.new_url()).must_be(Answer.UNKNOWN_JOB)
        iut.status(id_).is_arranged(Answer.NOT_FOUND)
    id_, url = f"ünknown-{iut.nonce()}-😀", iut.new_url()
    unescaped = update_request(id_, url, escaped=False)
    iut.report(id_, url, unescaped).must_be(Answer.UNKNOWN_JOB)
    done = (Answer.COMPLETED,) if iut.run.has_worker else ()
    iut.status(job).is_arranged(Answer.PROCESSING, *done)


@proves("UPDATE-TAKES-EFFECT", needs=("update_status",), cost=Cost.VOLUME)
def test_a_completion_has_taken_effect_when_it_is_answered(iut: Iut) -> None:
    """Status, or the next publish, follows the answer at once; many times, in turn."""
    session = iut.new_session()
    for number in iut.rounds(40, 300, 4000):
        job = iut.active_job(session)
        if number % 4 < 2:
            iut.status(job).is_arranged(Answer.PROCESSING)
        url = iut.complete(job)
        if number % 2:
            iut.must_read(job, url)
        else:
            iut.complete(iut.must_grant(session))


@proves("UPDATE-TAKES-EFFECT", "STATUS-PER-JOB", needs=("update_status",))
def test_several_jobs_may_have_one_result(iut: Iut) -> None:
    """The same URL for jobs of one session and of others: each is completed with it, and keeps it.

    Also when one of them is reported again, with another.
    """
    url = iut.new_url()
    first, *others = jobs = [iut.active_job() for _ in range(3)]
    for job in jobs:
        iut.complete(job, url)
        iut.must_read(job, url)
    again = iut.must_grant(first.session)
    iut.complete(again, url)
    iut.must_read(again, url)
    iut.update(first, iut.new_url()).is_arranged(*REPEATED)
    iut.requirement = "STATUS-PER-JOB"
    for job in (*others, again):
        iut.must_read(job, url)


@proves("UPDATE-TAKES-EFFECT", needs=("update_status",))
def test_who_knows_an_older_status_is_told_the_newer(iut: Iut) -> None:
    """A poll that names the ETag of the answer before the completion, where there was one."""
    job = iut.active_job()
    before = iut.status(job).is_arranged(Answer.PROCESSING, Answer.COMPLETED)
    response = before.step.exchange.response
    tag = response.header("ETag") if response else None
    if before.answer is Answer.PROCESSING and tag is not None:
        iut.complete(job)
        request = replace(status_request(job.id), headers=(("If-None-Match", tag),))
        iut.documented(Call.STATUS, request).must_be(Answer.COMPLETED)


@proves("UPDATE-TAKES-EFFECT", needs=("update_status",))
def test_who_keeps_a_connection_is_told_what_came_over_another(iut: Iut) -> None:
    """Somebody polls, or is refused, on one connection again and again, with nothing between.

    The report of the job comes by another connection.
    """
    polled, wanted = iut.active_job(), iut.active_job()
    with iut.run.client.another() as poller, iut.run.client.another() as publisher:
        for _ in range(2):
            with poller():
                iut.status(polled).is_arranged(Answer.PROCESSING)
            with publisher():
                iut.publish(wanted.session).is_arranged(Answer.BUSY)
        url = iut.complete(polled)
        iut.complete(wanted)
        try:
            with poller():
                iut.must_read(polled, url)
            with publisher():
                iut.complete(iut.must_grant(wanted.session))
        except Violation as violation:
            violation.replayable = False
            violation.note = "asked before on this connection, too; the report came by another"
            raise


@proves("UPDATE-RELEASES-LOCK")
def test_completing_a_job_frees_its_session(iut: Iut) -> None:
    """Also after refused publishes, polls and failed reports while it was active."""
    for disturbed in (False, True):
        for _ in iut.rounds(4, 15, 80):
            job = iut.active_job()
            if disturbed:
                iut.publish(job.session).is_arranged(Answer.BUSY)
                iut.publish_parts(job.session, iut.parts(job.session)[:2])
                iut.status(job).is_arranged(Answer.PROCESSING)
                _send(iut, {"jobId": job.id})
            iut.complete(job)
            iut.complete(iut.must_grant(job.session))


@proves("UPDATE-REPEATED", needs=("update_status",))
def test_a_repeated_report_breaks_nothing(iut: Iut) -> None:
    """Reported five times with one URL, and once with another: documented, and completed."""
    for _ in iut.rounds(3, 10, 60):
        job, url = iut.completed_job()
        for _ in range(4):
            iut.update(job, url).must_be(*REPEATED)
            iut.must_read(job, url)
        other = iut.new_url()
        iut.update(job, other).must_be(*REPEATED)
        read = iut.status(job).must_be(Answer.COMPLETED).reading.member("image_url")
        iut.must_read(job, read if read in (url, other) else url)
        iut.must_grant(job.session)


def _send(iut: Iut, body: dict[str, str]) -> Seen:
    request = Request("POST", "/update_status", JSON, json.dumps(body).encode())
    return iut.documented(Call.UPDATE, request)


def _escaped(written: str, *texts: str) -> str:
    """JSON in which every letter of these texts is escaped, those beyond 16 bits as two halves."""
    for text in texts:
        halves = text.encode("utf-16-be").hex(" ", 2).split()
        written = written.replace(json.dumps(text)[1:-1], "".join(f"\\u{half}" for half in halves))
    return written
