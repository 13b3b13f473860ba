"""A master and workers as plain Locust starts them: one run, one verdict, whoever is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from onejob_fixtures.servers import running

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
START_LIMIT_S = 30
END_LIMIT_S = 90


@dataclass(slots=True)
class Crew:
    """A master and its workers, in a folder that gets their logs and the report."""

    folder: Path
    url: str
    port: int
    master: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def lead(self, *options: str) -> None:
        """Start the master of a headless run with two workers."""
        ways = ("--master", "--master-bind-port", str(self.port), "--expect-workers", "2")
        run = ("--headless", "--users", "12", "--spawn-rate", "50", "--upload-s", "0.3")
        where = ("--host", self.url, "--report", str(self.folder / "report"))
        self.master = self._start("master", (*ways, *run, *where, *options))

    def join(self, *wrapper: str) -> None:
        """Start a worker, through another command if one is given."""
        ways = ("--worker", "--master-host", "127.0.0.1", "--master-port", str(self.port))
        name = f"worker{len(self.workers)}"
        self.workers.append(self._start(name, ways, wrapper))

    def ended(self) -> int:
        """Wait for the end of the run and give its exit code."""
        assert self.master is not None
        return self.master.wait(END_LIMIT_S)

    def said(self) -> str:
        """Give all that the master has printed so far."""
        return (self.folder / "master.log").read_text("utf-8")

    def report(self) -> dict[str, Any]:
        """Give the saved report."""
        saved: dict[str, Any] = json.loads((self.folder / "report" / "report.json").read_text())
        return saved

    def close(self) -> None:
        """End what still runs."""
        for process in (*self.workers, self.master):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _start(
        self, name: str, options: tuple[str, ...], wrapper: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        command = [*wrapper, sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with ExitStack() as stack:
        url = stack.enter_context(running("correct"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        crew = Crew(tmp_path, url, port)
        stack.callback(crew.close)
        yield crew


def wait_until_both_generate(crew: Crew) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while "All users spawned" not in crew.said():
        assert time.monotonic() < deadline, crew.said()
        time.sleep(0.05)


def test_two_workers_of_one_machine_share_sessions_and_one_judge(crew: Crew) -> None:
    crew.lead("--run-time", "5")
    crew.join()
    crew.join()

    assert crew.ended() == 0, crew.said()

    report = crew.report()
    assert len(report["generators"]) == 2
    assert len({one["clock"] for one in report["generators"]}) == 1
    assert report["figures"]["violations"] == 0
    assert not any("machines" in note for note in report["notes"])


def test_a_worker_that_is_killed_makes_the_run_inconclusive_and_what_it_told_is_judged(
    crew: Crew,
) -> None:
    crew.lead("--run-time", "12")
    crew.join()
    crew.join()
    wait_until_both_generate(crew)
    told = crew.folder / "report" / "history.jsonl"

    os.killpg(crew.workers[0].pid, signal.SIGKILL)

    assert crew.ended() == 3, crew.said()
    report = crew.report()
    assert [one["lost"] for one in report["generators"]].count(True) == 1
    assert "was lost" in report["because"]
    assert report["figures"]["violations"] == 0
    assert told.stat().st_size > 0


def test_workers_of_two_machines_have_sessions_of_their_own(crew: Crew, tmp_path: Path) -> None:
    """Another machine is known by another boot id, which a private mount shows to one worker."""
    other = tmp_path / "boot_id"
    other.write_text(f"{uuid.uuid4()}\n")
    elsewhere = ("unshare", "--mount", "sh", "-c", f'mount --bind {other} {BOOT_ID} && exec "$@"')
    may = shutil.which("unshare") is not None and os.geteuid() == 0
    if not may or subprocess.run([*elsewhere, "sh", "true"], check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces (Linux, unshare)")
    crew.lead("--run-time", "5")
    crew.join()
    crew.join(*elsewhere, "sh")

    assert crew.ended() == 0, crew.said()

    report = crew.report()
    history = map(json.loads, (tmp_path / "report" / "history.jsonl").read_text().splitlines())
    machines = {one["clock"] for one in report["generators"]}
    sessions = {operation["session"] for operation in history}
    assert len(machines) == 2
    assert all(len({clock for clock in machines if clock in one}) == 1 for one in sessions)
    assert "2 machines: their clocks cannot be compared" in " ".join(report["notes"])
