"""Sessions are independent: none blocks, frees or is taken for another, however many there are."""

from onejob_contract.checks import Cost, proves
from onejob_contract.documented import Answer
from onejob_contract.iut import REPEATED, Iut, Job
from onejob_fixtures.names import (
    CONFUSABLE_PAIRS,
    MAX_SESSION_ID_CHARACTERS,
    ConfusablePair,
    similar_stems,
)


@proves("LOCK-PER-SESSION")
def test_sessions_do_not_block_each_other(iut: Iut) -> None:
    """A new session is granted while others are active, whatever happened to them."""
    jobs = [iut.must_grant(iut.new_session()) for _ in range(5)]
    for job in jobs:
        iut.must_hold(job)
    iut.publish(jobs[0].session).is_arranged(Answer.BUSY)
    jobs.append(iut.must_grant(iut.new_session()))
    if iut.run.surroundings.update_status:
        iut.complete(jobs[2])
        for job in (*jobs[:2], *jobs[3:]):
            iut.must_hold(job)
        again = iut.must_grant(jobs[2].session)
        iut.complete(jobs[0])
        iut.must_hold(again)


@proves("LOCK-PER-SESSION")
def test_a_session_may_be_called_like_a_job(iut: Iut) -> None:
    """The id of an active job names a session, which lives and ends apart from that job."""
    job = iut.active_job()
    if len(job.id) > MAX_SESSION_ID_CHARACTERS or job.id == job.session:
        return
    namesake = iut.must_grant(job.id)
    iut.must_hold(job)
    if iut.run.surroundings.update_status:
        iut.complete(job)
        iut.must_hold(namesake)
        again = iut.must_grant(job.session)
        iut.complete(namesake)
        iut.must_hold(again)


@proves("LOCK-PER-SESSION", cost=Cost.LIST)
def test_different_session_ids_are_different_sessions(iut: Iut) -> None:
    """Pairs that careless servers confuse: each gets its own job, and keeps it."""

    def are_two(pair: ConfusablePair) -> tuple[Job, Job]:
        first, second = iut.named(pair.first, pair.second)
        return iut.must_grant(first), iut.must_grant(second)

    def end_apart(pair: tuple[Job, Job]) -> None:
        one, two = pair
        iut.must_hold(one)
        if iut.run.surroundings.update_status:
            iut.complete(two)
            iut.must_hold(one)
            again = iut.must_grant(two.session)
            iut.complete(one)
            iut.must_hold(again)
            iut.complete(again)

    iut.in_two_stages(CONFUSABLE_PAIRS.values(), are_two, end_apart)


@proves("LOCK-PER-SESSION")
def test_a_piece_of_an_active_session_is_another_session(iut: Iut) -> None:
    """While a session is active, its beginning, its end and its middle are free."""
    whole, piece = iut.new_session(), iut.new_session()
    for longer, shorter in (
        (f"{whole}-and-more", whole),
        (f"more-and-{piece}", piece),
        (f"a-{iut.nonce()}-b", ""),
    ):
        job = iut.must_grant(longer)
        iut.must_grant(shorter or longer[2:-2])
        iut.must_hold(job)


@proves("LOCK-PER-SESSION", cost=Cost.VOLUME)
def test_one_edit_makes_another_session(iut: Iut) -> None:
    """Random texts, each also with a letter changed, left out, doubled or moved somewhere."""
    for _ in iut.rounds(20, 100, 1000):
        for session in iut.named(*similar_stems(iut.random)):
            iut.must_grant(session)


@proves("LOCK-MANY-SESSIONS", cost=Cost.VOLUME, share=2.0)
def test_the_lock_holds_with_many_active_sessions(iut: Iut) -> None:
    """Many jobs are active at once; then each session is tried, the oldest first."""
    jobs: list[Job] = []
    together = 10 if iut.run.is_slow else 1
    for _ in iut.rounds(270 // together, 1050 // together, 5200 // together):
        sessions = [iut.new_session() for _ in range(together)]
        iut.each(sessions, lambda session: jobs.append(iut.must_grant(session)))
    iut.run.measured["sessions active at once"] = str(len(jobs))

    def still_held(job: Job) -> None:
        iut.publish(job.session).must_be(Answer.BUSY)

    iut.each(jobs, still_held)
    iut.each(jobs[:: max(1, len(jobs) // 50)], iut.must_hold)
    if iut.run.surroundings.update_status:
        chosen = jobs[:: max(2, len(jobs) // 60)]
        completed = iut.each(chosen, iut.complete)
        iut.each(completed, lambda job: iut.update(job, iut.new_url()).is_arranged(*REPEATED))
        iut.each([job.session for job in completed], iut.must_grant)
        freed = {job.session for job in chosen}
        iut.each([job for job in jobs if job.session not in freed][-100:], still_held)
