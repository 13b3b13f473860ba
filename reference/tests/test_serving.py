"""Real processes: `onejob serve` under clients that are too large, too slow or no HTTP at all."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import Served, end, ready_line, serving, working

from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import small_jpeg, small_png

MIB = 2**20
THREADS = 3


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    limits = {"ONEJOB_THREADS": str(THREADS), "ONEJOB_MAX_UPLOAD": str(60 * MIB)}
    with serving(tmp_path, **limits) as served:
        yield served


def test_two_processes_take_a_job_from_publish_to_picture(served: Served, tmp_path: Path) -> None:
    with working(served.settings, tmp_path / "worker.log") as worker:
        assert ready_line(worker) == f"working for {served.settings['ONEJOB_URL']}"
        job_id = json.loads(served.publish("alice").removeprefix(b"200 "))["jobId"]

        deadline = time.monotonic() + 30
        while b"completed" not in (told := served.ask("GET", f"/status/{job_id}")):
            assert time.monotonic() < deadline, told
            time.sleep(0.02)

        url = json.loads(told.removeprefix(b"200 "))["image_url"]
        path = url.removeprefix(served.settings["ONEJOB_URL"])
        assert served.ask("GET", path).startswith(b"200 \x89PNG")
        assert end(worker) == 0
    assert end(served.process) == 0
    entries = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert {"session": "alice", "job": job_id, "request": "run-1"}.items() <= next(
        entry for entry in entries if entry.get("path") == "/publish"
    ).items()


def _peak_memory(pid: int) -> int:
    """Return the largest resident size so far of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_a_large_upload_does_not_sit_in_memory(served: Served) -> None:
    (pid,) = served.children()
    served.publish("warm")
    before = _peak_memory(pid)
    form = encode(publish_parts("large", small_png(1), small_jpeg(2)))
    padded = form.body.replace(small_png(1).content, bytes(50 * MIB))

    assert served.ask("POST", "/publish", padded, form.content_type).startswith(b"200 ")

    assert _peak_memory(pid) - before < 15 * MIB


def test_a_refused_upload_is_read_so_that_its_client_sees_the_refusal(served: Served) -> None:
    told = served.ask("POST", "/publish", bytes(70 * MIB), "multipart/form-data; boundary=b")

    assert told.startswith(b"413 {")


def test_an_upload_that_breaks_off_is_no_upload(served: Served, tmp_path: Path) -> None:
    form = encode(publish_parts("s", small_png(1), small_jpeg(2)))
    head = (
        f"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Type: {form.content_type}\r\n"
        f"Content-Length: {len(form.body)}\r\n\r\n"
    )
    with served.send(head.encode() + form.body[:-40]) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")

    assert list((tmp_path / "uploads").iterdir()) == []
    assert served.publish("s").startswith(b"200 ")


def test_slow_clients_cannot_take_all_threads(served: Served) -> None:
    head = b"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    slow = [served.send(head + b"Content-Length: 1000\r\n\r\nx") for _ in range(THREADS)]

    assert served.ask("GET", "/health").startswith(b"200 ")

    for connection in slow:
        assert connection.recv(1000) == b""
        connection.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"this is no HTTP\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9000 + b"\r\n\r\n", b"431"),
        (b"POST /publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused_in_json(served: Served, raw: bytes, status: bytes) -> None:
    with served.send(raw) as connection:
        answer = connection.recv(4000)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Content-Type: application/json" in answer


def test_requests_in_flight_survive_a_graceful_stop(served: Served) -> None:
    everybody_publishes = threading.Barrier(THREADS + 1)

    def publish_until_told_to_go(client: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        answers: list[int] = []
        goes_on = True
        while goes_on:
            form = encode(publish_parts(f"{client} {len(answers)}", small_png(1), small_jpeg(2)))
            connection.request("POST", "/publish", form.body, {"Content-Type": form.content_type})
            with connection.getresponse() as answer:
                answer.read()
                answers.append(answer.status)
                goes_on = not answer.will_close
            if len(answers) == 1:
                everybody_publishes.wait(30)
        connection.close()
        return answers

    with ThreadPoolExecutor(THREADS) as clients:
        running = [clients.submit(publish_until_told_to_go, number) for number in range(THREADS)]
        everybody_publishes.wait(30)
        assert end(served.process) == 0
        answered = [answer for client in running for answer in client.result()]

    assert set(answered) == {200}
