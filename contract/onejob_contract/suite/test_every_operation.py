"""What concerns every operation: the media type, the connection, and the whole history."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

from onejob_contract.checks import Cost, proves
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import Violation
from onejob_contract.iut import Iut
from onejob_contract.wire import Request

CLIENTS = 6
SESSIONS = 3
STEPS_A_ROUND = 12


@proves("LOCK-LINEARIZABLE", cost=Cost.VOLUME)
def test_clients_that_run_freely_fit_one_order(iut: Iut) -> None:
    """Six clients publish, report and poll on three sessions as they like; nobody waits."""
    sessions = [iut.new_session() for _ in range(SESSIONS)]
    jobs: list[str] = []
    seeds = [iut.random.randrange(2**32) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        for number in iut.rounds(5, 40, 600):
            rovers = [
                pool.submit(
                    _rove, iut, iut.client_name(client), Random(seed + number), sessions, jobs
                )
                for client, seed in enumerate(seeds)
            ]
            for rover in rovers:
                rover.result()
    iut.must_fit_one_order("LOCK-LINEARIZABLE", sessions)


@proves("LOCK-LINEARIZABLE", cost=Cost.LAST)
def test_the_whole_history_fits_one_order(iut: Iut) -> None:
    """Everything all checks did, judged at once, after a small life of its own."""
    job, url = iut.completed_job() if iut.run.surroundings.update_status else (iut.active_job(), "")
    if url:
        iut.must_read(job, url)
    iut.must_fit_one_order("LOCK-LINEARIZABLE")


@proves("RESPONSE-JSON")
def test_every_documented_answer_is_json(iut: Iut) -> None:
    """One of each answer that needs no fault; `Iut.judge` looks at the media type of all."""
    iut.health().is_arranged(Answer.HEALTHY)
    job = iut.active_job()
    parts = iut.parts(job.session)
    iut.publish_parts("", parts[1:]).is_arranged(Answer.MISSING_SESSION)
    iut.publish_parts(job.session, parts[:2]).is_arranged(Answer.MISSING_IMAGE, Answer.BUSY)
    session = iut.new_session()
    iut.publish_parts(session, iut.parts(session)[:2]).is_arranged(Answer.MISSING_IMAGE)
    iut.publish(job.session).is_arranged(Answer.BUSY)
    iut.status(job).is_arranged(Answer.PROCESSING)
    iut.status(f"no-such-job-{iut.nonce()}").is_arranged(Answer.NOT_FOUND)
    if iut.run.surroundings.update_status:
        headers = (("Content-Type", "application/json"),)
        empty = Request("POST", "/update_status", headers, b"{}")
        iut.documented(Call.UPDATE, empty).is_arranged(Answer.MISSING_FIELD)
        unknown = iut.update(f"no-such-job-{iut.nonce()}", iut.new_url())
        unknown.is_arranged(Answer.UNKNOWN_JOB)
        iut.complete(job)
        iut.status(job).is_arranged(Answer.COMPLETED)


@proves("RESPONSE-JSON", cost=Cost.LAST)
def test_no_answer_is_followed_by_another(iut: Iut) -> None:
    """A refused upload that was left unread would be taken for the next request of its client."""

    def uses_a_connection(_: int) -> None:
        iut.publish(iut.active_job().session)
        iut.health()

    iut.each(range(5), uses_a_connection)
    for request, said in iut.run.client.out_of_turn[:1]:
        raise Violation(
            iut.requirement,
            f"nothing on its connection after the answer to {request}",
            repr(said[:200]),
            replayable=False,
            note="a body that is left unread is taken for the next request on its connection",
        )


def _rove(iut: Iut, who: str, random: Random, sessions: list[str], jobs: list[str]) -> None:
    """One client: mostly publishes, and reports and polls of jobs that anybody was granted."""
    client = iut.run.client
    for _ in range(STEPS_A_ROUND):
        choice = random.random()
        if choice < 0.4 or not jobs:
            session = random.choice(sessions)
            job = client.publish(session, iut.form(session), who).granted_job
            if job is not None:
                jobs.append(job)
                iut.run.unfinished[job] = session
        elif choice < 0.7 and iut.run.surroundings.update_status:
            job = jobs[-1] if random.random() < 0.8 else random.choice(jobs)
            url = f"https://results.example.com/{job}/{random.randrange(3)}.png"
            iut.run.reports(url)
            client.update(job, url, who)
        else:
            client.status(random.choice(jobs[-4:]), who)
