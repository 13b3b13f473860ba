"""What a request means, read from its bytes: a well-formed call of the document, or none.

Careful on purpose: whatever a correct server could read in two ways is not recognised, and then
judged as outside the contract.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from onejob_contract.documented import Call
from onejob_contract.wire import Request
from onejob_fixtures.images import small_jpeg, small_png
from onejob_fixtures.names import MAX_RESULT_URL_CHARACTERS, MAX_SESSION_ID_CHARACTERS

FORM_FIELDS: Final = ("sessionId", "image1", "image2")
MEMBERS: Final = ("jobId", "resultUrl")
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PART_HEADERS: Final = re.compile(
    rb"\r\n([!#-'*+.0-9A-Z^-z|~-]+:[^\0-\x08\x0a-\x1f\x7f]*\r\n)+\r\n"
)
_LONGEST_ID: Final = 200
_LARGEST_FORM: Final = 8_000
"""Two small images and a session id take far less: the rest would be headers nobody expects."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A call of the document; `missing` are the fields or members that it lacks."""

    call: Call
    session: str | None = None
    job: str | None = None
    url: str | None = None
    missing: frozenset[str] = frozenset()


def recognise(request: Request) -> Meaning | None:
    """The documented call that a request undoubtedly is, or None."""
    headers = {name.lower(): value for name, value in request.headers}
    content_type = headers.pop("content-type", "")
    if set(headers) - {"accept"}:
        return None
    match request.method, request.target:
        case "GET", target if not request.body and not content_type:
            return _poll(target)
        case "POST", "/publish":
            return _form(content_type, request.body)
        case "POST", "/update_status" if content_type == "application/json":
            return _report(request.body)
    return None


@cache
def images() -> tuple[bytes, ...]:
    """The images that are recognised as images."""
    return tuple(paint(number).content for number in range(8) for paint in (small_png, small_jpeg))


def _poll(target: str) -> Meaning | None:
    if target == "/health":
        return Meaning(Call.HEALTH)
    job = target.removeprefix("/status/")
    return Meaning(Call.STATUS, job=job) if job != target and _PLAIN_ID.fullmatch(job) else None


def is_form(request: Request) -> bool:
    """Whether the body is a form with the three documented fields, whatever their contents."""
    fields = _fields(dict(request.headers).get("Content-Type", ""), request.body)
    return fields is not None and {*fields[0], *fields[1]} == set(FORM_FIELDS)


def breaks_form_parsers(request: Request) -> bool:
    """Whether a form has a part whose headers nobody can read: no client sends one by mistake."""
    kind, options = parse_options_header(dict(request.headers).get("Content-Type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        return False
    parts = request.body.split(b"--" + options["boundary"].encode())[1:-1]
    return not all(_PART_HEADERS.match(part) for part in parts)


def _form(content_type: str, body: bytes) -> Meaning | None:
    fields = _fields(content_type, body)
    if fields is None or len(body) > _LARGEST_FORM:
        return None
    texts, files = fields
    session = texts.get("sessionId")
    if session is not None and not _is_text(session, MAX_SESSION_ID_CHARACTERS):
        return None
    if any(not file.filename or file.stream.read() not in images() for file in files.values()):
        return None
    missing = frozenset(FORM_FIELDS) - set(texts) - set(files)
    return Meaning(Call.PUBLISH, session=session, missing=missing)


def _fields(
    content_type: str, body: bytes
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]] | None:
    """The texts and files of a form that has documented fields only, each once and of its kind."""
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or "boundary" not in options:
        return None
    try:
        parser = FormDataParser(stream_factory=lambda *_, **__: io.BytesIO(), silent=False)
        _, texts, files = parser.parse(io.BytesIO(body), kind, len(body), options)
    except ValueError:
        return None
    names = [name for name, _ in (*texts.items(multi=True), *files.items(multi=True))]
    proper = (
        0 < len(names) == len(set(names))
        and body.count(b"--" + options["boundary"].encode()) == len(names) + 1
        and set(texts) <= {"sessionId"}
        and set(files) <= {"image1", "image2"}
    )
    return (texts, files) if proper else None


def _report(body: bytes) -> Meaning | None:
    try:
        report = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict) or set(report) - set(MEMBERS):
        return None
    job, url = report.get("jobId"), report.get("resultUrl")
    if "jobId" in report and not (isinstance(job, str) and _is_text(job, _LONGEST_ID)):
        return None
    if "resultUrl" in report and not (isinstance(url, str) and _is_url(url)):
        return None
    return Meaning(Call.UPDATE, job=job, url=url, missing=frozenset(MEMBERS) - set(report))


def _is_text(text: str, longest: int) -> bool:
    return (
        0 < len(text) <= longest
        and text.isprintable()
        and text.strip() == text
        and "\ufffd" not in text
    )


def _is_url(text: str) -> bool:
    if len(text) > MAX_RESULT_URL_CHARACTERS or not text.isascii() or not text.isprintable():
        return False
    return " " not in text and text.startswith("https://") and bool(urlsplit(text).hostname)
