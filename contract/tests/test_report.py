"""What a run leaves behind: every format tells the same, and survives what servers say."""

import datetime
import io
import json
import re
import shlex
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema_rs
import pytest
from kit import judged
from rich.console import Console

from onejob_contract.client import AGENT, NO_AGENT
from onejob_contract.documented import Call, read
from onejob_contract.findings import Violation
from onejob_contract.report.curl import curl
from onejob_contract.report.document import document
from onejob_contract.report.evidence import explain_violation
from onejob_contract.report.files import write_report
from onejob_contract.report.html import page
from onejob_contract.report.junit import junit
from onejob_contract.report.markdown import summary
from onejob_contract.report.terminal import Terminal
from onejob_contract.session import Session
from onejob_contract.steps import Step
from onejob_contract.verdict import Ending
from onejob_contract.wire import Exchange, Origin, Request
from onejob_fixtures.forms import MALFORMED, Malformed, Part, encode, publish_parts
from onejob_fixtures.images import small_png
from onejob_fixtures.servers import running

NOW = datetime.datetime(2020, 2, 29, 12, 0, tzinfo=datetime.UTC)
HOSTILE = '<script>|\x00\x1b[31m\nnew ]]> & "line"</td>'


@pytest.fixture(scope="module")
def broken_server() -> Session:
    """A server whose refusal of a busy session has another status, judged on it and on health."""
    with running("busy-says-409") as url:
        return judged(url, "PUBLISH-BUSY", "HEALTH-OK", "RESPONSE-JSON")


@pytest.fixture
def report(broken_server: Session) -> dict[str, Any]:
    return document(broken_server, NOW)


def entry(report: dict[str, Any], id_: str) -> dict[str, Any]:
    return next(one for one in report["requirements"] if one["id"] == id_)


def pasted(steps: Sequence[Mapping[str, str]], folder: Path) -> str:
    """What the lines of these steps print in one shell."""
    done = subprocess.run(
        ["bash", "-c", "\n".join(step["curl"] for step in steps)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout


def parsed(xml: str) -> ET.Element:
    return ET.fromstring(xml)  # noqa: S314 (our own output)


def test_a_report_fits_its_published_schema(report: dict[str, Any]) -> None:
    schema = files("onejob_contract").joinpath("schemas/report.schema.json").read_text("utf-8")
    validator = jsonschema_rs.Draft202012Validator(json.loads(schema))
    assert [error.message for error in validator.iter_errors(report)] == []


def test_the_schema_knows_every_ending_of_a_check() -> None:
    schema = files("onejob_contract").joinpath("schemas/report.schema.json").read_text("utf-8")
    check = json.loads(schema)["$defs"]["check"]
    assert check["properties"]["ending"]["enum"] == [str(ending) for ending in Ending]


@pytest.mark.parametrize(
    ("member", "value"),
    [("verdict", "passed"), ("exit_code", 2), ("seed", None), ("because", ""), ("schema", 2)],
)
def test_the_schema_refuses_what_is_no_report(
    report: dict[str, Any], member: str, value: object
) -> None:
    schema = files("onejob_contract").joinpath("schemas/report.schema.json").read_text("utf-8")
    report[member] = value
    assert not jsonschema_rs.is_valid(json.loads(schema), report)


def test_a_broken_requirement_shows_expected_and_actual(report: dict[str, Any]) -> None:
    broken = entry(report, "PUBLISH-BUSY")
    assert report["verdict"] == "nonconformant"
    assert broken["verdict"] == "fail"
    (evidence,) = broken["evidence"]
    assert evidence["expected"] == '429 {"error": "Previous job still processing"}'
    assert evidence["actual"].startswith("409 ")
    assert evidence["seen"].startswith("shown again by the requests below")
    assert entry(report, "HEALTH-OK")["verdict"] == "pass"


def test_curl_lines_say_the_same_to_the_server_as_the_kit_did(tmp_path: Path) -> None:
    """Both publishes of the evidence, multipart bodies included, sent again by a shell."""
    with running("busy-says-409") as url:
        session = judged(url, "PUBLISH-BUSY")
        (evidence,) = entry(document(session, NOW), "PUBLISH-BUSY")["evidence"]
        assert len(evidence["steps"]) == 2, "a grant and its refusal are enough"
        for step in evidence["steps"]:
            answered = pasted([step], tmp_path)
            # The run left its session free, so the sequence can be had again as it was.
            status, _, body = step["response"].partition(" ")
            assert answered.startswith(f"HTTP/1.1 {status} ")
            assert json.loads(answered.splitlines()[-1]).keys() == json.loads(body).keys()


def test_a_sequence_pasted_into_a_shell_names_the_jobs_it_is_granted(tmp_path: Path) -> None:
    """The evidence of a repeated report that reopens a job, sent again as it is printed."""
    with running("repeat-reopens-job") as url:
        session = judged(url, "UPDATE-REPEATED")
        evidence, *_ = entry(document(session, NOW), "UPDATE-REPEATED")["evidence"]
        answered = pasted(evidence["steps"], tmp_path)
    assert evidence["actual"] == '200 {"status": "processing"}'
    assert answered.count("HTTP/1.1 200") == 3, "two reports and a poll of the job just granted"
    assert json.loads(answered.splitlines()[-1]) == {"status": "processing"}


def test_a_body_in_chunks_is_pasted_in_chunks(tmp_path: Path) -> None:
    """The report of which only the first chunk is kept: read in one chunk, refused in several."""
    with running("first-chunk-only") as url:
        session = judged(url, "ROBUST-UPDATE-BODY", "UPDATE-OK")
        evidence, *_ = entry(document(session, NOW), "UPDATE-OK")["evidence"]
        answered = pasted(evidence["steps"], tmp_path)
    assert evidence["steps"][-1]["request"].endswith("in 3 chunks")
    assert "in a single chunk such a body was read" in evidence["note"]
    assert json.loads(answered.splitlines()[-1]) == {"error": "Missing jobId or resultUrl"}


def test_waits_and_races_are_pasted_as_they_were(tmp_path: Path) -> None:
    """The lock that expires: a pause between two publishes. Two grants at once: both together."""
    with running("lock-expires-after-1-s") as url:
        session = judged(url, "LOCK-HELD-OVER-TIME")
        evidence, *_ = entry(document(session, NOW), "LOCK-HELD-OVER-TIME")["evidence"]
        second = evidence["steps"][1]
        assert re.match(r"\d\.\d s later: POST /publish", second["request"])
        assert re.search(r"^sleep \d\.\d; curl", second["curl"], re.MULTILINE)
    with running("check-then-set") as url:
        session = judged(url, "LOCK-RACE")
        evidence, *_ = entry(document(session, NOW), "LOCK-RACE")["evidence"]
        steps = evidence["steps"]
        assert steps[1]["request"].startswith("at the same time: POST /publish")
        assert steps[0]["curl"].endswith(" &")
        assert steps[-1]["curl"].endswith(" & wait")
        answered = pasted(steps, tmp_path)
        assert answered.count("HTTP/1.1 ") == len(steps)


def test_what_was_sent_again_and_again_is_told_once_as_a_loop(broken_server: Session) -> None:
    """Forty refusals in a row between a grant and the answer that was wrong."""
    (violation,) = broken_server.run_state.violations
    granted, refused = violation.steps
    end_ns = refused.exchange.returned_ns
    row = [
        replace(refused, exchange=replace(refused.exchange, invoked_ns=ns, returned_ns=ns))
        for ns in range(end_ns, end_ns + 40)
    ]
    told = explain_violation(
        Violation("PUBLISH-BUSY", "x", "y", (granted, *row)), Origin.parse("http://a")
    )
    assert "2. 40 times: POST /publish" in told
    assert re.search(r"for i in \$\(seq 40\); do curl .*; done", told)
    assert told.count("curl -sS") == 2


def test_a_body_that_shrinks_well_is_packed_into_its_line(tmp_path: Path) -> None:
    body = b"[" * 2_000 + b"]" * 2_000
    command = curl(Request("POST", "/x", (), body), Origin.parse("http://127.0.0.1:1")).command
    printing, _, _ = command.partition(" | curl")
    printed = subprocess.run(
        ["bash", "-c", printing], cwd=tmp_path, capture_output=True, timeout=20, check=True
    )
    assert printed.stdout == body
    assert len(command) < 400


def test_a_wrong_answer_that_every_publish_gets_is_told_once_in_full() -> None:
    told = io.StringIO()
    terminal = Terminal(Console(file=told, width=200))
    with running("accepted-says-201") as url:
        session = judged(url, "PUBLISH-ACCEPTED", "PUBLISH-ANY-FIELD-ORDER", "LOCK-REUSABLE")
        terminal.tell(session, session.conclusion())
    assert told.getvalue().count("FAIL ") == 3
    assert told.getvalue().count("as under PUBLISH-ACCEPTED") == 2
    assert told.getvalue().count("to repeat") == 1


def test_a_form_that_curl_writes_otherwise_is_sent_again_byte_by_byte() -> None:
    odd = Part("image1", b"GIF89a", 'a "name".png', "image/png")
    text, typed = Part("sessionId", b"s"), Part("sessionId", b"s", media_type="text/plain")
    for parts, ordinary in (((odd,), False), ((typed,), False), ((text,), True)):
        form = encode(parts)
        request = Request("POST", "/publish", (("Content-Type", form.content_type),), form.body)
        command = curl(request, Origin.parse("http://127.0.0.1:1")).command
        assert ("--form-string sessionId=s" in command) is ordinary
        assert (b64encode(form.body).decode() in command) is not ordinary


def test_curl_says_who_it_is_itself_unless_nobody_should() -> None:
    origin = Origin.parse("http://127.0.0.1:1")
    for header, option in ((AGENT, None), (NO_AGENT, "User-Agent:"), (("A", "b"), "A: b")):
        words = shlex.split(curl(Request("GET", "/health", (header,)), origin).command)
        headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
        assert headers == ([option] if option else [])


def test_a_form_of_thousands_of_parts_is_told_in_a_few_words() -> None:
    form = MALFORMED["thousands_of_parts"].spoil(publish_parts("s", small_png(1), small_png(2)))
    headers = (("Content-Type", form.content_type),)
    exchange = Exchange(Request("POST", "/publish", headers, form.body), None, None, "", 0, 0, 0)
    step = Step(None, exchange, read(Call.PUBLISH, exchange))
    told = explain_violation(Violation("PUBLISH-BUSY", "x", "y", (step,)), Origin.parse("http://a"))
    assert "... and 4995 parts more" in told
    assert len(told) < 4_000


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_form_is_sent_again_by_curl(malformed: Malformed) -> None:
    form = malformed.spoil(publish_parts("s", small_png(1), small_png(2)))
    request = Request("POST", "/publish", (("Content-Type", form.content_type),), form.body)
    lines = curl(request, Origin.parse("http://127.0.0.1:1"))
    assert "curl -sS -i" in lines.command
    assert "http://127.0.0.1:1/publish" in shlex.split(lines.command, comments=True)


def test_all_files_are_written_and_read_again(broken_server: Session, tmp_path: Path) -> None:
    write_report(broken_server, NOW, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert {file.name for file in folder.iterdir()} == {
        "report.json",
        "report.html",
        "junit.xml",
        "summary.md",
        "history.jsonl",
    }
    assert json.loads((folder / "report.json").read_text("utf-8"))["seed"] == 1
    history = (folder / "history.jsonl").read_text("utf-8").splitlines()
    assert len(history) == len(broken_server.client.history)


def test_junit_counts_what_a_ci_system_must_see(report: dict[str, Any]) -> None:
    suite = parsed(junit(report))
    cases = {case.get("name"): case for case in suite}
    assert suite.get("tests") == str(len(report["requirements"])) == str(len(cases))
    assert suite.get("failures") == "1"
    failure = cases["PUBLISH-BUSY"].find("failure")
    assert failure is not None
    assert "curl -sS -i" in (failure.text or "")
    assert list(cases["HEALTH-OK"]) == []


def test_what_was_not_observed_is_an_error_in_junit_and_what_is_known_a_skip(
    report: dict[str, Any],
) -> None:
    entry(report, "PUBLISH-BUSY")["known_failure"] = "ticket 17"
    entry(report, "HEALTH-OK").update(verdict="inconclusive", reason="it never answered")
    suite = parsed(junit(report))
    assert suite.get("failures") == "0"
    assert {case.get("name") for case in suite if case.find("error") is not None} >= {"HEALTH-OK"}
    skipped = {case.get("name"): case.find("skipped") for case in suite}["PUBLISH-BUSY"]
    assert skipped is not None
    assert skipped.get("message") == "known failure: ticket 17"


def test_what_a_server_says_cannot_break_a_format(report: dict[str, Any]) -> None:
    broken = entry(report, "PUBLISH-BUSY")
    broken["reason"] = HOSTILE
    broken["evidence"][0]["actual"] = HOSTILE
    broken["evidence"][0]["steps"][0].update(response=HOSTILE, curl=HOSTILE, request=HOSTILE)
    parsed(junit(report))
    assert "<script>" not in page(report)
    (row,) = [line for line in summary(report).splitlines() if line.startswith("| PUBLISH-BUSY")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 4, "three cells in one line"
    assert "<script>" not in row
