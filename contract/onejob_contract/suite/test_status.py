"""GET /status/{jobId}."""

import json
import uuid

from onejob_contract.checks import Cost, proves
from onejob_contract.client import status_request, update_request
from onejob_contract.documented import Answer
from onejob_contract.findings import NotApplicable
from onejob_contract.iut import Iut, Job, Seen
from onejob_contract.run import SHARE_FOR_CLEANING
from onejob_contract.wire import Request
from onejob_fixtures.names import RESULT_IRIS, RESULT_URLS


@proves("STATUS-PROCESSING")
def test_an_active_job_is_processing(iut: Iut) -> None:
    """From the moment of its grant, and however often it is asked."""
    for _ in iut.rounds(5, 20, 100):
        job = iut.active_job()
        for _ in range(3):
            iut.status(job).must_be(Answer.PROCESSING)


@proves("STATUS-COMPLETED")
def test_a_completed_job_shows_its_result(iut: Iut) -> None:
    """After completion the status is completed and carries an image_url."""
    for _ in iut.rounds(5, 20, 100):
        job, _ = iut.completed_job()
        for _ in range(2):
            iut.status(job).must_be(Answer.COMPLETED)


@proves("STATUS-RESULT-URL", needs=("update_status",))
def test_the_result_url_comes_back_unchanged(iut: Iut) -> None:
    """Queries, fragments, escapes, upper case, 2,000 characters: opaque, every one."""

    def comes_back(url: str) -> None:
        job = iut.active_job()
        iut.complete(job, url)
        iut.must_read(job, url)

    iut.each(RESULT_URLS.values(), comes_back)


@proves("STATUS-RESULT-URL", needs=("update_status",))
def test_a_url_beyond_ascii_comes_back_unchanged_if_it_is_taken(iut: Iut) -> None:
    """RFC 3986 wants such characters escaped, so a report with them may be refused.

    JSON may escape them, too, as Python does, or not, as JavaScript does.
    """
    for url in RESULT_IRIS.values():
        for escaped in (True, False):
            job = iut.active_job()
            request = update_request(job.id, url, escaped=escaped)
            if iut.report(job, url, request).answer is Answer.UPDATED:
                iut.must_read(job, url)


@proves("STATUS-RESULT-URL", needs=("update_status",))
def test_a_text_that_is_no_url_still_makes_a_documented_answer_if_it_is_taken(iut: Iut) -> None:
    """Quotes, backslashes and line ends have to be escaped in JSON, whatever was reported."""
    for tail in ('"quoted".png', "a\\b.png", "a\nb\t.png", "<b>&amp;.png"):
        job, url = iut.active_job(), f"{iut.new_url()}?{tail}"
        if iut.update(job, url).answer is Answer.UPDATED:
            iut.status(job).must_be(Answer.COMPLETED)


@proves("STATUS-RESULT-URL", needs=("update_status",))
def test_a_report_without_a_text_never_makes_an_undocumented_answer(iut: Iut) -> None:
    """Whoever takes nothing for a URL must still show one; a number or a list may come back."""
    values: tuple[object, ...] = (None, {}, 17, ["https://results.example.com/1.png"])
    for value in values:
        job = iut.active_job()
        body = json.dumps({"jobId": job.id, "resultUrl": value}).encode()
        headers = (("Content-Type", "application/json"),)
        iut.outside(Request("POST", "/update_status", headers, body), job.session)
        if value:
            iut.outside(status_request(job.id)).must_be_harmless()
        else:
            iut.status(job).must_be(Answer.PROCESSING, Answer.COMPLETED)


@proves("STATUS-RESULT-URL", needs=("update_status",), cost=Cost.VOLUME)
def test_random_result_urls_come_back_unchanged(iut: Iut) -> None:
    """Random paths, queries and fragments of every length; a session has several in turn."""
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    extra = (
        "%20",
        "%2F",
        "%C3%A9",
        "+",
        "&",
        "=",
        ";",
        ",",
        "@",
        ":",
        "!",
        "$",
        "'",
        "(",
        ")",
        "*",
        "/",
        "%25",
        "%00",
    )
    session = iut.new_session()
    for number in iut.rounds(30, 200, 2000):
        budget = iut.random.choice((20, 80, 250, 260, 500, 1000, 1030, 1900))
        pieces = []
        while budget > 0:
            piece = (
                iut.random.choice(extra) if iut.random.random() < 0.2 else iut.random.choice(safe)
            )
            pieces.append(piece)
            budget -= len(piece)
        tail = "".join(pieces)
        shape = number % 4
        middle = ("/", "/?q=", "/a#", "/p?x=1&y=")[shape]
        session = session if number % 5 else iut.new_session()
        url = f"{iut.random.choice(('http', 'https'))}://results.example.com{middle}{iut.nonce()}{tail}"
        job = iut.active_job(session)
        iut.complete(job, url[:2000])
        iut.must_read(job, url[:2000])


@proves("STATUS-NOT-FOUND")
def test_a_job_that_does_not_exist_is_not_found(iut: Iut) -> None:
    """Ids of many shapes, and ids that only resemble one that exists.

    None has a slash: most routers take one for the end of the id, also where it is escaped.
    """
    job = iut.active_job()
    done, _ = iut.completed_job() if iut.run.surroundings.update_status else (job, "")
    unknown = [
        f"no-such-job-{iut.nonce()}",
        str(uuid.UUID(int=iut.random.getrandbits(128), version=4)),
        iut.nonce() * 4,
        f"{iut.nonce()} with spaces & signs?",
        f"ünknown-{iut.nonce()}-😀",
        f"{job.id}-{iut.nonce()}",
        f"{done.id}-{iut.nonce()}",
        f"{iut.nonce()}{job.id}",
        *iut.unless_job(job.session),
        *iut.unless_job("constructor"),
        *iut.unless_job("__proto__"),
        *iut.shortened(job),
        f"' OR '1'='1' --{iut.nonce()}",
        f"%{iut.nonce()}%",
        *iut.unless_job(f"{job.id[:-1]}%"),
    ]
    for id_ in unknown:
        iut.status(id_).must_be(Answer.NOT_FOUND)
    for id_ in unknown[:3]:
        iut.status(id_).must_be(Answer.NOT_FOUND)


@proves("STATUS-NOT-FOUND")
def test_a_refused_publish_leaves_no_job_behind(iut: Iut) -> None:
    """Neither the session id nor the id of the active job plus anything names a job."""
    job = iut.active_job()
    iut.publish(job.session).is_arranged(Answer.BUSY)
    for session in iut.unless_job(job.session):
        iut.status(session).must_be(Answer.NOT_FOUND)


@proves("STATUS-STABLE")
def test_a_completed_job_stays_completed(iut: Iut) -> None:
    """Its URL is the same after many reads, after later jobs, refusals and failed updates."""
    first, url = iut.completed_job()
    for _ in range(5):
        iut.must_read(first, url)
    for _ in iut.rounds(5, 25, 200):
        for count in (2, 1):
            incomplete = iut.parts(first.session)[:count]
            iut.publish_parts(first.session, incomplete).is_arranged(Answer.MISSING_IMAGE)
        iut.must_read(first, url)
        if _report_nothing(iut, first).answer is Answer.MISSING_FIELD:
            iut.must_read(first, url)
        job = iut.active_job(first.session)
        iut.must_read(first, url)
        iut.publish(first.session).is_arranged(Answer.BUSY)
        iut.publish_parts(first.session, iut.parts(first.session)[:2])
        iut.must_read(first, url)
        _fail_to_update(iut, job)
        iut.must_read(first, url)
        iut.complete(job)
        iut.must_read(first, url)


@proves("STATUS-STABLE", cost=Cost.VOLUME)
def test_old_jobs_are_remembered(iut: Iut) -> None:
    """Every tenth of many jobs, most of one session, still shows its own URL at the end."""
    kept: list[tuple[Job, str]] = []
    busy = iut.new_session()
    for number in iut.rounds(60, 700, 6000):
        job, url = iut.completed_job(iut.new_session() if number % 4 == 1 else busy)
        if number % 10 == 0:
            kept.append((job, url))
    for job, url in kept:
        iut.must_read(job, url)


@proves("STATUS-STABLE", cost=Cost.LAST)
def test_results_outlive_the_last_active_job(iut: Iut) -> None:
    """When no job of this run is active any more, and once again, older results are still read."""
    if not iut.run.surroundings.update_status:
        raise NotApplicable("nobody can complete all jobs")
    iut.expects_an_answer()
    results = [iut.completed_job()]
    iut.run.complete_unfinished(iut.run.profile.seconds * SHARE_FOR_CLEANING)
    for _ in range(2):
        results.append(iut.completed_job())
        iut.each(results, lambda result: iut.must_read(*result))


@proves("STATUS-PER-JOB")
def test_the_status_belongs_to_the_job(iut: Iut) -> None:
    """Two jobs of one session and one of another, each in its own state."""
    for _ in iut.rounds(3, 10, 50):
        first, url = iut.completed_job()
        second = iut.active_job(first.session)
        other = iut.active_job()
        iut.must_read(first, url)
        iut.status(second).must_be(Answer.PROCESSING)
        iut.status(other).must_be(Answer.PROCESSING)
        second_url = iut.complete(second)
        iut.must_read(second, second_url)
        iut.must_read(first, url)
        iut.status(other).must_be(Answer.PROCESSING)
        other_url = iut.complete(other)
        iut.must_read(other, other_url)
        iut.must_read(first, url)
        iut.must_read(second, second_url)


def _fail_to_update(iut: Iut, job: Job) -> None:
    _report_nothing(iut, Job(iut.nonce(), job.session))
    iut.status(job).is_arranged(Answer.PROCESSING)


def _report_nothing(iut: Iut, job: Job) -> Seen:
    headers = (("Content-Type", "application/json"),)
    body = json.dumps({"jobId": job.id}).encode()
    return iut.outside(Request("POST", "/update_status", headers, body))
