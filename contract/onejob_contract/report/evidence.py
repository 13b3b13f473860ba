"""The evidence of a violation: what was sent, what came back, and curl lines to see it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby, pairwise
from typing import Any, Final
from urllib.parse import unquote

from werkzeug.formparser import parse_form_data

from onejob_contract.catalogue import requirements
from onejob_contract.findings import Violation
from onejob_contract.report.curl import ShellLines, meets, pause_before, shell_lines
from onejob_contract.steps import REQUEST_ID, Step, request_id
from onejob_contract.wire import Origin, Request
from onejob_fixtures.forms import Form, decode

_SHOWN_IN_TERMINAL: Final = 12
_SHOWN_IN_REPORT: Final = 120
_PARTS_SHOWN: Final = 8


def explain_violation(violation: Violation, origin: Origin) -> str:
    """A violation as text: requirement, expected, actual, the requests, the curl lines."""
    requirement = requirements()[violation.requirement]
    lines = [
        f"{requirement.id} ({requirement.level}): {requirement.title}",
        f"  document: {requirement.section}",
        f"  expected: {violation.expected}",
        f"  actual:   {violation.actual}",
    ]
    if how_often(violation):
        lines.append(f"  seen:     {how_often(violation)}")
    if violation.note:
        lines.append(f"  note:     {violation.note}")
    if violation.steps:
        lines += _steps_in_words(violation, origin)
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request with its answer, sent `times` in a row; `step` is the last of them."""

    step: Step
    request: str
    times: int
    again: ShellLines


def _sent(steps: Sequence[Step], origin: Origin) -> list[_Sent]:
    """Tell of the steps; what was sent again and again, to the same answer, only once."""
    told = [(_when(steps, number) + _asked(step), step) for number, step in enumerate(steps)]
    pairs = zip(told, shell_lines(steps, origin), strict=True)
    rows = groupby(pairs, key=lambda one: (one[0][0], one[0][1].reading.actual, one[1]))
    sent = []
    for (request, _, again), row in rows:
        alike = [step for (_, step), _ in row]
        times, asked, command = len(alike), request, again.command
        if times > 1:
            end = "" if command.endswith("&") else ";"
            asked = f"{times} times: {request}"
            command = f"for i in $(seq {times}); do {command}{end} done"
        sent.append(_Sent(alike[-1], asked, times, ShellLines(again.files, command)))
    return sent


def _steps_in_words(violation: Violation, origin: Origin) -> Iterator[str]:
    """The requests of a violation and the lines that send them again."""
    steps, sent = violation.steps, _sent(violation.steps, origin)
    shown = sent[-_SHOWN_IN_TERMINAL:]
    left_out = sum(one.times for one in sent[:-_SHOWN_IN_TERMINAL])
    yield f"  requests{f' (the last ones; {left_out} before)' if left_out else ''}:"
    for number, one in enumerate(shown, 1):
        yield f"    {number}. {one.request} -> {one.step.reading.actual}"
    yield f"  in the server's log: {REQUEST_ID}: {request_id(steps[-1])}"
    if _needs_connection(violation):
        kept_from = steps[-1].exchange.after
        yield f"  connection: kept from {kept_from} (curl opens a new one each time)"
    if left_out:
        yield f"  to repeat: --report DIR writes the curl lines of all {len(steps)} to report.json"
        return
    is_race = any(meets(one, following) for one, following in pairwise(steps))
    what = "the last request" if len(steps) == 1 else "the race, more than once" if is_race else ""
    yield f"  to repeat {what}:".replace(" :", ":")
    yield from dict.fromkeys(f"    {file}" for one in shown for file in one.again.files)
    yield from (f"    {one.again.command}" for one in shown)


def _needs_connection(violation: Violation) -> bool:
    """Whether the last answer may be wrong for what came before it on the same connection."""
    last = violation.steps[-1]
    alone = violation.replayed == (1, 1) and len(violation.steps) == 1
    return bool(last.exchange.after) and last.answer is None and not alone


def how_often(violation: Violation) -> str:
    """Whether it was shown again, in words; empty if that was not tried."""
    times = f"{violation.times} times in this run" if violation.times > 1 else ""
    if violation.replayed is None:
        return times
    shown, tried = violation.replayed
    if shown == tried:
        again = "shown again by the requests below, sent to the server as it is now"
        if len(violation.steps) > _SHOWN_IN_TERMINAL:
            again = (
                f"shown again by {len(violation.steps)} requests, sent to the server as it is now"
            )
    else:
        again = f"intermittent: {shown} of {tried} replays showed it again"
        if not shown:
            again += ", so it may need these very names, or what else the run did"
    return f"{again}{'; ' + times if times else ''}"


def as_json(violation: Violation, origin: Origin) -> dict[str, Any]:
    """A violation for report.json."""
    sent = _sent(violation.steps, origin)
    return {
        "expected": violation.expected,
        "actual": violation.actual,
        "note": violation.note,
        "times": violation.times,
        "intermittent": violation.intermittent,
        "seen": how_often(violation),
        "steps": [
            {
                "request": one.request,
                "response": one.step.reading.actual,
                "request_id": request_id(one.step),
                "curl": str(one.again),
            }
            for one in sent[-_SHOWN_IN_REPORT:]
        ],
        "picture": violation.picture,
        "steps_left_out": sum(one.times for one in sent[:-_SHOWN_IN_REPORT]),
    }


def _asked(step: Step) -> str:
    """What a step asked, in one line."""
    request = step.exchange.request
    content_type = request.header("Content-Type") or ""
    what = ""
    if content_type.lower().startswith("multipart/form-data"):
        what = " " + _form_in_words(request, content_type)
    elif request.body:
        what = " " + _shortened(request.body.decode("utf-8", "replace"))
    how = ", names of headers in lower case" if request.is_in_lower_case else ""
    how += f", in {request.chunks} chunks" if request.chunks > 1 else ""
    return f"{request.method} {unquote(request.target)}{what}{how}"


def _when(steps: Sequence[Step], number: int) -> str:
    """When a step came, where that is not simply after the answer to the one before it."""
    if number and meets(steps[number - 1], steps[number]):
        return "at the same time: "
    pause_s = pause_before(steps, number)
    return f"{pause_s:.1f} s later: " if pause_s else ""


def _form_in_words(request: Request, content_type: str) -> str:
    parts = decode(Form(request.body, content_type))
    if parts is not None:
        return _listed(
            [
                _field(part.name, part.content.decode("utf-8", "replace"), part.media_type)
                if part.filename is None
                else _file(part.name, part.filename, part.media_type, len(part.content))
                for part in parts
            ]
        )
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.input": BytesIO(request.body),
    }
    try:
        _, fields, files = parse_form_data(environ, stream_factory=_in_memory, silent=True)
    except (ValueError, LookupError):
        return f"({len(request.body)} bytes that are no form)"
    words = [_field(name, value) for name, value in fields.items(multi=True)]
    for name, file in files.items(multi=True):
        words.append(_file(name, file.filename or "", file.content_type, len(file.read())))
    if not words:
        return f"({len(request.body)} bytes, no fields)"
    return f"{_listed(words)} (as a lenient parser reads {len(request.body)} bytes; see curl)"


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _PARTS_SHOWN
    return " ".join((*words[:_PARTS_SHOWN], *([f"... and {more} parts more"] if more > 0 else [])))


def _field(name: str, value: str, media_type: str | None = None) -> str:
    return f"{name}={_shortened(value, 140)!r}{f' ({media_type})' if media_type else ''}"


def _file(name: str, filename: str, media_type: str | None, size: int) -> str:
    return f"{name}=@{_shortened(filename, 60)!r} ({media_type}, {size} bytes)"


def _in_memory(*_: object, **__: object) -> BytesIO:
    return BytesIO()


def _shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
