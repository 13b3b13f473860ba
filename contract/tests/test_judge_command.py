"""`onejob judge`: what it says, what it writes, and how it ends."""

import gzip
import json
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
import pytest
from click.testing import CliRunner, Result

from onejob_contract.commands.judge import judge

GRANT_A = (
    '{"session": "s", "client": "ann", "operation": "publish", "job": "A",'
    ' "invoked_ns": 0, "returned_ns": 10, "outcome": "granted"}'
)
FINISH_A = (
    '{"client": "worker", "operation": "update", "job": "A", "url": "https://r/1",'
    ' "invoked_ns": 90, "returned_ns": 99, "outcome": "ok"}'
)
GRANT_B = (
    '{"session": "s", "client": "<b>&bob", "operation": "publish", "job": "B",'
    ' "invoked_ns": 50, "returned_ns": 60, "outcome": "granted"}'
)
RIGHT = f"{GRANT_A}\n{FINISH_A}\n"
WRONG = f"{GRANT_A}\n{GRANT_B}\n{FINISH_A}\n"


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(judge, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def right(tmp_path: Path) -> Path:
    path = tmp_path / "right.jsonl"
    path.write_text(RIGHT)
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.jsonl"
    path.write_text(WRONG)
    return path


def test_a_right_history_ends_with_0(right: Path) -> None:
    said = run(right)

    assert said.exit_code == 0
    assert "right.jsonl: linearizable (2 operations" in said.output


def test_a_wrong_history_ends_with_1_and_says_why(wrong: Path) -> None:
    said = run(wrong)

    assert said.exit_code == 1
    assert "not linearizable" in said.output
    assert "job A certainly held the session" in said.output
    assert "job B was granted meanwhile" in said.output


def test_a_history_may_be_gzipped_or_come_from_standard_input(tmp_path: Path) -> None:
    zipped = tmp_path / "history.jsonl.gz"
    zipped.write_bytes(gzip.compress(WRONG.encode()))

    assert run(zipped).exit_code == 1
    assert run("-", stdin=RIGHT.encode()).exit_code == 0
    assert run("-", stdin=gzip.compress(WRONG.encode())).exit_code == 1


def test_json_is_one_line_a_file(right: Path, wrong: Path) -> None:
    said = run("--json", right, wrong)

    first, second = map(json.loads, said.output.splitlines())
    assert said.exit_code == 1
    assert (first["verdict"], first["operations"], first["witness"]) == ("linearizable", 2, [])
    assert second["verdict"] == "violation"
    assert [operation["job"] for operation in second["witness"]] == ["A", "B", "A"]
    assert set(second) == {"file", "verdict", "operations", "seconds", "witness", "explanation"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "an operation is a JSON object"),
        (GRANT_A.replace("granted", "maybe"), '"outcome" is "maybe"'),
        (GRANT_A.replace("granted", "ok"), 'a publish cannot have the outcome "ok"'),
        (GRANT_A.replace('"invoked_ns": 0', '"invoked_ns": 11'), "the operation returned before"),
        (GRANT_A.replace('"session": "s", ', ""), 'a publish needs a "session"'),
        (GRANT_A.replace('"job": "A",', ""), 'a granted publish needs a "job"'),
        (GRANT_A.replace("10", "null"), '"returned_ns" is null exactly when'),
    ],
)
def test_a_malformed_line_ends_with_2_and_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(f"{RIGHT}{line}\n")

    said = run(path)

    assert said.exit_code == 2
    assert f"broken.jsonl: line 3: {reason}" in said.stderr


def test_damaged_bytes_end_with_2_and_no_traceback(tmp_path: Path, right: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(WRONG.encode())[:-20])
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b"\xff\xfe\n")

    said = run(cut, latin, tmp_path / "missing.jsonl", right)

    assert said.exit_code == 2
    assert "the gzip stream is damaged" in said.stderr
    assert "line 1: not UTF-8" in said.stderr
    assert "No such file or directory" in said.stderr
    assert "right.jsonl: linearizable" in said.stdout


def test_an_empty_history_proves_nothing_and_ends_with_3(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")

    said = run(path)

    assert said.exit_code == 3
    assert "nothing was observed" in said.output


def test_a_report_holds_picture_json_and_summary(tmp_path: Path, wrong: Path, right: Path) -> None:
    folder = tmp_path / "report"

    run("--report", folder, wrong, right)

    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "<b>&bob" not in page
    assert "&lt;b&gt;&amp;bob" in page
    report = json.loads((folder / "report.json").read_text())
    assert [history["verdict"] for history in report["histories"]] == ["violation", "linearizable"]
    assert "| violation | 3 |" in (folder / "summary.md").read_text()


def test_a_live_worker_may_have_completed_a_job_unrecorded(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.write_text(f"{GRANT_A}\n{GRANT_B}\n")

    assert run(path).exit_code == 1
    assert run("--live-worker", path).exit_code == 0


def test_a_report_and_the_printed_lines_fit_their_published_schema(
    tmp_path: Path, wrong: Path, right: Path
) -> None:
    said = run("--json", "--report", tmp_path / "out", wrong, right)

    schema = files("onejob_contract").joinpath("schemas/judgement.schema.json").read_text("utf-8")
    fits = jsonschema_rs.Draft202012Validator(json.loads(schema)).is_valid
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert fits(report)
    assert fits({"schema": 1, "histories": [json.loads(line) for line in said.output.splitlines()]})
    report["histories"][0]["witness"] = []
    assert not fits(report), "a violation without a witness is none"
