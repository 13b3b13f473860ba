"""`onejob load URL --headless`: convicts the broken, passes the right, says what is wrong."""

import json
import subprocess
import sys
import threading

import pytest

from onejob_contract.history import read_history
from onejob_contract.linearizability import Verdict, judge
from onejob_fixtures.servers import running

SHORT = ("--headless", "--users", 8, "--run-time", 4, "--upload-s", 0.2)


def test_a_correct_lock_passes_and_the_report_holds_everything(onejob_load, tmp_path):
    report = tmp_path / "report"

    with running("correct") as url:
        said = onejob_load(url, *SHORT, "--report", report)

    assert said.exit == 0, said.out + said.err
    assert "PASSED" in said.out
    saved = json.loads((report / "report.json").read_text("utf-8"))
    assert saved["verdict"] == "passed"
    assert saved["figures"]["races.overlap"] > 0.5
    assert saved["url"] in (report / "report.html").read_text("utf-8")
    assert "## passed" in (report / "summary.md").read_text("utf-8")
    with (report / "history.jsonl").open(encoding="utf-8") as lines:
        judgement = judge(read_history(lines))
    assert judgement.verdict is Verdict.LINEARIZABLE
    assert judgement.operations == saved["figures"]["requests.count"]


@pytest.mark.parametrize("broken", ["no-lock", "check-then-set-20-ms", "release-by-session"])
def test_a_broken_lock_is_convicted(onejob_load, broken):
    with running(broken) as url:
        said = onejob_load(url, *SHORT)

    assert said.exit == 1, said.out + said.err
    assert "the lock did not hold" in said.out
    assert "double grant in session" in said.out


@pytest.mark.parametrize("server", ["worker-in-300-ms", "hidden-404-worker-in-300-ms"])
def test_a_server_with_its_own_worker_is_watched_and_passes(onejob_load, server):
    with running(server) as url:
        said = onejob_load(url, *SHORT)

    assert said.exit == 0, said.out + said.err
    assert "completed by the server's own worker" in said.out


def test_several_processes_are_one_run(onejob_load, tmp_path):
    with running("correct") as url:
        said = onejob_load(url, *SHORT, "--processes", 2, "--report", tmp_path)

    assert said.exit == 0, said.out + said.err
    saved = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert len(saved["generators"]) == 2
    assert not any(one["lost"] for one in saved["generators"])


def test_a_missed_threshold_is_exit_1(onejob_load):
    with running("correct") as url:
        said = onejob_load(url, *SHORT, "--thresholds", "granted.p50<1us")

    assert said.exit == 1
    assert "MISSED granted.p50<1us" in said.out


def test_a_server_that_dies_is_exit_3_and_what_was_recorded_is_saved(onejob_load, tmp_path):
    said = []
    arguments = ("--headless", "--run-time", 14, "--think", 0.2, "--report", tmp_path)
    with running("correct") as url:
        run = threading.Thread(target=lambda: said.append(onejob_load(url, *arguments)))
        run.start()
        # given the server serves for about half of the run, and then is killed
        run.join(timeout=8)
    run.join(timeout=100)

    assert said[0].exit == 3, said[0].out + said[0].err
    assert "the target stopped answering" in said[0].out
    assert (tmp_path / "history.jsonl").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (("http://127.0.0.1:9", "--headless"), 3, "http://127.0.0.1:9 cannot be reached"),
        (("ftp://server", "--headless"), 2, "is no http:// or https:// URL"),
        (("--headless",), 2, "name the URL of the server"),
        (("http://127.0.0.1:9", "--racers", "1"), 2, "--racers must be from 2 to 256"),
        (("http://127.0.0.1:9", "--target", "none.toml"), 2, "cannot read the target file"),
        (("--compare", "here", "there"), 2, "cannot read here"),
    ],
)
def test_bad_input_is_one_sentence_and_an_exit_code(onejob_load, arguments, exit_code, sentence):
    said = onejob_load(*arguments)

    assert said.exit == exit_code
    assert said.err.startswith("onejob load: ")
    assert sentence in said.err
    assert "Traceback" not in said.err


def test_the_command_does_not_import_locust():
    program = "import sys, onejob_load.command; print('locust' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"
