"""Faults are injected on purpose, told apart when they go wrong, and never left behind."""

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from kit import CommandLine, Said, command

from onejob_contract.leftovers import leftovers
from onejob_contract.verdict import Exit
from onejob_fixtures.servers import running
from onejob_fixtures.servers.backends import SWITCHES

DATABASE = "PUBLISH-DATABASE-FAILURE"
FAULTS = (
    "PUBLISH-JOB-DIR-FAILURE",
    "PUBLISH-SAVE-FAILURE",
    DATABASE,
    "PUBLISH-BROKER-FAILURE",
    "FAULT-NO-HANG",
    "FAULT-RECOVERY",
    "FAULT-JOBS-SURVIVE",
    "FAULT-HISTORY",
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes of injected faults are kept where only this test looks."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def url() -> Iterator[str]:
    with running("correct") as url:
        yield url


def switch(url: str, fault: str, way: str) -> str:
    return f"{url}/-/faults/{fault}/{way}"


def target(folder: Path, url: str, faults: Mapping[str, tuple[str, str]], timeout: float) -> Path:
    """Write a target file; `faults` maps names to inject and heal."""
    lines = [f'url = "{url}"']
    for name, (inject, heal) in faults.items():
        lines += [f"[faults.{name}]", f"inject = '{inject}'", f"heal = '{heal}'"]
        lines.append(f"timeout = {timeout}")
    path = folder / "onejob.toml"
    path.write_text("\n".join(lines))
    return path


def judged(user: CommandLine, file: Path, *requirements: str) -> Said:
    chosen = ("--select", ",".join(requirements))
    return user.onejob("check", "--target", file, "--profile", "quick", *chosen)


@pytest.mark.parametrize("worker", ["auto", "live"])
def test_a_correct_server_passes_under_every_fault(user: CommandLine, worker: str) -> None:
    with running("correct" if worker == "auto" else "worker-in-30-ms") as url:
        faults = {f: (switch(url, f, "inject"), switch(url, f, "heal")) for f in SWITCHES}
        file = target(user.folder, url, faults, 10)
        said = user.onejob(
            *("check", "--target", file, "--profile", "quick", "--worker", worker),
            *("--select", ",".join(FAULTS)),
        )
    assert said.exit == Exit.CONFORMANT, said.everything
    assert "8 requirements hold" in said.out


def test_a_fast_worker_that_can_be_stopped_leaves_nothing_unobserved(user: CommandLine) -> None:
    with running("worker-in-30-ms") as url:
        stop = {"worker_stop": tuple(switch(url, "worker_stop", w) for w in ("inject", "heal"))}
        file = target(user.folder, url, stop, 10)
        said = user.onejob("check", "--target", file, "--profile", "quick")

        assert said.exit == Exit.CONFORMANT, said.everything
        assert "live worker" in said.out
        assert leftovers(url) == []
        assert "(one within" in user.onejob("doctor", url).out, "the worker is at work again"


def test_a_worker_that_alone_can_complete_jobs_is_left_at_work(user: CommandLine) -> None:
    marker = user.folder / "stopped"
    with running("hidden-401-worker-in-30-ms") as url:
        file = target(user.folder, url, {"worker_stop": (f"touch {marker}", "true")}, 10)
        said = judged(user, file, "STATUS-COMPLETED")

    assert said.exit == Exit.CONFORMANT, said.everything
    assert not marker.exists()


@pytest.mark.parametrize("inject", ["true", "echo no such unit; exit 5"])
def test_a_fast_worker_that_goes_on_all_the_same_accuses_nobody(
    user: CommandLine, inject: str
) -> None:
    with running("worker-in-30-ms") as url:
        file = target(user.folder, url, {"worker_stop": (inject, "true")}, 10)
        said = user.onejob("check", "--target", file, "--profile", "quick")

    assert said.exit == Exit.NOT_JUDGED, said.everything
    assert "the server's own worker finished the job first" in said.out


@pytest.mark.parametrize(
    ("inject", "told"),
    [
        ("echo no such container; exit 7", "ended with 7; it said: no such container"),
        ("echo stopping it; sleep 60", "did not end within 1 s; it said: stopping it"),
        ("echo done", "does not show: 3 publishes were granted; inject said: done"),
    ],
    ids=["fails", "hangs", "does nothing"],
)
def test_an_inject_that_breaks_nothing_is_told_and_judges_nothing(
    user: CommandLine, url: str, inject: str, told: str
) -> None:
    said = judged(user, target(user.folder, url, {"database": (inject, "true")}, 1), DATABASE)

    assert said.exit == Exit.NOT_JUDGED
    assert told in said.out
    assert leftovers(url) == []


def test_a_fault_that_shows_as_another_accuses_nobody(user: CommandLine, url: str) -> None:
    faults = {"job_dir": (switch(url, "database", "inject"), switch(url, "database", "heal"))}

    said = judged(user, target(user.folder, url, faults, 10), "PUBLISH-JOB-DIR-FAILURE")

    assert said.exit == Exit.NOT_JUDGED
    assert "shows as another documented failure" in said.out


def test_a_heal_that_fails_stops_the_run_and_says_how_to_clean_up(
    user: CommandLine, url: str
) -> None:
    broken = {"database": (switch(url, "database", "inject"), "echo no permission; exit 1")}
    file = target(user.folder, url, broken, 2)

    said = judged(user, file, "HEALTH-OK", DATABASE, "FAULT-RECOVERY", "LOCK-LINEARIZABLE")

    assert said.exit == Exit.NOT_JUDGED
    assert "could not be healed" in said.out
    assert "no permission" in said.out
    assert f"onejob doctor {url} --heal" in said.out
    assert "a fault could not be healed before" in said.out

    again = judged(user, file, "HEALTH-OK")
    assert again.exit == Exit.NOT_JUDGED
    assert "is broken on purpose" in again.err

    still = user.onejob("doctor", "--target", file, "--heal")
    assert still.exit == Exit.NOT_JUDGED
    assert "no permission" in still.out

    mended = {"database": (switch(url, "database", "inject"), switch(url, "database", "heal"))}
    healed = user.onejob("doctor", "--target", target(user.folder, url, mended, 2), "--heal")
    assert healed.exit == Exit.CONFORMANT, healed.everything
    assert "healed: the fault database" in healed.out
    assert judged(user, file, DATABASE).exit == Exit.CONFORMANT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_while_something_is_broken(
    user: CommandLine, url: str, number: signal.Signals
) -> None:
    """Ctrl-C heals; a kit that is killed cannot, but the next one knows."""
    marker = user.folder / "injected"
    inject = f"curl -sS -X POST {switch(url, 'database', 'inject')} && touch {marker} && sleep 3"
    file = target(user.folder, url, {"database": (inject, switch(url, "database", "heal"))}, 10)
    run = subprocess.Popen(
        command("onejob_contract.cli", "check", "--target", file, "--select", DATABASE),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not marker.exists():
        assert time.monotonic() < deadline, "the fault was never injected"
        time.sleep(0.01)
    assert [left.fault.name for left in leftovers(url)] == ["database"]
    run.send_signal(number)
    ended = run.wait(30)

    if number is signal.SIGKILL:
        said = judged(user, file, "HEALTH-OK")
        assert said.exit == Exit.NOT_JUDGED
        assert "has been injected since" in said.err
        assert "by a run that died" in said.err
        assert user.onejob("doctor", url).exit == Exit.NOT_JUDGED
        assert user.onejob("doctor", url, "--heal").exit == Exit.CONFORMANT
    else:
        assert ended == Exit.NOT_JUDGED
    assert leftovers(url) == []
    assert judged(user, file, "PUBLISH-ACCEPTED").exit == Exit.CONFORMANT


def test_a_second_run_is_refused_while_the_first_has_something_broken(
    user: CommandLine, url: str
) -> None:
    marker, told = user.folder / "injected", user.folder / "told"
    inject = f"curl -sS -X POST {switch(url, 'database', 'inject')}"
    held = f"{inject}; touch {marker}; until test -e {told}; do sleep 0.02; done"
    faults = {"database": (held, switch(url, "database", "heal"))}
    file = target(user.folder, url, faults, 50)
    with subprocess.Popen(
        command("onejob_contract.cli", "check", "--target", file, "--select", DATABASE),
        stdout=subprocess.DEVNULL,
    ) as first:
        deadline = time.monotonic() + 30
        while not marker.exists():
            assert time.monotonic() < deadline, "the fault was never injected"
            time.sleep(0.01)
        try:
            second = judged(user, file, DATABASE)
        finally:
            told.touch()
    assert first.returncode == Exit.CONFORMANT
    assert second.exit == Exit.NOT_JUDGED
    assert "which still runs" in second.err
