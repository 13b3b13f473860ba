"""Requests that arrive together: the last bytes of all of them are released at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from onejob_contract.checks import Cost, proves
from onejob_contract.client import publish_request, status_request, update_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import Unobservable, Violation
from onejob_contract.iut import REPEATED, Iut, Job, Racer, Seen
from onejob_contract.races import RaceLog
from onejob_contract.steps import Step
from onejob_fixtures.forms import Part, encode, publish_parts
from onejob_fixtures.images import IN_CONTRACT

LAGS_S = (0.0, 0.002, 0.0, 0.005, 0.001, 0.0, 0.012, 0.0005)
"""Seconds between two reports of one job: both are on their way, together or one behind."""


@proves("LOCK-RACE", cost=Cost.VOLUME)
def test_one_of_many_publishes_on_a_free_session_is_granted(iut: Iut) -> None:
    """Sixteen clients, one free session, one grant; round after round."""
    log = RaceLog("publishes on one free session")
    for number in iut.rounds(25, 150, 2500):
        session = iut.new_session()
        for _ in range(1 + number % 3):
            job = _race_for(iut, session, 16 if number % 2 else 6, log)
            if not iut.run.surroundings.update_status:
                break
            iut.complete(job)
    log.must_have_overlapped(iut.run)


@proves("LOCK-RACE", cost=Cost.VOLUME)
def test_publishes_of_large_images_race_too(iut: Iut) -> None:
    """Some servers take another way for what is too large for their memory."""
    log = RaceLog("publishes of large images")
    image = IN_CONTRACT["png_1_mebibyte"]
    for _ in iut.rounds(3, 15, 150):
        session = iut.new_session()
        parts = publish_parts(session, image, image)
        steps = iut.race([_publish(iut, session, parts) for _ in range(4)], log)
        _one_grant(iut, session, steps)
    log.must_have_overlapped(iut.run)


@proves("LOCK-RACE", "LOCK-PER-SESSION", cost=Cost.VOLUME)
def test_many_sessions_race_at_once(iut: Iut) -> None:
    """Eight sessions with three publishes each, all together: one grant for each session."""
    log = RaceLog("publishes on many sessions")
    for _ in iut.rounds(8, 60, 800):
        sessions = [iut.new_session() for _ in range(8)]
        racers = [_publish(iut, session) for session in sessions for _ in range(3)]
        steps = iut.race(racers, log)
        for session in sessions:
            _one_grant(iut, session, [step for step in steps if step.session == session])
    log.must_have_overlapped(iut.run)


@proves("LOCK-RACE", cost=Cost.VOLUME)
def test_refused_publishes_race_with_complete_ones(iut: Iut) -> None:
    """Publishes without an image among complete ones: still exactly one grant."""
    log = RaceLog("incomplete and complete publishes")
    for _ in iut.rounds(8, 60, 800):
        session = iut.new_session()
        incomplete = [_publish(iut, session, iut.parts(session)[:2]) for _ in range(4)]
        complete = [_publish(iut, session) for _ in range(4)]
        mixed = [racer for pair in zip(incomplete, complete, strict=True) for racer in pair]
        steps = iut.race(mixed, log)
        whole = [step for index, step in enumerate(steps) if index % 2]
        for step in steps[::2]:
            iut.judge_racer(
                step, frozenset({Answer.MISSING_IMAGE, Answer.BUSY}), "PUBLISH-MISSING-IMAGE"
            )
        _one_grant(iut, session, whole, beside=steps[::2])
    log.must_have_overlapped(iut.run)


@proves("LOCK-RACE-COMPLETION", needs=("update_status",), cost=Cost.VOLUME)
def test_a_completion_races_with_publishes(iut: Iut) -> None:
    """The active job is completed while others publish and poll: at most one gets the session."""
    log = RaceLog("a completion and publishes")
    for _ in iut.rounds(12, 100, 1500):
        job = iut.active_job()
        url = iut.new_url()
        racers = [
            *(_publish(iut, job.session) for _ in range(3)),
            _update(job, url),
            *(_publish(iut, job.session) for _ in range(3)),
            Racer(Call.STATUS, status_request(job.id), job=job.id),
        ]
        steps = iut.race(racers, log)
        iut.judge_racer(steps[3], frozenset({Answer.UPDATED}), None)
        iut.judge_racer(steps[7], frozenset({Answer.PROCESSING, Answer.COMPLETED}), None)
        _at_most_one_grant(iut, job.session, [*steps[:3], *steps[4:7]])
        iut.must_read(job, url)
    log.must_have_overlapped(iut.run)


@proves("LOCK-RACE-COMPLETION", needs=("update_status",), cost=Cost.VOLUME)
def test_repeated_completions_race_with_publishes(iut: Iut) -> None:
    """Two reports of one job at once, then repeated reports of it against the next job's lock."""
    log = RaceLog("repeated completions and publishes")
    for _ in iut.rounds(10, 80, 1200):
        job = iut.active_job()
        url = iut.new_url()
        racers = [
            _update(job, url),
            _publish(iut, job.session),
            _update(job, url),
            _publish(iut, job.session),
            _update(job, url),
            _publish(iut, job.session),
        ]
        steps = iut.race(racers, log)
        for step in steps[::2]:
            iut.judge_racer(step, REPEATED, None)
        granted = _at_most_one_grant(iut, job.session, steps[1::2])
        newer = granted or iut.must_grant(job.session)
        racers = [
            racer for _ in range(3) for racer in (_update(job, url), _publish(iut, job.session))
        ]
        steps = iut.race(racers, log)
        for step in steps[1::2]:
            iut.judge_racer(step, frozenset({Answer.BUSY}), None)
        iut.must_hold(newer)
    log.must_have_overlapped(iut.run)


@proves("LOCK-RACE-COMPLETION", needs=("update_status",), cost=Cost.VOLUME)
def test_a_second_report_on_its_way_frees_no_newer_job(iut: Iut) -> None:
    """It is sent before the first one is answered; then the session is granted anew."""

    def report_later(job: Job, url: str, lag_s: float) -> Seen:
        iut.run.stop.wait(lag_s)
        return iut.update(job, url)

    with ThreadPoolExecutor(1) as second:
        for number in iut.rounds(8, 40, 600):
            old, url = iut.active_job(), iut.new_url()
            repeated = second.submit(report_later, old, url, LAGS_S[number % len(LAGS_S)])
            # The second may overtake the first, and still be at work when that is answered.
            iut.update(old, url).is_arranged(*REPEATED)
            newer = iut.must_become_free(old.session)
            repeated.result().is_arranged(*REPEATED)
            iut.must_hold(newer)
            iut.complete(newer)


@proves("LOCK-RACE-COMPLETION", needs=("update_status",), cost=Cost.VOLUME)
def test_the_next_job_is_granted_only_when_the_old_one_shows_as_completed(iut: Iut) -> None:
    """While a completion is on its way others publish, and poll the old job once they succeed."""
    with ThreadPoolExecutor(1) as worker:
        for _ in iut.rounds(15, 100, 1500):
            old = iut.active_job()
            reported = worker.submit(iut.update, old, iut.new_url())
            granted = False
            while not granted and not reported.done():
                seen = iut.publish(old.session).must_be(Answer.GRANTED, Answer.BUSY)
                granted = seen.answer is Answer.GRANTED
            if granted:
                _no_longer_active(iut, old)
            reported.result().is_arranged(Answer.UPDATED)


def _no_longer_active(iut: Iut, old: Job) -> None:
    seen = iut.status(old)
    if seen.answer is Answer.PROCESSING:
        raise Violation(
            iut.requirement,
            f"job {old.id} completed, now that its session was granted another",
            f"both are active: {seen.reading.actual}",
            iut.trace[-4:],
            replayable=False,
        )


def _race_for(iut: Iut, session: str, width: int, log: RaceLog) -> Job:
    return _one_grant(iut, session, iut.race([_publish(iut, session) for _ in range(width)], log))


def _one_grant(iut: Iut, session: str, steps: Sequence[Step], beside: Sequence[Step] = ()) -> Job:
    granted = _at_most_one_grant(iut, session, steps)
    if granted is None and any(iut.fails_now_and_then(step.answer) for step in (*beside, *steps)):
        return iut.must_become_free(session)  # one that failed may have held it meanwhile
    if granted is None:
        raise Violation(
            iut.requirement,
            f"one grant for {len(steps)} complete publishes on a free session",
            f"none of them was granted: {steps[0].reading.actual}, ...",
            (*beside, *steps),
            replayable=False,
        )
    return granted


def _at_most_one_grant(iut: Iut, session: str, steps: Sequence[Step]) -> Job | None:
    """Judge the publishes of a race; two grants are wrong unless a worker finished between them."""
    for step in steps:
        iut.judge_racer(step, frozenset({Answer.GRANTED, Answer.BUSY}), iut.requirement)
    granted = [Job(step.granted_job or "", session) for step in steps if step.granted_job]
    if len(granted) > 1:
        states = [iut.status(job) for job in granted]
        active = [
            job.id
            for job, seen in zip(granted, states, strict=True)
            if seen.answer is Answer.PROCESSING
        ]
        if (
            len(active) < 2
            and iut.run.may_have_worker
            and all(seen.answer in (Answer.PROCESSING, Answer.COMPLETED) for seen in states)
        ):
            raise Unobservable("the server's own worker finished jobs during the race", again=True)
        raise Violation(
            iut.requirement,
            f"at most one grant for {len(steps)} publishes on one session at a time",
            f"{len(granted)} grants: jobs {', '.join(job.id for job in granted)}, "
            f"{len(active)} of them active at once",
            [step for step in steps if step.granted_job],
            replayable=False,
        )
    return granted[0] if granted else None


def _publish(iut: Iut, session: str, parts: Sequence[Part] | None = None) -> Racer:
    form = encode(parts or iut.parts(session))
    return Racer(Call.PUBLISH, publish_request(form), session=session)


def _update(job: Job, url: str) -> Racer:
    return Racer(Call.UPDATE, update_request(job.id, url), job=job.id, url=url)
