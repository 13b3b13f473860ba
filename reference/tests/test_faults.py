"""Real faults under real processes: the documented answer in time, and everything well after.

Backends, file systems, server and worker are set up by `reference/chaos/stage.py`, broken and
mended by the commands that the target files show to others.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from service import MissingProgramError
from stage import Combination, Stage

from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import VALID, Image, small_jpeg, small_png

PROJECT = Path(__file__).parents[2]
IN_CI = os.environ.get("CI") == "true"
LARGE = VALID["png_1_mebibyte"]
LEASE_S = 10.0
ANSWER_WITHIN_S = 10.0
AT_ONCE_S = 4.0
COMPLETED_WITHIN_S = 30.0

JOB_DIR = (400, "Failed to create job dir: ")
SAVE = (400, "Failed to save files: ")
DATABASE = (400, "DB error: ")
PUBLISH = (500, "Failed to publish job: ")

SQLITE = Combination("sql", "sqlite", "local", processes=2)
POSTGRESQL = Combination("sql", "postgresql", "local", processes=2)
REDIS_LOCK = Combination("redis", "sqlite", "local", processes=2)
REDIS_BROKER = Combination("sql", "sqlite", "redis", processes=2)
RABBITMQ_BROKER = Combination("sql", "sqlite", "rabbitmq", processes=2)

SERVICE = "python3 reference/chaos/service.py"


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks and how; `answer` is the status of a refused publish and how its text begins."""

    name: str
    combination: Combination
    answer: tuple[int, str]
    inject: str
    heal: str


def _script(name: str) -> tuple[str, str]:
    return f"reference/targets/{name} inject", f"reference/targets/{name} heal"


def _service(inject: str, heal: str, role: str) -> tuple[str, str]:
    return f"{SERVICE} {inject} {role}", f"{SERVICE} {heal} {role}"


_FULL_FILES = (
    "reference/targets/full-disk.sh inject $STAGE/files",
    "reference/targets/full-disk.sh heal $STAGE/files",
)
QUICK = (
    Fault("a file for the folder", SQLITE, JOB_DIR, *_script("file-for-folder.sh")),
    Fault(
        "no permission",
        SQLITE,
        JOB_DIR,
        "chmod 0555 $STAGE/files/uploads",
        "chmod 0755 $STAGE/files/uploads",
    ),
    Fault("a limit on file sizes", SQLITE, SAVE, *_script("file-limit.sh")),
    Fault("a full disk", SQLITE, SAVE, *_FULL_FILES),
    Fault("a full database", SQLITE, DATABASE, *_script("full-sqlite.sh")),
)
SLOW = (
    Fault("no room for a folder", SQLITE, JOB_DIR, *_script("no-inodes.sh")),
    Fault("a locked database", SQLITE, DATABASE, *_script("locked-sqlite.sh")),
    Fault("a read-only database", SQLITE, DATABASE, *_script("read-only-sqlite.sh")),
    Fault("PostgreSQL crashed", POSTGRESQL, DATABASE, *_service("crash", "start", "database")),
    Fault("PostgreSQL paused", POSTGRESQL, DATABASE, *_service("pause", "resume", "database")),
    Fault("PostgreSQL read-only", POSTGRESQL, DATABASE, *_script("read-only-postgresql.sh")),
    Fault("PostgreSQL locked", POSTGRESQL, DATABASE, *_script("locked-postgresql.sh")),
    Fault("Redis lock crashed", REDIS_LOCK, PUBLISH, *_service("crash", "start", "lock")),
    Fault("Redis lock paused", REDIS_LOCK, PUBLISH, *_service("pause", "resume", "lock")),
    Fault("Redis broker crashed", REDIS_BROKER, PUBLISH, *_service("crash", "start", "broker")),
    Fault("Redis broker paused", REDIS_BROKER, PUBLISH, *_service("pause", "resume", "broker")),
    Fault("RabbitMQ crashed", RABBITMQ_BROKER, PUBLISH, *_service("crash", "start", "broker")),
    Fault("RabbitMQ paused", RABBITMQ_BROKER, PUBLISH, *_service("pause", "resume", "broker")),
)


@dataclass(frozen=True, slots=True)
class Api:
    """The server as its clients see it. Answers are (status, body, seconds)."""

    stage: Stage

    def publish(
        self, session: str, first: Image | None = None
    ) -> tuple[int, dict[str, str], float]:
        form = encode(publish_parts(session, first or small_png(1), small_jpeg(2)))
        return self._ask("POST", "/publish", form.body, {"Content-Type": form.content_type})

    def accepted(self, session: str) -> str:
        status, told, _ = self.publish(session)
        assert status == 200, told
        return told["jobId"]

    def status(self, job: str) -> tuple[int, dict[str, str], float]:
        return self._ask("GET", f"/status/{job}", None, {})

    def url_of(self, job: str) -> str:
        """Wait for the job to be completed."""
        deadline = time.monotonic() + COMPLETED_WITHIN_S
        while (told := self.status(job)[1]).get("status") != "completed":
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        return told["image_url"]

    def folders(self) -> set[str]:
        return {folder.name for folder in (self.stage.folder / "files" / "uploads").iterdir()}

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], float]:
        port = self.stage.cluster.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2 * ANSWER_WITHIN_S)
        began = time.monotonic()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told, time.monotonic() - began


class Stages:
    """The stage of the last test, kept for the next one of the same combination."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._last: Stage | None = None

    def of(self, combination: Combination) -> Stage:
        if self._last is not None and self._last.combination == combination:
            return self._last
        self.close()
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o711)  # PostgreSQL and RabbitMQ run as other users
        stage = Stage(combination, folder, lease=LEASE_S, workers=1)
        self._last = self._open.enter_context(stage)
        return self._last

    def close(self) -> None:
        self._last = None
        self._open.close()


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    stages = Stages()
    yield stages
    stages.close()


@pytest.fixture
def api(request: pytest.FixtureRequest, stages: Stages) -> Api:
    try:
        return Api(stages.of(request.param))
    except MissingProgramError as missing:
        if IN_CI:
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def _run(command: str, stage: Stage) -> None:
    """Run a command as the kit would: through the shell, in the folder of the project."""
    environment = os.environ | stage.environment
    done = subprocess.run(
        ["sh", "-c", command],
        env=environment,
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "needs root" in done.stdout and not IN_CI:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _broken(fault: Fault, stage: Stage) -> Iterator[None]:
    try:
        _run(fault.inject, stage)
        yield
    finally:
        _run(fault.heal, stage)


@contextmanager
def _resting_worker(stage: Stage) -> Iterator[None]:
    """Let no job end meanwhile."""
    _run("kill -STOP $(cat $STAGE/worker0.pid)", stage)
    try:
        yield
    finally:
        _run("kill -CONT $(cat $STAGE/worker0.pid)", stage)


def _is_refused(answer: tuple[int, dict[str, str], float], expected: tuple[int, str]) -> None:
    status, told, seconds = answer
    text, prefix = told.get("error", ""), expected[1]
    assert (status, text[: len(prefix)]) == expected, told
    assert text[len(prefix) :].strip(), "no reason"
    assert seconds < ANSWER_WITHIN_S


def _publish_through(fault: Fault, api: Api) -> None:
    done = api.accepted(f"{fault.name}: done")
    url = api.url_of(done)
    with _resting_worker(api.stage):
        held = api.accepted(f"{fault.name}: held")
        refused = [f"{fault.name}: {number}" for number in range(5)]

        with _broken(fault, api.stage):
            for session in refused[:2]:
                _is_refused(api.publish(session), fault.answer)
            with ThreadPoolExecutor(6) as crowd:
                for answer in crowd.map(api.publish, refused[2:] * 2):
                    _is_refused(answer, fault.answer)
            for job in (done, held):
                assert api.status(job)[2] < ANSWER_WITHIN_S

        retried = [api.publish(session) for session in refused]
        assert [status for status, _, _ in retried] == [200] * len(refused), retried
        assert max(seconds for _, _, seconds in retried) < AT_ONCE_S
        assert api.status(done)[:2] == (200, {"status": "completed", "image_url": url})
        assert api.status(held)[:2] == (200, {"status": "processing"})
        assert api.publish(f"{fault.name}: held")[0] == 429
        jobs = {told["jobId"] for _, told, _ in retried} | {held}
        assert api.folders() == jobs

    for job in jobs:
        assert api.url_of(job)
    assert api.folders() == set()
    api.url_of(api.accepted(f"{fault.name}: held"))


def _parameters(faults: tuple[Fault, ...]) -> list[object]:
    return [pytest.param(f.combination, f, id=f.name.replace(" ", "-")) for f in faults]


@pytest.mark.parametrize(("api", "fault"), _parameters(QUICK), indirect=["api"])
def test_a_publish_into_a_fault(api: Api, fault: Fault) -> None:
    _publish_through(fault, api)


@pytest.mark.faults
@pytest.mark.parametrize(("api", "fault"), _parameters(SLOW), indirect=["api"])
def test_a_publish_into_a_slow_fault(api: Api, fault: Fault) -> None:
    _publish_through(fault, api)


@pytest.mark.parametrize("api", [SQLITE], indirect=True)
def test_a_disk_that_fills_during_the_save(api: Api) -> None:
    """Half of the larger image finds room, and gives it back."""
    fill, free = _FULL_FILES
    fault = Fault("", SQLITE, SAVE, f"{fill} && truncate --size=-64K $STAGE/files/filler", free)
    with _broken(fault, api.stage):
        _is_refused(api.publish("large", LARGE), SAVE)
        api.url_of(api.accepted("small"))

    api.url_of(api.publish("large", LARGE)[1]["jobId"])


@pytest.mark.parametrize("api", [SQLITE], indirect=True)
def test_a_disk_without_room_for_the_request(api: Api) -> None:
    """A large request waits in a file before it is looked at."""
    fault = Fault("", SQLITE, SAVE, *_script("file-limit.sh"))
    with _broken(fault, api.stage):
        _is_refused(api.publish("large", LARGE), SAVE)

    api.url_of(api.publish("large", LARGE)[1]["jobId"])


@pytest.mark.faults
@pytest.mark.parametrize("api", [POSTGRESQL], indirect=True)
def test_postgresql_killed_in_mid_transaction(api: Api) -> None:
    """The job's row is inserted, its commit does not come any more."""
    with _resting_worker(api.stage), ThreadPoolExecutor(1) as client:
        _run("reference/targets/locked-postgresql.sh inject session_locks", api.stage)
        waiting = client.submit(api.publish, "killed")
        _run("reference/targets/locked-postgresql.sh wait", api.stage)
        _run(f"{SERVICE} crash database", api.stage)
        _is_refused(waiting.result(), DATABASE)
        _run(f"{SERVICE} start database", api.stage)

        assert api.publish("killed")[0] == 200
