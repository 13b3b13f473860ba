"""The session lock: one active job per session, from its grant until its completion."""

import itertools
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from onejob_contract.checks import Cost, proves
from onejob_contract.client import publish_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import NotApplicable, Unobservable, Violation
from onejob_contract.iut import REPEATED, Iut, Job
from onejob_contract.wire import Request
from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import BROKEN, small_png

JSON = (("Content-Type", "application/json"),)
OTHER_CLIENTS = (
    ("User-Agent", "another-client/1.0"),
    ("Cookie", "session=another; sid=another"),
    ("Accept", "application/json"),
    ("Accept-Language", "de"),
    ("Cache-Control", "no-cache"),
    ("Referer", "https://another.example/"),
    ("X-Forwarded-For", "203.0.113.7"),
)
"""What tells clients apart, and says nothing about the session."""

AGES_S = (
    *(0.6, 1.2, 2.2, 3.4, 5.5, 8.5, 10.5, 12.5, 15.5, 20.5, 25.5),
    *(31, 46, 61, 91, 121, 181),
)


@proves("LOCK-ONE-ACTIVE-JOB")
def test_a_second_publish_is_refused_while_the_first_job_is_active(iut: Iut) -> None:
    """On several sessions, with the same images, with others, and by other clients."""
    for number, header in enumerate(OTHER_CLIENTS):
        job = iut.active_job()
        iut.must_hold(job)
        form = encode(publish_parts(job.session, small_png(number), small_png(number + 1)))
        request = publish_request(form)
        other = replace(request, headers=(*request.headers, header))
        iut.documented(Call.PUBLISH, other, job.session).must_be(Answer.BUSY)


@proves("LOCK-ONE-ACTIVE-JOB", cost=Cost.VOLUME)
def test_no_second_job_is_ever_granted(iut: Iut) -> None:
    """Many sessions: the second publish follows the grant at once."""
    for _ in iut.rounds(60, 500, 8000):
        job = iut.active_job()
        iut.must_hold(job)
        if iut.run.surroundings.update_status:
            iut.complete(job)


@proves("LOCK-HELD-OVER-TIME", cost=Cost.WAITS)
def test_the_lock_does_not_expire(iut: Iut) -> None:
    """Jobs of all ages up to the hold time, each touched only once: at its age."""
    jobs: list[tuple[float, Job, Job]] = []
    iut.each(
        _ages(iut.run.hold_s),
        lambda age: jobs.append((age, iut.active_job(), iut.active_job())),
    )
    if _oldest_s(iut):
        iut.leave_alone(iut.active_job())
    began = iut.run.elapsed
    for age, published, polled in sorted(jobs, key=lambda job: job[0]):
        _wait_until(iut, began + age)
        iut.publish(published.session).must_be(Answer.BUSY)
        iut.status(published).is_arranged(Answer.PROCESSING)
        iut.status(polled).is_arranged(Answer.PROCESSING)
        iut.publish(polled.session).must_be(Answer.BUSY)
        if iut.run.surroundings.update_status:
            iut.complete(published)
            iut.requirement = "UPDATE-RELEASES-LOCK"
            iut.complete(iut.must_grant(published.session))
            iut.requirement = "LOCK-HELD-OVER-TIME"


@proves(
    "STATUS-STABLE",
    "UPDATE-RELEASES-LOCK",
    "LOCK-STALE-UPDATE",
    cost=Cost.WAITS,
    needs=("update_status",),
)
def test_what_is_over_stays_over(iut: Iut) -> None:
    """Completed jobs are read at all ages; at the end late reports of them free no newer job."""
    done = [iut.completed_job() for _ in range(2)]
    if _oldest_s(iut):
        iut.leave_alone(iut.completed_job()[0])
    began = iut.run.elapsed
    for age in _ages(iut.run.hold_s):
        _wait_until(iut, began + age)
        for job, url in done:
            iut.must_read(job, url)
    iut.requirement = "UPDATE-RELEASES-LOCK"
    for job, url in done:
        newer = iut.must_grant(job.session)
        iut.update(job, url).is_arranged(*REPEATED)
        iut.requirement = "LOCK-STALE-UPDATE"
        iut.must_hold(newer)
        iut.requirement = "UPDATE-RELEASES-LOCK"
        iut.complete(newer)


@proves("LOCK-HELD-OVER-TIME", cost=Cost.LAST)
def test_a_session_stays_busy_while_nobody_asks_anything(iut: Iut) -> None:
    """Some servers tidy up when they have nothing else to do; results are kept as well.

    So are those of the run's beginning, about which nobody asked since.
    """
    idle_s = min(iut.run.profile.idle_s, iut.run.hold_s)
    if not idle_s:
        raise NotApplicable(f"the {iut.run.profile.name} profile never leaves the server alone")
    iut.expects_an_answer()
    jobs = [iut.active_job() for _ in range(3)]
    done = [iut.completed_job()] if iut.run.surroundings.update_status else []
    for steps in iut.run.left_alone:
        job, last = iut.take_over(steps), steps[-1]
        if last.url is None:
            jobs.insert(0, job)
        else:
            done.insert(0, (job, last.url))
        age_s = (time.monotonic_ns() - last.exchange.returned_ns) / 1e9
        idle_s = max(idle_s, _oldest_s(iut) - age_s)
    if iut.run.stop.wait(idle_s):
        raise Unobservable("the run ended before the server was left alone for long enough")
    iut.requirement = "STATUS-STABLE"
    for completed, url in done:
        iut.must_read(completed, url)
    iut.requirement = "LOCK-HELD-OVER-TIME"
    try:
        for job in jobs:
            iut.must_hold(job)
    except Unobservable as ended:
        raise Unobservable(ended.reason) from ended  # nor would it show after another wait


def _oldest_s(iut: Iut) -> float:
    """How old the jobs that are left alone get, in seconds; 0 in a run that holds for less."""
    profile = iut.run.profile
    return profile.oldest_s if iut.run.hold_s >= profile.hold_s else 0.0


def _ages(hold_s: float) -> list[float]:
    """Seconds after which locks are looked at: common limits, a little later, and the last one."""
    return [*(age for age in AGES_S if age < hold_s), hold_s]


def _wait_until(iut: Iut, moment: float) -> None:
    """Wait until the run is so many seconds old. Raises Unobservable if it ended before."""
    if iut.run.stop.wait(max(0.0, moment - iut.run.elapsed)):
        raise Unobservable("the run ended before the lock was watched long enough")


@proves("LOCK-HELD-OVER-POLLS")
def test_polling_does_not_free_a_session(iut: Iut) -> None:
    """Status polls of the job and of others, and health checks, one kind at a time and mixed."""
    done, _ = iut.completed_job() if iut.run.surroundings.update_status else (iut.active_job(), "")

    def many_polls(job: Job) -> None:
        for _ in iut.in_a_row(40):
            iut.status(job)

    events: tuple[Callable[[Job], object], ...] = (
        many_polls,
        lambda _job: [iut.health() for _ in range(10)],
        lambda _job: [iut.status(done) for _ in range(10)],
        lambda _job: iut.status(f"no-such-job-{iut.nonce()}"),
        lambda job: iut.status(job.session),
    )
    iut.each(events, iut.must_survive)
    if iut.run.surroundings.update_status:

        def polled_beside_an_older(session: str) -> None:
            older, _ = iut.completed_job(session)

            def poll_both(job: Job) -> None:
                for _ in range(5):
                    iut.status(older)
                    iut.status(job)

            iut.must_survive(poll_both, iut.active_job(session))

        iut.each((iut.new_session(), iut.new_session()), polled_beside_an_older)


@proves("LOCK-HELD-OVER-POLLS", "LOCK-HELD-OVER-REFUSALS", cost=Cost.VOLUME)
def test_nobody_is_impatient_enough_to_free_a_session(iut: Iut) -> None:
    """A long row of polls of one job, and of refused publishes on the session of another."""
    polled, wanted = iut.active_job(), iut.active_job()
    for _ in iut.rounds(120, 600, 3000):
        iut.status(polled).must_be(Answer.PROCESSING)
        iut.requirement = "LOCK-HELD-OVER-REFUSALS"
        iut.publish(wanted.session).must_be(Answer.BUSY)
        iut.requirement = "LOCK-HELD-OVER-POLLS"
    iut.must_hold(polled)
    iut.requirement = "LOCK-HELD-OVER-REFUSALS"
    iut.must_hold(wanted)


@proves("LOCK-ONE-ACTIVE-JOB")
def test_a_job_outlives_the_connection_it_was_published_on(iut: Iut) -> None:
    """The connection of a granted publish is closed, as clients do; the session stays busy."""
    jobs = [iut.active_job() for _ in range(2)]
    for session in (iut.new_session(), iut.new_session()):
        request = publish_request(iut.form(session))
        closing = replace(request, headers=(*request.headers, ("Connection", "close")))
        seen = iut.documented(Call.PUBLISH, closing, session).is_arranged(Answer.GRANTED)
        jobs.append(Job(seen.step.granted_job or "", session))
    iut.run.client.close()
    for _ in range(3):
        iut.each(jobs, iut.must_hold)


@proves("LOCK-HELD-OVER-REFUSALS")
def test_refused_publishes_do_not_free_a_session(iut: Iut) -> None:
    """Busy ones, twenty-five in a row; without an image; without a session; of broken forms."""

    def impatient(job: Job) -> None:
        for _ in iut.in_a_row(25):
            iut.publish(job.session).must_be(Answer.BUSY)

    def incomplete(job: Job) -> None:
        parts = iut.parts(job.session)
        for kept in (parts[:2], parts[::2], parts[:1], parts[1:]):
            iut.publish_parts(job.session, kept)

    def elsewhere(_job: Job) -> None:
        other = iut.active_job()
        iut.publish(other.session).is_arranged(Answer.BUSY)
        parts = iut.parts(other.session)
        iut.publish_parts(other.session, parts[:2])

    iut.each((impatient, incomplete, elsewhere), iut.must_survive)
    job = iut.active_job()
    incomplete(job)
    iut.must_survive(impatient, job)


@proves("LOCK-HELD-OVER-FAILED-UPDATES")
def test_failed_reports_do_not_free_a_session(iut: Iut) -> None:
    """Reports without a member, of unknown jobs, and of the session instead of the job."""

    def body(**members: str) -> Request:
        return Request("POST", "/update_status", JSON, json.dumps(members).encode())

    def send(request: Request) -> None:
        iut.documented(Call.UPDATE, request)

    def unknown(job: Job) -> None:
        for id_ in (
            f"no-such-job-{iut.nonce()}",
            str(uuid.UUID(int=iut.random.getrandbits(128))),
            f"{job.id}-{iut.nonce()}",
        ):
            iut.update(id_, iut.new_url())

    events = (
        lambda job: send(body(jobId=job.id)),
        lambda _job: send(body(resultUrl=iut.new_url())),
        lambda _job: send(body()),
        lambda job: [iut.update(id_, iut.new_url()) for id_ in iut.unless_job(job.session)],
        lambda job: send(body(jobId=job.id, sessionId=job.session)),
        unknown,
    )
    iut.each(events, iut.must_survive)
    job = iut.active_job()
    for event in (*events, *events):
        event(job)
    iut.must_hold(job)


@proves("LOCK-STALE-UPDATE", needs=("update_status",))
def test_a_repeated_report_of_an_older_job_leaves_the_newer_alone(iut: Iut) -> None:
    """The same URL, another URL, the newer job's URL; the last job, and the one before."""
    for _ in iut.rounds(3, 12, 80):
        session = iut.new_session()
        first, first_url = iut.completed_job(session)
        iut.update(first, first_url).is_arranged(*REPEATED)
        iut.must_hold(afresh := iut.must_grant(session))
        iut.complete(afresh)
        second, second_url = iut.completed_job(session)
        newest = iut.active_job(session)
        for older, url in (
            (second, second_url),
            (first, first_url),
            (second, iut.new_url()),
            (first, iut.new_url()),
            (second, second_url),
        ):
            iut.update(older, url).is_arranged(*REPEATED)
            iut.must_hold(newest)
        other = iut.active_job()
        iut.update(first, first_url).is_arranged(*REPEATED)
        iut.must_hold(other)
        url = iut.complete(newest)
        iut.update(second, second_url).is_arranged(*REPEATED)
        iut.must_read(newest, url)
        iut.complete(iut.must_grant(session))


@proves("LOCK-FREE-AFTER-REFUSAL", "LOCK-ONE-ACTIVE-JOB")
def test_a_failed_publish_leaves_the_session_free(iut: Iut) -> None:
    """Each kind of incomplete publish, once and several times, then a complete one at once."""

    def leaves_it_free(case: tuple[Sequence[int], int]) -> None:
        kept, times = case
        session = iut.new_session()
        for _ in range(times):
            parts = iut.parts(session)
            seen = iut.publish_parts(session, [parts[index] for index in kept])
            seen.is_arranged(Answer.MISSING_IMAGE)
        job = iut.must_grant(session)
        iut.publish(session).is_arranged(Answer.BUSY)
        if iut.run.surroundings.update_status:
            iut.complete(job)
            parts = iut.parts(session)
            iut.publish_parts(session, [parts[index] for index in kept])
            iut.complete(iut.must_grant(session))

    iut.each(itertools.product(((0, 1), (0, 2), (0,)), (1, 3)), leaves_it_free)


@proves("LOCK-FREE-AFTER-REFUSAL")
def test_a_refused_image_leaves_the_session_free(iut: Iut) -> None:
    """Files that are no images may be refused, in either place; then the session is free."""
    for image in (one for one in BROKEN.values() if not one.hostile):
        for images in ((image, small_png(1)), (small_png(1), image)):
            session = iut.new_session()
            form = encode(publish_parts(session, *images))
            iut.requirement = "ROBUST-UPLOAD"
            seen = iut.outside(publish_request(form), session).must_be_harmless()
            iut.requirement = "LOCK-FREE-AFTER-REFUSAL"
            if seen.answer is not Answer.GRANTED:
                iut.must_grant(session)


@proves("LOCK-FREE-AFTER-REFUSAL", "LOCK-HELD-OVER-REFUSALS", cost=Cost.VOLUME)
def test_an_upload_given_up_half_way_changes_nothing(iut: Iut) -> None:
    """Connections that end in the middle of the first image: free stays free, busy stays busy."""
    for number in iut.rounds(4, 20, 150):
        session, reset = iut.new_session(), number % 2 == 1
        for share in (0.3, 0.1, 0.35)[: 1 + number % 3]:
            iut.give_up(session, share, reset=reset)
        try:
            job = iut.must_become_free(session)
        except Violation as violation:
            violation.replayable = False
            violation.note = (
                "before, publishes of this session ended in the middle of image1: "
                f"their connections were {'reset' if reset else 'closed'}"
            )
            raise
        iut.give_up(session, 0.3, reset=reset)
        iut.must_hold(job)


@proves("LOCK-REUSABLE", "LOCK-ONE-ACTIVE-JOB", cost=Cost.VOLUME)
def test_one_session_has_one_job_after_another(iut: Iut) -> None:
    """A long life: grant, busy, processing, completed with its URL, free again."""
    session = iut.new_session()
    for number in iut.rounds(40, 250, 3000):
        job = iut.must_grant(session)
        iut.publish(session).is_arranged(Answer.BUSY)
        if number % 5 == 0:
            parts = iut.parts(session)
            iut.publish_parts(session, parts[:2]).is_arranged(Answer.MISSING_IMAGE, Answer.BUSY)
        iut.status(job).is_arranged(Answer.PROCESSING)
        url = iut.complete(job)
        iut.must_read(job, url)


@proves("LOCK-REUSABLE", cost=Cost.VOLUME)
def test_many_sessions_have_several_jobs_each(iut: Iut) -> None:
    """Short lives side by side: each round moves every session one step."""
    sessions = [iut.new_session() for _ in range(8)]
    active: dict[str, Job] = {}
    for number in iut.rounds(60, 500, 5000):
        session = sessions[iut.random.randrange(len(sessions))]
        held = active.get(session)
        if held is None:
            active[session] = iut.must_grant(session)
        elif number % 3:
            iut.must_hold(held)
        else:
            url = iut.complete(held)
            del active[session]
            iut.must_read(held, url)
