"""How a server answers what the document leaves open: shown in its profile, never judged.

Two correct servers may differ in all of it (design, section 3), and their clients may care.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from onejob_contract.client import publish_request
from onejob_contract.documented import Answer
from onejob_contract.findings import Interrupted, NotApplicable, TargetGone, Unobservable, Violation
from onejob_contract.iut import Iut
from onejob_contract.run import Run
from onejob_contract.shares import Budget
from onejob_contract.steps import Step
from onejob_contract.wire import Request
from onejob_fixtures.forms import Part, encode
from onejob_fixtures.images import BROKEN

WHO: Final = "open-questions"
NOT_OBSERVED: Final = "not observed"
_LONGEST_ANSWER: Final = 80
_SIDE_BY_SIDE: Final = 16
_NUMBERED_FROM: Final = 900
"""Their names are told apart by numbers that no check has."""
_JSON: Final = "application/json"
_SHAPES: Final = {
    "a UUID": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "digits": r"[0-9]+",
    "hexadecimal digits": r"[0-9a-f]+",
    "letters and digits": r"[A-Za-z0-9]+",
    "characters that no URL escapes": r"[A-Za-z0-9._~-]+",
}
_MEBIBYTE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Question:
    """What the document leaves open, and how to find out what this server does."""

    text: str
    ask: Callable[[Iut], str]


def answers(run: Run, seconds: float) -> dict[str, str]:
    """Ask every question once, within about so many seconds; each answer in a few words.

    They are asked side by side: of a slow server one after the other takes as long as its checks.
    """
    ends = time.monotonic() + seconds
    budget = Budget(ends, ends, ends)

    def ask(number: int, question: Question) -> str:
        try:
            return question.ask(Iut(run, WHO, number, "HEALTH-OK", budget))
        except (Violation, Unobservable, Interrupted, NotApplicable, TargetGone):
            return NOT_OBSERVED

    with ThreadPoolExecutor(_SIDE_BY_SIDE, "onejob-questions") as pool:
        told = list(pool.map(ask, itertools.count(_NUMBERED_FROM), QUESTIONS))
    return {question.text: answer for question, answer in zip(QUESTIONS, told, strict=True)}


def _job_id(iut: Iut) -> str:
    id_ = iut.active_job().id
    shape = next((name for name, pattern in _SHAPES.items() if re.fullmatch(pattern, id_)), "text")
    return f"{shape} of {len(id_)} characters"


def _nothing_but_an_image(iut: Iut) -> str:
    return _told(iut.publish_parts("", iut.parts("x")[1:2]).step)


def _incomplete_on_a_busy_session(iut: Iut) -> str:
    job = iut.active_job()
    return _told(iut.publish_parts(job.session, iut.parts(job.session)[:2]).step)


def _published(spoil: Callable[[Sequence[Part]], Sequence[Part]]) -> Callable[[Iut], str]:
    def ask(iut: Iut) -> str:
        session = iut.new_session()
        request = publish_request(encode(spoil(iut.parts(session))))
        return _told(iut.outside(request, session).step)

    return ask


def _no_image(parts: Sequence[Part]) -> Sequence[Part]:
    text = next(iter(BROKEN.values())).content
    return (parts[0], replace(parts[1], content=text), parts[2])


def _large(parts: Sequence[Part]) -> Sequence[Part]:
    return (*parts[:2], replace(parts[2], content=parts[2].content + bytes(2 * _MEBIBYTE)))


def _long_session(parts: Sequence[Part]) -> Sequence[Part]:
    return (replace(parts[0], content=parts[0].content.ljust(200, b"x")), *parts[1:])


def _in_chunks(iut: Iut) -> str:
    session = iut.new_session()
    request = publish_request(iut.form(session))
    headers = (*request.headers, ("Transfer-Encoding", "chunked"), ("Connection", "close"))
    return _told(iut.outside(replace(request, headers=headers), session).step)


def _by_put(iut: Iut) -> str:
    session = iut.new_session()
    request = publish_request(iut.form(session))
    return _told(iut.outside(replace(request, method="PUT"), session).step)


def _reported(
    write: Callable[[dict[str, str]], bytes], media_type: str = _JSON
) -> Callable[[Iut], str]:
    def ask(iut: Iut) -> str:
        _must_take_reports(iut)
        job, url = iut.active_job(), iut.new_url()
        body = write({"jobId": job.id, "resultUrl": url})
        headers = (("Content-Type", media_type),)
        request = Request("POST", "/update_status", headers, body)
        return _told(iut.outside(request, job.session, urls=(url,)).step)

    return ask


def _repeated(iut: Iut) -> str:
    _must_take_reports(iut)
    job, url = iut.completed_job()
    other = iut.new_url()
    told = _told(iut.update(job, other).step)
    shown = iut.status(job).reading.member("image_url")
    which = {url: "the first", other: "the second"}.get(shown, "neither")
    return f"{told}; {which} URL is shown"


def _must_take_reports(iut: Iut) -> None:
    if not iut.run.surroundings.update_status:
        raise NotApplicable("/update_status is out of reach")


def _asked(method: str, target: str) -> Callable[[Iut], str]:
    return lambda iut: _told(iut.outside(Request(method, target)).step)


def _as_a_browser(iut: Iut) -> str:
    prefers_html = (("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),)
    step = iut.outside(Request("GET", "/health", prefers_html)).step
    response = step.exchange.response
    return _told(step) if response is None else response.header("Content-Type") or "no media type"


def _told(step: Step) -> str:
    if step.answer in (Answer.GRANTED, Answer.UPDATED):
        return "taken"
    actual = step.reading.actual.strip()
    return actual if len(actual) <= _LONGEST_ANSWER else f"{actual[:_LONGEST_ANSWER]}..."


def _as_json(report: dict[str, str]) -> bytes:
    return json.dumps(report).encode()


QUESTIONS: Final = (
    Question("the format of a jobId", _job_id),
    Question("a publish with nothing but an image", _nothing_but_an_image),
    Question("an incomplete publish on a busy session", _incomplete_on_a_busy_session),
    Question("a file that is no image", _published(_no_image)),
    Question("a file of 2 MiB", _published(_large)),
    Question("a sessionId of 200 characters", _published(_long_session)),
    Question("a form with another field", _published(lambda p: (*p, Part("extra", b"1")))),
    Question("a form sent in chunks, without a length", _in_chunks),
    Question("a publish by PUT", _by_put),
    Question("a completed job reported with another URL", _repeated),
    Question("a report with another member", _reported(lambda r: _as_json(r | {"extra": "1"}))),
    Question(
        "a report with no URL for its URL", _reported(lambda r: _as_json(r | {"resultUrl": "x"}))
    ),
    Question("a report as text/plain", _reported(_as_json, "text/plain")),
    Question(
        "a report as a form",
        _reported(lambda r: urlencode(r).encode(), "application/x-www-form-urlencoded"),
    ),
    Question("an unknown route", _asked("GET", "/onejob-no-such-route")),
    Question("an unknown method", _asked("DELETE", "/publish")),
    Question("HEAD /health", _asked("HEAD", "/health")),
    Question("the media type for clients that prefer HTML", _as_a_browser),
)
"""In the order of the document."""
