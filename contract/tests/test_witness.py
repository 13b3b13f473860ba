"""What a violation is explained by: few operations, one sentence, with times and clients."""

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability import Verdict, judge

MS = 1_000_000


def publish(client: str, at: tuple[int, int], job: str | None = None) -> Operation:
    outcome = Outcome.GRANTED if job else Outcome.BUSY
    start, end = at
    return Operation("s", client, OperationKind.PUBLISH, job, None, start * MS, end * MS, outcome)


def update(client: str, at: tuple[int, int], job: str, url: str = "https://r/1") -> Operation:
    start, end = at
    return Operation(None, client, OperationKind.UPDATE, job, url, start * MS, end * MS, Outcome.OK)


def status(
    client: str, at: tuple[int, int], job: str, outcome: Outcome, url: str | None = None
) -> Operation:
    start, end = at
    return Operation(None, client, OperationKind.STATUS, job, url, start * MS, end * MS, outcome)


def test_an_overlap_names_both_jobs_and_suspects_the_repeated_update_between_them() -> None:
    older = [publish("ann", (0, 2), "old"), update("worker", (4, 6), "old")]
    held = publish("ann", (10, 12), "A")
    stale = update("late worker", (14, 15), "old")
    second = publish("bob", (17, 19), "B")
    finish = update("worker", (30, 31), "A")
    noise = [publish(f"noise {i}", (20, 22)) for i in range(20)]

    judgement = judge([*older, held, stale, second, finish, *noise, update("w", (40, 41), "B")])

    assert judgement.verdict is Verdict.VIOLATION
    assert judgement.witness == (held, second, finish)
    assert judgement.session == "s"
    assert judgement.explanation == (
        "job A certainly held the session from 0.012 s to 0.03 s; job B was granted meanwhile "
        "(publish by bob (0.017 s to 0.019 s) answered granted); suspect: update by late worker "
        '(0.014 s to 0.015 s) with "https://r/1" answered ok for job old'
    )


def test_a_refusal_of_a_free_session_names_the_jobs_before_and_after() -> None:
    finish = update("worker", (4, 6), "A")
    refused = publish("bob", (8, 9))
    following = publish("ann", (12, 14), "B")

    judgement = judge([publish("ann", (0, 2), "A"), finish, refused, following])

    assert judgement.witness == (finish, refused, following)
    assert judgement.explanation.startswith(
        "publish by bob (0.008 s to 0.009 s) answered busy although the session was certainly "
        "free: job A was completed by 0.006 s"
    )
    assert judgement.explanation.endswith("the next job B was granted no earlier than 0.012 s")


def test_a_lost_completion_names_the_update_and_the_status() -> None:
    grant, finish = publish("ann", (0, 2), "A"), update("worker", (4, 6), "A")
    still = status("poller", (8, 9), "A", Outcome.PROCESSING)

    judgement = judge([grant, finish, still])

    assert judgement.witness == (grant, finish, still)
    assert "job A was completed by 0.006 s" in judgement.explanation
    assert "poller (0.008 s to 0.009 s) answered processing" in judgement.explanation


def test_a_url_nobody_set_is_named() -> None:
    grant, finish = publish("ann", (0, 2), "A"), update("worker", (4, 6), "A", "https://r/1")
    wrong = status("poller", (8, 9), "A", Outcome.COMPLETED, "https://r/2")

    judgement = judge([grant, finish, wrong])

    assert judgement.verdict is Verdict.VIOLATION
    assert wrong in judgement.witness
    assert 'showed "https://r/2"' in judgement.explanation


def test_a_job_that_no_publish_made_is_named() -> None:
    judgement = judge([status("poller", (8, 9), "ghost", Outcome.PROCESSING)])

    assert "job ghost was never granted by any publish" in judgement.explanation
