"""A session has one active job, from its acceptance to its completion, whatever the lock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Server


def test_a_second_publish_waits_for_the_first_job(server: Server) -> None:
    job_id = server.accepted("alice")

    refused = server.publish("alice")

    assert (refused.status_code, refused.get_json()) == (
        429,
        {"error": "Previous job still processing"},
    )
    assert server.status(job_id).get_json() == {"status": "processing"}


def test_completion_frees_the_session(server: Server) -> None:
    job_id = server.accepted("alice")

    assert server.complete(job_id, "https://results.test/a").get_json() == {"status": "updated"}

    assert server.status(job_id).get_json() == {
        "status": "completed",
        "image_url": "https://results.test/a",
    }
    assert server.accepted("alice") != job_id


@pytest.mark.parametrize(
    ("one", "other"),
    [("s", "S"), ("s", "s "), (" s", "s"), ("\u00e9", "e\u0301"), ("a\0b", "a\0c"), ("%", "_")],
)
def test_two_session_ids_are_two_sessions(server: Server, one: str, other: str) -> None:
    server.accepted(one)
    server.accepted(other)

    assert server.publish(one).status_code == 429
    assert server.publish(other).status_code == 429


def test_of_a_stampede_one_is_granted(server: Server) -> None:
    racers = 12
    barrier = threading.Barrier(racers)

    def publish(_: int) -> int:
        barrier.wait()
        return server.publish("alice").status_code

    with ThreadPoolExecutor(racers) as pool:
        answers = sorted(pool.map(publish, range(racers)))

    assert answers == [200] + [429] * (racers - 1)
    assert len(server.uploads()) == 2


@pytest.mark.parametrize("lock_url", ["sql", "sql elsewhere", "redis"], indirect=True)
def test_a_server_process_refuses_a_session_it_never_saw(
    serve_with: Callable[..., Server], lock_url: str
) -> None:
    one, other = serve_with(lock=lock_url), serve_with(lock=lock_url)
    job_id = one.accepted("alice")

    refusals = [other.publish("alice").status_code for _ in range(2)]

    assert refusals == [429, 429]
    assert {path.parent.name for path in other.uploads()} == {job_id}


def test_a_late_report_of_an_older_job_does_not_free_the_newer(server: Server) -> None:
    old = server.accepted("alice")
    server.complete(old, "https://results.test/old")
    new = server.accepted("alice")

    repeated = server.complete(old, "https://results.test/old")
    contradicting = server.complete(old, "https://results.test/other")

    assert repeated.status_code == 200
    assert (contradicting.status_code, contradicting.get_json()) == (
        404,
        {"error": "Job not found"},
    )
    assert server.publish("alice").status_code == 429
    assert server.status(new).get_json() == {"status": "processing"}
    assert server.status(old).get_json()["image_url"] == "https://results.test/old"


def test_a_refused_publish_leaves_the_active_job_its_images_and_no_others(server: Server) -> None:
    job_id = server.accepted("alice")

    server.publish("alice")

    assert {path.parent.name for path in server.uploads()} == {job_id}
