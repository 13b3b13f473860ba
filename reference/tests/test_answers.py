"""Every answer the document lists, word for word; everything else is JSON too."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from onejob_fixtures.images import small_png
from onejob_reference.database import Database

if TYPE_CHECKING:
    from conftest import Server

PNG = small_png(1).content


@pytest.fixture
def lock_url() -> str:
    return "sql:"


def _file(content: bytes, name: str = "a.png") -> tuple[BytesIO, str]:
    return BytesIO(content), name


def test_health(server: Server) -> None:
    answer = server.app.test_client().get("/health")

    assert answer.get_json() == {"status": "ok", "service": "flask-api"}


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "Missing sessionId"),
        ({"sessionId": ""}, "Missing sessionId"),
        ({"sessionId": "s"}, "Missing image1 or image2"),
        ({"sessionId": "s", "image1": PNG}, "Missing image1 or image2"),
        ({"sessionId": "s", "image2": PNG}, "Missing image1 or image2"),
        ({"sessionId": "s", "image1": PNG, "image2": "text"}, "Missing image1 or image2"),
    ],
)
def test_publish_says_what_is_missing(server: Server, form: dict[str, Any], error: str) -> None:
    form = {k: _file(v) if isinstance(v, bytes) else v for k, v in form.items()}

    answer = server.app.test_client().post("/publish", data=form)

    assert (answer.status_code, answer.get_json()) == (400, {"error": error})
    assert server.publish("s").status_code == 200


def test_an_unchosen_file_of_a_browser_is_missing(server: Server) -> None:
    boundary = "b"
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{rest}\r\n\r\n{value}\r\n'
        for name, rest, value in (
            ("sessionId", "", "s"),
            ("image1", '; filename=""', ""),
            ("image2", '; filename="b.png"', "x"),
        )
    )
    answer = server.app.test_client().post(
        "/publish",
        data=f"{parts}--{boundary}--\r\n",
        content_type=f"multipart/form-data; boundary={boundary}",
    )

    assert answer.get_json() == {"error": "Missing image1 or image2"}


def test_no_room_for_the_job_dir(server: Server) -> None:
    server.settings.upload_root.rmdir()

    answer = server.publish("s")

    assert (answer.status_code, answer.get_json()) == (
        400,
        {"error": "Failed to create job dir: No such file or directory"},
    )
    server.settings.upload_root.mkdir()
    assert server.publish("s").status_code == 200


def test_no_room_for_the_files(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("shutil.copyfileobj", full)
        answer = server.publish("s")

    assert (answer.status_code, answer.get_json()) == (
        400,
        {"error": "Failed to save files: No space left on device"},
    )
    assert list(server.settings.upload_root.iterdir()) == []
    assert server.publish("s").status_code == 200


def test_no_database(server: Server, database: Database) -> None:
    database.close()
    Path(server.settings.database.removeprefix("sqlite:///")).unlink()

    answer = server.publish("s")

    assert (answer.status_code, answer.get_json()) == (
        400,
        {"error": "DB error: the database answered OperationalError"},
    )
    assert server.uploads() == []


def test_no_lock_service(serve_with: Callable[..., Server]) -> None:
    server = serve_with(lock="redis://127.0.0.1:9/0")  # nobody listens there

    answer = server.publish("s")

    assert answer.status_code == 500
    assert answer.get_json() == {
        "error": "Failed to publish job: the session lock answered ConnectionError"
    }
    assert server.uploads() == []


@pytest.mark.parametrize(
    "job_id", ["nope", "%2F", "a%2Fb", "%00", "%FF", "..", "00000000-0000-4000-8000-000000000000"]
)
def test_the_status_of_no_job(server: Server, job_id: str) -> None:
    answer = server.status(job_id)

    assert (answer.status_code, answer.get_json()) == (404, {"status": "not_found"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"jobId": "x"}',
        b'{"resultUrl": "https://x"}',
        b'{"jobId": "", "resultUrl": "https://x"}',
        b'{"jobId": 1, "resultUrl": "https://x"}',
        b'{"jobId": "x", "resultUrl": null}',
        b"[" * 50_000,
        b"\xff\xfe",
    ],
)
def test_an_incomplete_report(server: Server, body: bytes) -> None:
    answer = server.app.test_client().post(
        "/update_status", data=body, content_type="application/json"
    )

    assert (answer.status_code, answer.get_json()) == (
        400,
        {"error": "Missing jobId or resultUrl"},
    )


@pytest.mark.parametrize("job_id", ["nope", "\ud800", "\0"])
def test_a_report_of_no_job(server: Server, job_id: str) -> None:
    answer = server.complete(job_id)

    assert (answer.status_code, answer.get_json()) == (404, {"error": "Job not found"})


@pytest.mark.parametrize("url", ["https://x/" + "y" * 1990, "https://x/\u00e9\0\ud800", "  x  "])
def test_a_result_url_comes_back_as_it_was_given(server: Server, url: str) -> None:
    job_id = server.accepted("s")

    server.complete(job_id, url)

    assert server.status(job_id).get_json() == {"status": "completed", "image_url": url}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing-here", 404),
        ("GET", "/health/", 404),
        ("GET", "/results/nothing.png", 404),
        ("GET", "/results/..%2Fjobs.sqlite3", 404),
        ("PUT", "/publish", 405),
        ("GET", "/update_status", 405),
        ("DELETE", "/status/x", 405),
    ],
)
def test_beyond_the_document_errors_are_json_too(
    server: Server, method: str, path: str, status: int
) -> None:
    answer = server.app.test_client().open(path, method=method)

    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    assert answer.get_json()["error"]


def test_an_upload_beyond_the_limit(serve_with: Callable[..., Server]) -> None:
    server = serve_with(max_upload=1000)

    answer = server.publish("s", PNG, bytes(2000))

    assert (answer.status_code, answer.mimetype) == (413, "application/json")


def test_an_internal_update_needs_the_secret(serve_with: Callable[..., Server]) -> None:
    server = serve_with(update_secret="open sesame")  # noqa: S106
    job_id = server.accepted("s")
    client, report = server.app.test_client(), {"jobId": job_id, "resultUrl": "https://x"}

    for header in ({}, {"Authorization": "Bearer close sesame"}, {"Authorization": "é"}):
        answer = client.post("/update_status", json=report, headers=header)
        assert (answer.status_code, answer.mimetype) == (403, "application/json")
    assert server.status(job_id).get_json() == {"status": "processing"}

    secret = {"Authorization": "Bearer open sesame"}
    assert client.post("/update_status", json=report, headers=secret).status_code == 200
