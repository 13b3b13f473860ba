"""The evidence of a violation: what was sent, what came back, and curl lines to see it again."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence
from io import BytesIO
from itertools import groupby, pairwise
from typing import Any, Final
from urllib.parse import unquote

from werkzeug.formparser import parse_form_data

from onejob_contract.catalogue import requirements
from onejob_contract.client import REQUEST_ID, Step, request_id
from onejob_contract.findings import Violation
from onejob_contract.judging import BASE
from onejob_contract.report.curl import meets, pause_before, shell_lines
from onejob_contract.wire import Origin, Request
from onejob_fixtures.forms import Form, decode

SHOWN_STEPS: Final = 12
_KEPT_STEPS: Final = 120


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


def _steps_in_words(violation: Violation, origin: Origin) -> Iterator[str]:
    """The requests of a violation and the lines that send them again; repeated ones only once."""
    steps = violation.steps
    told = [f"{_when(steps, number)}{tell(step)}" for number, step in enumerate(steps)]
    runs = [
        (what, again, len(list(alike)))
        for (what, again), alike in groupby(zip(told, shell_lines(steps, origin), strict=True))
    ]
    shown = runs[-SHOWN_STEPS:]
    left_out = sum(times for _, _, times in runs[:-SHOWN_STEPS])
    yield f"  requests{f' (the last ones; {left_out} before)' if left_out else ''}:"
    for number, (what, _, times) in enumerate(shown, 1):
        yield f"    {number}. {f'{times} times: ' if times > 1 else ''}{what}"
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
    for file in dict.fromkeys(file for _, again, _ in shown for file in again.files):
        yield f"    {file}"
    for _, again, times in shown:
        command = again.command
        if times > 1:
            end = "" if command.endswith("&") else ";"
            command = f"for i in $(seq {times}); do {command}{end} done"
        yield f"    {command}"


def _needs_connection(violation: Violation) -> bool:
    """Whether the last answer may be wrong for what came before it on the same connection."""
    last = violation.steps[-1]
    alone = violation.replayed == (1, 1) and len(violation.steps) == 1
    return bool(last.exchange.after) and last.answer is None and not alone


def mention(violation: Violation, like: str) -> str:
    """A violation in short: its requests and answers are told of under the requirement `like`."""
    requirement = requirements()[violation.requirement]
    where = f"as under {like}" if like != requirement.id else "as before"
    return "\n".join(
        (
            f"{requirement.id} ({requirement.level}): {requirement.title}",
            f"  expected: {violation.expected}",
            f"  actual:   {violation.actual} ({where}; report.json has the requests)",
            f"  in the server's log: {REQUEST_ID}: {request_id(violation.steps[-1])}",
        )
    )


def likeness(violation: Violation) -> Hashable:
    """What violations have in common that need not be told of twice; None if it stands alone.

    Either one plain request of an operation gets the same undocumented answer, or the same requests
    get the same answers, but for names.
    """
    if not violation.steps or violation.replayed != (1, 1):
        return None
    last = violation.steps[-1]
    if last.call is not None and last.answer is None and last.exchange.response is not None:
        return last.call, _answer(last)
    return (violation.expected, *_told_without_names(violation.steps))


def explains_others(violation: Violation) -> bool:
    """Whether others that are like it add nothing: it is the shortest there is, or as long."""
    if violation.steps and violation.steps[-1].answer is None:
        return len(violation.steps) == 1 and violation.requirement in BASE.values()
    return True


def _told_without_names(steps: Sequence[Step]) -> Iterator[Hashable]:
    sessions: dict[str, int] = {}
    jobs: dict[str, int] = {}
    for step in steps:
        for known, name in ((sessions, step.session), (jobs, step.granted_job or step.job)):
            if name is not None:
                known.setdefault(name, len(known))
        session, job = (
            sessions.get(step.session or ""),
            jobs.get(step.granted_job or step.job or ""),
        )
        yield step.exchange.request.method, step.call, session, job, _answer(step)


def _answer(step: Step) -> Hashable:
    """What tells an answer from others: its status, and what it says but for job ids and URLs."""
    response, body = step.exchange.response, step.reading.body
    said = {**body, "jobId": "", "image_url": ""} if isinstance(body, dict) else body
    return response and response.status, json.dumps(said, sort_keys=True)


def how_often(violation: Violation) -> str:
    """Whether it was shown again, in words; empty if that was not tried."""
    times = f"{violation.times} times in this run" if violation.times > 1 else ""
    if violation.replayed is None:
        return times
    shown, tried = violation.replayed
    if shown == tried:
        again = "shown again by the requests below, sent to the server as it is now"
        if len(violation.steps) > SHOWN_STEPS:
            again = f"shown again by {len(violation.steps)} requests, which report.json lists"
    else:
        again = f"intermittent: {shown} of {tried} replays showed it again"
        if not shown:
            again += ", so it may need what else the run did before or meanwhile"
    return f"{again}{'; ' + times if times else ''}"


def as_json(violation: Violation, origin: Origin) -> dict[str, Any]:
    """A violation for report.json."""
    steps = violation.steps[-_KEPT_STEPS:]
    return {
        "expected": violation.expected,
        "actual": violation.actual,
        "note": violation.note,
        "times": violation.times,
        "intermittent": violation.intermittent,
        "seen": how_often(violation),
        "steps": [
            {
                "request": _when(steps, number) + tell(step).split(" -> ")[0],
                "response": step.reading.actual,
                "request_id": request_id(step),
                "curl": str(again),
            }
            for number, (step, again) in enumerate(
                zip(steps, shell_lines(steps, origin), strict=True)
            )
        ],
        "picture": violation.picture,
        "steps_left_out": len(violation.steps) - len(steps),
    }


def tell(step: Step) -> str:
    """One step in one line: what was asked and what was answered."""
    request = step.exchange.request
    content_type = dict(request.headers).get("Content-Type", "")
    what = ""
    if content_type.startswith("multipart/form-data"):
        what = " " + _form_in_words(request, content_type)
    elif request.body:
        what = " " + _shortened(request.body.decode("utf-8", "replace"))
    return f"{request.method} {unquote(request.target)}{what} -> {step.reading.actual}"


def _when(steps: Sequence[Step], number: int) -> str:
    """When a step came, where that is not simply after the answer to the one before it."""
    if number and meets(steps[number - 1], steps[number]):
        return "at the same time: "
    pause_s = pause_before(steps, number)
    return f"{pause_s:.1f} s later: " if pause_s else ""


def _form_in_words(request: Request, content_type: str) -> str:
    parts = decode(Form(request.body, content_type))
    if parts is not None:
        return " ".join(
            _field(part.name, part.content.decode("utf-8", "replace"))
            if part.filename is None
            else _file(part.name, part.filename, part.media_type, len(part.content))
            for part in parts
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
    return f"{' '.join(words)} (as a lenient parser reads {len(request.body)} bytes; see curl)"


def _field(name: str, value: str) -> str:
    return f"{name}={_shortened(value, 140)!r}"


def _file(name: str, filename: str, media_type: str | None, size: int) -> str:
    return f"{name}=@{_shortened(filename, 60)!r} ({media_type}, {size} bytes)"


def _in_memory(*_: object, **__: object) -> BytesIO:
    return BytesIO()


def _shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
