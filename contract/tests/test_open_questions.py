"""What the document leaves open is observed for the profile of a server, and never judged."""

from __future__ import annotations

import pytest
from kit import session_on

from onejob_contract.open_questions import NOT_OBSERVED, QUESTIONS, answers
from onejob_contract.session import Session
from onejob_contract.target import WorkerMode
from onejob_fixtures.servers import running

TEXTS = {question.text for question in QUESTIONS}


def test_a_server_is_asked_everything_once_and_accused_of_nothing(session: Session) -> None:
    found = answers(session.run_state, 10.0)

    assert set(found) == TEXTS
    assert NOT_OBSERVED not in found.values()
    assert found["the format of a jobId"] == "a UUID of 36 characters"
    assert found["a file that is no image"] == "taken"
    assert found["an unknown method"].startswith("405 ")
    assert found["the media type for clients that prefer HTML"] == "application/json"
    assert session.run_state.violations == []


@pytest.mark.parametrize(
    ("server", "question", "answer"),
    [
        ("job-ids-sequential", "the format of a jobId", "digits of "),
        ("unknown-members-say-422", "a report with another member", "422 "),
        ("unknown-methods-say-501", "HEAD /health", "501 "),
    ],
)
def test_correct_servers_differ(server: str, question: str, answer: str) -> None:
    with running(server) as url:
        session = session_on(url)
        found = answers(session.run_state, 10.0)
        session.client.close()

    assert found[question].startswith(answer)


def test_what_cannot_be_seen_is_told_so(session: Session) -> None:
    assert set(answers(session.run_state, 0.0).values()) == {NOT_OBSERVED}


def test_reports_are_not_tried_where_they_are_out_of_reach() -> None:
    with running("hidden-403-without-worker") as url:
        session = session_on(url)
        found = answers(session.run_state, 10.0)
        session.client.close()

    assert session.target.worker is WorkerMode.HARNESS
    assert found["a report as text/plain"] == NOT_OBSERVED
    assert found["a form with another field"] == "taken"
