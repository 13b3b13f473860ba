"""Which documented answer a response is, if any; read from the spec, never written twice."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from typing import Any, Final, NoReturn

import jsonschema_rs

from onejob_contract.catalogue import spec
from onejob_contract.wire import Exchange, Request, Response


class Call(StrEnum):
    """The four operations, by the spec's operationId."""

    HEALTH = "health"
    PUBLISH = "publish"
    STATUS = "status"
    UPDATE = "update_status"


class Answer(StrEnum):
    """Every documented answer, by the spec's `x-outcome`."""

    HEALTHY = "healthy"
    GRANTED = "granted"
    BUSY = "busy"
    MISSING_SESSION = "missing_session"
    MISSING_IMAGE = "missing_image"
    JOB_DIR_FAILED = "job_dir_failed"
    SAVE_FAILED = "save_failed"
    DATABASE_FAILED = "database_failed"
    PUBLISH_FAILED = "publish_failed"
    PROCESSING = "processing"
    COMPLETED = "completed"
    NOT_FOUND = "not_found"
    UPDATED = "updated"
    MISSING_FIELD = "missing_field"
    UNKNOWN_JOB = "unknown_job"


FAILURES: Final = frozenset(
    {
        Answer.JOB_DIR_FAILED,
        Answer.SAVE_FAILED,
        Answer.DATABASE_FAILED,
        Answer.PUBLISH_FAILED,
    }
)
"""What publish answers when something behind it is broken."""


_SHOWN_JSON_BYTES: Final = 300
_SHOWN_BYTES: Final = 120
_LARGEST: Final = 1e300
_DEEPEST: Final = 50
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|[^"\[\]{}]+|"', re.DOTALL)
_MEMBERS: Final = ("status", "service", "jobId", "image_url", "error")
_BREAK: Final = re.compile(r"\s*[\r\n]\s*")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one exchange says: the documented answer, or None and `actual` in words.

    `json_type` is False when the media type is not application/json; `body` is the decoded JSON.
    """

    answer: Answer | None
    actual: str
    json_type: bool
    body: Any = None

    def member(self, name: str) -> str:
        """A string member of a documented body; empty where there is none."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class _Documented:
    answer: Answer
    validator: jsonschema_rs.Validator
    text: str


def read(call: Call, exchange: Exchange) -> Reading:
    """Read an exchange of `call` against the documented answers."""
    response = exchange.response
    actual = describe_exchange(exchange)
    if response is None:
        return Reading(None, actual, json_type=True)
    json_type = media_type(response) == "application/json"
    try:
        body = _decoded(response.body.decode())
    except ValueError:
        return Reading(None, actual, json_type)
    for documented in _answers()[call].get(response.status, ()):
        if documented.validator.is_valid(body):
            return Reading(documented.answer, actual, json_type, body)
    return Reading(None, actual, json_type, body)


def _decoded(text: str) -> Any:
    """The JSON that a body says. Raises ValueError, also where a documented member is no text.

    Members beyond the documented ones may be anything that the grammar of RFC 8259 allows, however
    long, however deep.
    """
    loads = partial(json.loads, parse_int=_number, parse_float=_number, parse_constant=_no_json)
    try:
        body = loads(text)
    except RecursionError:
        body = loads(_without_depths(text))
    # Half a surrogate pair can be written in JSON, but it is no text that could be sent back.
    for name in _MEMBERS:
        if isinstance(body, dict) and isinstance(body.get(name), str):
            body[name].encode()
    return body


def _without_depths(text: str) -> str:
    """The JSON with null for what is nested too deeply to be read."""
    kept: list[str] = []
    depth = 0
    for piece in _TOKENS.findall(text):
        depth += piece in "[{"
        if depth <= _DEEPEST:
            kept.append(piece)
        elif depth == _DEEPEST + 1 and piece in "[{":
            kept.append("null")
        depth -= piece in "]}"
    return "".join(kept)


def _number(text: str) -> float:
    """Read a number of any size (RFC 8259, section 6); no documented member is one."""
    return max(-_LARGEST, min(_LARGEST, float(text)))


def _no_json(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and RFC 8259 does not know."""
    raise ValueError(f"{constant} is no JSON")


def media_type(response: Response) -> str:
    """The media type without its parameters, in lower case; empty if there is none."""
    return (response.header("Content-Type") or "").partition(";")[0].strip().lower()


def describe_request(request: Request) -> str:
    """A request in one line: method, target, and the beginning of the body."""
    body = request.body[:_SHOWN_BYTES]
    more = f"... ({len(request.body)} bytes)" if len(request.body) > len(body) else ""
    return f"{request.method} {request.target} {body!r}{more}"


def describe_exchange(exchange: Exchange) -> str:
    """What came back, in one line."""
    if exchange.response is None:
        return f"{exchange.trouble}: {exchange.detail}"
    return describe(exchange.response)


def describe(response: Response) -> str:
    """A response in one line: status, media type if unusual, and the beginning of the body."""
    kind = media_type(response)
    limit = _SHOWN_JSON_BYTES if kind == "application/json" else _SHOWN_BYTES
    shown = _BREAK.sub(" ", response.body[:limit].decode("utf-8", "replace")).strip()
    more = f"... ({len(response.body)} bytes)" if len(response.body) > limit else ""
    note = "" if kind == "application/json" else f" [{kind or 'no media type'}]"
    return f"{response.status}{note} {shown}{more}"


def documented_text(answer: Answer) -> str:
    """The documented answer as a person writes it, e.g. `429 {"error": "..."}`."""
    return next(
        documented.text
        for by_status in _answers().values()
        for answers in by_status.values()
        for documented in answers
        if documented.answer is answer
    )


@cache
def _answers() -> Mapping[Call, Mapping[int, tuple[_Documented, ...]]]:
    table: dict[Call, dict[int, tuple[_Documented, ...]]] = {}
    for path in spec()["paths"].values():
        for operation in path.values():
            by_status = {}
            for status, response in operation["responses"].items():
                schema = response["content"]["application/json"]["schema"]
                by_status[int(status)] = tuple(
                    _Documented(
                        Answer(one["x-outcome"]),
                        jsonschema_rs.validator_for(one),
                        f"{status} {_example(one)}",
                    )
                    for one in schema.get("oneOf", [schema])
                )
            table[Call(operation["operationId"])] = by_status
    return table


def _example(schema: Mapping[str, Any]) -> str:
    def value(name: str, rule: Mapping[str, Any]) -> str:
        if "const" in rule:
            return str(rule["const"])
        if "pattern" in rule:
            return str(rule["pattern"]).lstrip("^").split("[")[0] + "<reason>"
        return f"<{name}>"

    return json.dumps({name: value(name, rule) for name, rule in schema["properties"].items()})
