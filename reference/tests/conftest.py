"""A server without sockets, a worker without a process, and the session-lock backends."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from fakeredis import TcpFakeServer
from flask import Flask
from redis import Redis
from werkzeug.test import TestResponse

from onejob_fixtures.images import small_jpeg, small_png
from onejob_reference.app import create_app
from onejob_reference.claims import Claims
from onejob_reference.database import Database
from onejob_reference.schema import create_tables
from onejob_reference.settings import Settings

PNG = small_png(1).content
JPEG = small_jpeg(2).content


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: breaks real backends, several seconds each")


@dataclass(frozen=True, slots=True)
class Server:
    """The application as its clients see it."""

    app: Flask
    settings: Settings

    def publish(self, session: str, image1: bytes = PNG, image2: bytes = JPEG) -> TestResponse:
        form = {
            "sessionId": session,
            "image1": (BytesIO(image1), "image1.png"),
            "image2": (BytesIO(image2), "image2.jpg"),
        }
        return self.app.test_client().post("/publish", data=form)

    def accepted(self, session: str) -> str:
        answer = self.publish(session)
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["jobId"])

    def status(self, job_id: str) -> TestResponse:
        return self.app.test_client().get(f"/status/{job_id}")

    def complete(self, job_id: str, url: str = "https://results.test/1.png") -> TestResponse:
        report = {"jobId": job_id, "resultUrl": url}
        return self.app.test_client().post("/update_status", json=report)

    def uploads(self) -> list[Path]:
        return sorted(path for path in self.settings.upload_root.rglob("*") if path.is_file())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "uploads").mkdir()
    return Settings(
        database=f"sqlite:///{tmp_path / 'jobs.sqlite3'}",
        upload_root=tmp_path / "uploads",
        result_root=tmp_path / "results",
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    create_tables(database)
    yield database
    database.close()


@pytest.fixture
def claims(database: Database) -> Claims:
    return Claims(database, lifetime=0.3)


class FakeRedis(TcpFakeServer):
    """Takes a stampede's connections at once, as Redis does."""

    request_queue_size = 511


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    server = FakeRedis(("127.0.0.1", 0), server_type="redis")
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
    return redis_server


@pytest.fixture(params=["memory", "sql", "sql elsewhere", "redis"])
def lock_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "redis":
            return str(request.getfixturevalue("redis_url"))
        case "sql elsewhere":
            return f"sql:sqlite:///{tmp_path / 'locks.sqlite3'}"
        case scheme:
            return f"{scheme}:"


@pytest.fixture
def serve_with(settings: Settings, database: Database) -> Callable[..., Server]:
    def serve_with(**changes: object) -> Server:
        changed = dataclasses.replace(settings, **changes)
        return Server(create_app(changed), changed)

    return serve_with


@pytest.fixture
def server(serve_with: Callable[..., Server], lock_url: str) -> Server:
    return serve_with(lock=lock_url)
