"""What `deploy/compose.yaml` says runs: its commands and settings, on services of our own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from processes import end, ready_line, small_form
from service import MissingProgramError, Service, own_postgresql, own_rabbitmq, own_redis

IN_CI = os.environ.get("CI") == "true"
COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
SHARED = "known to both sides"
SERVICES: dict[str, Callable[[Path, str], Service]] = {
    "postgresql": own_postgresql,
    "redis": own_redis,
    "rabbitmq": own_rabbitmq,
}


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


@pytest.fixture
def hosts() -> Iterator[dict[str, Service]]:
    """The services by their names in the compose file, on free ports."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        folder.chmod(0o711)  # PostgreSQL and RabbitMQ run as other users
        services = {}
        try:
            for name, make in SERVICES.items():
                services[name] = make(folder, name)
                stack.callback(services[name].crash)
                services[name].start()
        except MissingProgramError as missing:
            if IN_CI:
                raise
            pytest.skip(str(missing))
        yield services


def settings(service: dict[str, Any], hosts: dict[str, Service], **given: str) -> dict[str, str]:
    """Its environment as compose fills it in; URLs of services lead to ours."""

    def filled(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if name not in given and default is None:
            return "not used"
        return given.get(name, default)

    environment = {}
    for name, value in service["environment"].items():
        text = re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?)\}", filled, value)
        ours = hosts.get(urlsplit(text).hostname or "")
        if ours is not None:
            assert text.partition("://")[0] == ours.url.partition("://")[0]
        environment[name] = ours.url if ours is not None else text
    return environment


@contextmanager
def onejob(
    command: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[str]]:
    program = str(Path(sys.executable).with_name("onejob"))
    with log.open("a") as file:
        process = subprocess.Popen(
            [program, *command],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            end(process)


def test_the_composed_server_and_workers_complete_a_job(
    composed: dict[str, Any], hosts: dict[str, Service], tmp_path: Path
) -> None:
    roots = {
        "ONEJOB_UPLOAD_ROOT": str(tmp_path / "uploads"),
        "ONEJOB_RESULT_ROOT": str(tmp_path / "results"),
    }
    for root in roots.values():
        Path(root).mkdir()
    log = tmp_path / "log"
    server, worker = composed["server"], composed["worker"]
    command = [word.replace("0.0.0.0:5000", "127.0.0.1:0") for word in server["command"]]
    with ExitStack() as stack:
        given = settings(server, hosts, ONEJOB_UPDATE_SECRET=SHARED) | roots
        serving = stack.enter_context(onejob(command, given, log))
        url = ready_line(serving).removeprefix("listening on ")
        given = settings(worker, hosts, ONEJOB_UPDATE_SECRET=SHARED, ONEJOB_RESULT_URL=url) | roots
        assert given["ONEJOB_URL"] == "http://server:5000"
        for _ in range(worker["deploy"]["replicas"]):
            working = onejob(worker["command"], given | {"ONEJOB_URL": url}, log)
            assert ready_line(stack.enter_context(working)) == f"working for {url}"

        form = small_form("alice")
        publish = urllib.request.Request(  # noqa: S310 (our own address)
            f"{url}/publish", form.body, {"Content-Type": form.content_type}
        )
        job_id = _told(publish)["jobId"]
        deadline = time.monotonic() + 30
        while (status := _told(f"{url}/status/{job_id}"))["status"] != "completed":
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        with urllib.request.urlopen(status["image_url"]) as picture:  # noqa: S310
            assert picture.read(4) == b"\x89PNG"


def test_every_service_is_waited_for_and_has_a_health_check(composed: dict[str, Any]) -> None:
    for name in ("server", "worker"):
        waited_for = composed[name]["depends_on"]
        assert set(waited_for) == set(SERVICES)
        assert {one["condition"] for one in waited_for.values()} == {"service_healthy"}
    assert all("healthcheck" in composed[name] for name in (*SERVICES, "server"))


def _told(request: str | urllib.request.Request) -> dict[str, str]:
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        told: dict[str, str] = json.load(answer)
        return told
