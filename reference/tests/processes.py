"""`onejob serve` and `onejob worker` as real processes, and their clients."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onejob_fixtures.forms import Form, encode, publish_parts
from onejob_fixtures.images import small_jpeg, small_png


def small_form(session: str) -> Form:
    """Return the form of a publish of two small images."""
    return encode(publish_parts(session, small_png(1), small_jpeg(2)))


@dataclass(frozen=True, slots=True)
class Served:
    """A running `onejob serve` and what its worker needs to know."""

    process: subprocess.Popen[str]
    port: int
    settings: dict[str, str]
    log: Path

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """One request on a connection of its own; returns `STATUS BODY`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": kind, "X-Onejob-Request": "run-1"} if kind else {}
        connection.request(method, path, body, headers)
        with connection.getresponse() as answer:
            told = f"{answer.status} ".encode() + answer.read().strip()
        connection.close()
        return told

    def publish(self, session: str) -> bytes:
        """Publish two small images; returns `STATUS BODY`."""
        form = small_form(session)
        return self.ask("POST", "/publish", form.body, form.content_type)

    def children(self) -> set[int]:
        """Give the ids of the server processes."""
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def send(self, raw: bytes) -> socket.socket:
        """Send bytes on a connection of its own, which stays open."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(raw)
        return connection


def start(command: str, settings: dict[str, str], log: Path) -> subprocess.Popen[str]:
    """Start a command of the reference."""
    program = f"from onejob_reference.commands import {command}; {command}()"
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )


def ready_line(process: subprocess.Popen[str]) -> str:
    """Wait for the line that says it is ready."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> int:
    """End it gracefully and give its exit code."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(20)
    finally:
        process.kill()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Served]:
    """Serve on a free port, everything else in the folder, with these settings besides."""
    (folder / "uploads").mkdir()
    chosen = {
        "ONEJOB_DATABASE": f"sqlite:///{folder / 'jobs.sqlite3'}",
        "ONEJOB_UPLOAD_ROOT": str(folder / "uploads"),
        "ONEJOB_RESULT_ROOT": str(folder / "results"),
        "ONEJOB_BIND": "127.0.0.1:0",
        **settings,
    }
    log = folder / "serve.log"
    process = start("serve", chosen, log)
    url = ready_line(process).removeprefix("listening on ")
    try:
        yield Served(process, int(url.rpartition(":")[2]), chosen | {"ONEJOB_URL": url}, log)
    finally:
        if process.poll() is None:
            end(process)


@contextmanager
def working(settings: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Let a worker work."""
    process = start("worker", settings, log)
    try:
        yield process
    finally:
        if process.poll() is None:
            end(process)
