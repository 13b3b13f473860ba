"""An answer is the documented one, or it is none: what is close to it does not count."""

import json

import pytest

from onejob_contract.documented import Answer, Call, read
from onejob_contract.wire import Exchange, Request, Response


def answered(status: int, body: bytes, media_type: str = "application/json") -> Exchange:
    response = Response(status, (("Content-Type", media_type),), body)
    return Exchange(Request("GET", "/"), response, None, "", 1, 2, 3)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": "Previous job still processing"}),
        (429, {"error": "Previous job still processing", "retry_after": 3}),
    ],
)
def test_the_documented_answer_is_known_also_with_extra_members(
    status: int, body: dict[str, object]
) -> None:
    reading = read(Call.PUBLISH, answered(status, json.dumps(body).encode()))
    assert reading.answer is Answer.BUSY


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5_000,
        "-" + "9" * 5_000,
        "1e4000",
        "-0.5E-4000",
        '"\\ud800"',
        "[" * 5_000 + "]" * 5_000,
        '{"a":' * 5_000 + '"]}"' + "}" * 5_000,
    ],
    ids=lambda value: value[:12],
)
def test_another_member_may_be_whatever_json_allows(value: str) -> None:
    body = f'{{"before": {value}, "status": "not_found", "after": {value}}}'.encode()
    assert read(Call.STATUS, answered(404, body)).answer is Answer.NOT_FOUND


def test_what_is_nested_too_deeply_must_be_json_all_the_same() -> None:
    body = f'{{"status": "not_found", "deep": {"[" * 5_000}{"]" * 4_999}}}'.encode()
    assert read(Call.STATUS, answered(404, body)).answer is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (409, b'{"error": "Previous job still processing"}'),
        (429, b'{"error": "Previous job still processing."}'),
        (429, b'{"error": "previous job still processing"}'),
        (429, b'{"Error": "Previous job still processing"}'),
        (429, b'["Previous job still processing"]'),
        (429, b"Previous job still processing"),
        (429, b""),
        (429, b"\xff"),
        (400, b'{"error": "DB error: "}'),
        (400, b'{"error": "DB error"}'),
        (200, b'{"status": "processing"}'),
        (200, b'{"status": "processing", "jobId": ""}'),
        (200, b'{"status": "processing", "jobId": 7}'),
        (200, b'{"status": "processing", "jobId": "\\ud800"}'),
    ],
)
def test_what_is_close_to_a_documented_answer_is_none(status: int, body: bytes) -> None:
    reading = read(Call.PUBLISH, answered(status, body))
    assert reading.answer is None
    assert reading.actual.startswith(str(status))


@pytest.mark.parametrize(
    ("media_type", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/json", False),
        ("application/problem+json", False),
        ("", False),
    ],
)
def test_the_media_type_is_told_apart_from_the_answer(
    media_type: str,
    is_json: bool,
) -> None:
    exchange = answered(404, b'{"status": "not_found"}', media_type)
    reading = read(Call.STATUS, exchange)
    assert reading.answer is Answer.NOT_FOUND
    assert reading.json_type is is_json
