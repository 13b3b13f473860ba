"""What schemathesis generates: what it means on the wire, and whom the suite blames for it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from one_check import judge

from onejob_contract.checks import Cost, proves
from onejob_contract.client import publish_request, status_request, update_request
from onejob_contract.documented import Call
from onejob_contract.fuzzing import Fuzzing
from onejob_contract.iut import Iut
from onejob_contract.recognition import Meaning, breaks_form_parsers, is_form, recognise
from onejob_contract.suite.test_fuzzing import (
    test_generated_publishes_and_polls_are_answered_as_documented as publishes,
)
from onejob_contract.suite.test_fuzzing import (
    test_generated_reports_are_answered_as_documented as reports,
)
from onejob_contract.suite.test_fuzzing import (
    test_linked_requests_are_answered_as_the_model_says as links,
)
from onejob_contract.verdict import Ending
from onejob_contract.wire import Request
from onejob_fixtures.forms import MALFORMED, WRITINGS, Form, Part, encode, publish_parts
from onejob_fixtures.images import BROKEN, small_jpeg, small_png

Check = Callable[[Iut], None]
for check in (publishes, reports, links):
    check.__test__ = False

PARTS = publish_parts("a session", small_png(1), small_jpeg(2))
JSON = (("Content-Type", "application/json"),)


def report(body: object) -> Request:
    return Request("POST", "/update_status", JSON, json.dumps(body).encode())


def test_well_formed_calls_are_recognised() -> None:
    url = "https://results.example.com/1.png?a=b"

    assert recognise(Request("GET", "/health")) == Meaning(Call.HEALTH)
    assert recognise(status_request("no-such-job")) == Meaning(Call.STATUS, job="no-such-job")
    assert recognise(update_request("jöb", url)) == Meaning(Call.UPDATE, job="jöb", url=url)
    assert recognise(publish_request(encode(PARTS))) == Meaning(Call.PUBLISH, session="a session")


@pytest.mark.parametrize("lacking", ["sessionId", "image1", "image2"])
def test_what_a_form_lacks_is_told(lacking: str) -> None:
    meaning = recognise(publish_request(encode([part for part in PARTS if part.name != lacking])))

    assert meaning is not None
    assert meaning.missing == {lacking}


@pytest.mark.parametrize("lacking", ["jobId", "resultUrl"])
def test_what_a_report_lacks_is_told(lacking: str) -> None:
    members = {"jobId": "1", "resultUrl": "https://results.example.com/1.png"}
    del members[lacking]

    meaning = recognise(report(members))

    assert meaning is not None
    assert meaning.missing == {lacking}


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_a_spoilt_form_is_no_call_of_the_document(name: str) -> None:
    assert recognise(publish_request(MALFORMED[name].spoil(PARTS))) is None


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_form_with_other_files_than_images_is_outside_but_a_form(name: str) -> None:
    request = publish_request(encode(publish_parts("a session", BROKEN[name], small_png(1))))

    assert recognise(request) is None
    assert is_form(request)


@pytest.mark.parametrize("session", ["", " blank", "x" * 129, "line\nbreak", "a\0b"])
def test_a_session_id_that_servers_may_refuse_or_trim_is_outside(session: str) -> None:
    parts = (Part("sessionId", session.encode()), *PARTS[1:])

    assert recognise(publish_request(encode(parts))) is None


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        "jobId",
        {"jobId": 1, "resultUrl": "https://x.example"},
        {"jobId": "", "resultUrl": "https://x.example"},
        {"jobId": "1", "resultUrl": "no url"},
        {"jobId": "1", "resultUrl": None},
        {"jobId": "1", "resultUrl": "https://x.example", "extra": 1},
    ],
)
def test_a_report_of_other_values_is_outside(body: object) -> None:
    assert recognise(report(body)) is None


@pytest.mark.parametrize(
    "request_",
    [
        Request("DELETE", "/health"),
        Request("GET", "/health?x=1"),
        Request("GET", "/status/a%2Fb"),
        Request("GET", "/status/"),
        Request("GET", "/health", JSON, b"{}"),
        Request("POST", "/update_status", (("Content-Type", "text/plain"),), b"{}"),
    ],
)
def test_other_routes_methods_and_media_types_are_outside(request_: Request) -> None:
    assert recognise(request_) is None


@pytest.mark.parametrize("check", [publishes, reports, links])
def test_a_correct_server_passes_and_the_coverage_is_told(check: Check) -> None:
    judged = judge(check, "correct", seconds=12.0)

    assert judged.result.ending is Ending.PASSED, judged.result.reason
    assert not judged.violations
    assert "outside the contract" in "".join(judged.measured.values())


@proves("ROBUST-PUBLISH-FORM", cost=Cost.EXPLORES)
def publishes_where_others_left_active_jobs(iut: Iut) -> None:
    for text in ("0", "00", "null", "None", "false", "False", "[]", "{}"):
        iut.publish(text)
    publishes(iut)


def test_sessions_that_others_hold_are_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some generated values reach the wire as texts that many a client has sent before."""
    monkeypatch.setattr(Fuzzing, "_freshen", lambda *_: None)

    judged = judge(publishes_where_others_left_active_jobs, "correct", seconds=20.0)

    assert not judged.violations
    assert "too few generated requests: granted" in judged.result.reason, "all were outside"


@pytest.mark.parametrize(
    ("check", "server", "requirement"),
    [
        (reports, "json-list-crashes", "ROBUST-UPDATE-BODY"),
        (publishes, "wrong-method-crashes", "ROBUST-UNKNOWN-ROUTE"),
        (publishes, "second-image-optional", "PUBLISH-MISSING-IMAGE"),
        (links, "update-ignored", "STATUS-COMPLETED"),
    ],
)
def test_a_broken_server_is_blamed_for_what_it_breaks(
    check: Check, server: str, requirement: str
) -> None:
    judged = judge(check, server, seconds=25.0)

    assert judged.result.ending is Ending.VIOLATED, judged.result.reason
    assert requirement in judged.blamed


def test_too_few_requests_are_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(links.__globals__, "ENOUGH", 10_000)

    judged = judge(links, "correct", seconds=60.0)

    assert judged.result.ending is Ending.UNOBSERVABLE
    assert "too few generated requests" in judged.result.reason


def test_the_same_seed_generates_the_same_requests() -> None:
    first, second = (judge(reports, "correct", seed=7, seconds=60.0) for _ in range(2))

    assert first.measured == second.measured


def test_the_quick_profile_leaves_schemathesis_out_and_says_so() -> None:
    judged = judge(reports, "correct", profile="quick")

    assert judged.result.ending is Ending.NOT_APPLICABLE
    assert "quick" in judged.result.reason


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_a_form_that_some_client_writes_is_no_attack(write: Callable[[Form], Form]) -> None:
    form = encode(publish_parts("a session", small_png(1), small_png(2)))
    assert not breaks_form_parsers(publish_request(form))
    assert not breaks_form_parsers(publish_request(write(form)))


@pytest.mark.parametrize(
    "form",
    [
        encode([Part("a\x18b", b"")]),
        Form(b"--b\r\n[[17]]\r\n--b--\r\n", "multipart/form-data; boundary=b"),
    ],
    ids=["a control character in a header", "no headers"],
)
def test_a_part_whose_headers_nobody_can_read_is_an_attack(form: Form) -> None:
    assert breaks_form_parsers(publish_request(form))
