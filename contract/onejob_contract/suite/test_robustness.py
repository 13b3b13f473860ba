"""Requests outside the contract: any refusal will do, but no 5xx, no silence, no trace."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import quote, urlencode

from onejob_contract.checks import Cost, proves
from onejob_contract.client import publish_request, update_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import Violation
from onejob_contract.iut import Iut, Job, Seen
from onejob_contract.wire import Request
from onejob_fixtures.forms import MALFORMED, ImageFile, Malformed, Part, encode, publish_parts
from onejob_fixtures.images import BROKEN, VALID, small_png

JSON = (("Content-Type", "application/json"),)

BODIES = {
    "empty": b"",
    "no JSON": b"jobId=1",
    "cut off": b'{"jobId": "1", "resultUrl": "http',
    "an array": b'["jobId", "resultUrl"]',
    "a string": b'"jobId"',
    "a number": b"17",
    "null": b"null",
    "true": b"true",
    "numbers for texts": b'{"jobId": 17, "resultUrl": 4}',
    "nulls for texts": b'{"jobId": null, "resultUrl": null}',
    "objects for texts": b'{"jobId": {"a": 1}, "resultUrl": ["http://x.example"]}',
    "booleans for texts": b'{"jobId": true, "resultUrl": false}',
    "a list for an id": b'{"jobId": ["a"], "resultUrl": "http://x.example/1.png"}',
    "an object for an id": b'{"jobId": {"id": "a"}, "resultUrl": "http://x.example/1.png"}',
    "a number for an id": b'{"jobId": 17, "resultUrl": "http://x.example/1.png"}',
    "empty texts": b'{"jobId": "", "resultUrl": ""}',
    "NaN": b'{"jobId": NaN, "resultUrl": Infinity}',
    "not UTF-8": b'{"jobId": "\xff\xfe", "resultUrl": "http://x.example"}',
    "nested": b"[" * 50 + b"]" * 50,
    "a long id": b'{"jobId": "' + b"x" * 20_000 + b'", "resultUrl": "http://x.example"}',
    "a huge number": b'{"jobId": 1e999, "resultUrl": 123456789012345678901234567890}',
    "doubled members": b'{"jobId": "a", "jobId": 5, "resultUrl": "x", "resultUrl": null}',
}

HOSTILE_BODIES = {
    "deeply nested": b"[" * 2_000 + b"]" * 2_000,
    "a lone surrogate": b'{"jobId": "\\ud800", "resultUrl": "http://x.example"}',
    "a NUL": b'{"jobId": "a\\u0000b", "resultUrl": "http://x.example"}',
}


REFUSED_REPORTS = (
    b'{"jobId": "%s"',
    b'["%s", "http://x.example"]',
    b'{"jobId": "%s", "resultUrl": null}',
    b'{"jobId": "%s", "resultUrl": 5}',
    b'{"jobId": ["%s"], "resultUrl": "http://x.example"}',
    b"jobId=%s&resultUrl=x",
)

OTHER_KINDS = ("gif", "webp_lossy", "bmp_rgb", "tiff_rgba", "png_called_jpeg")

LAST = ("Connection", "close")
"""With what may be refused before it is read to its end: the rest of it blocks its connection."""

_SEVERAL = 3

OTHER_WAYS = (
    ("PUT", "application/json"),
    ("PATCH", "application/json"),
    ("DELETE", "application/json"),
    ("GET", "application/json"),
    ("POST", "text/plain"),
    ("POST", "application/x-www-form-urlencoded"),
)


@proves("ROBUST-UPDATE-BODY", "UPDATE-OK", cost=Cost.LIST, needs=("update_status",))
def test_strange_reports_are_refused_politely(iut: Iut) -> None:
    """Bodies that are no object with two texts, other media types, one without a length."""
    for body in BODIES.values():
        iut.outside(Request("POST", "/update_status", JSON, body)).must_be_harmless()
    iut.health().is_arranged(Answer.HEALTHY)
    good = b'{"jobId": "no-such-job", "resultUrl": "http://x.example"}'
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "nonsense",
    ):
        request = Request("POST", "/update_status", (("Content-Type", media_type),), good)
        iut.outside(request).must_be_harmless()
    iut.outside(Request("POST", "/update_status", (), good)).must_be_harmless()
    iut.outside(Request("POST", "/update_status")).must_be_harmless()
    seen = _must_outlive_chunks(iut, Request("POST", "/update_status", JSON, good))
    if seen.answer is Answer.UNKNOWN_JOB:
        job, url = iut.active_job(), iut.new_url()
        request = _in_chunks(update_request(job.id, url), _SEVERAL)
        _must_be_read_whole(iut.report(job, url, request), Answer.UPDATED)
    iut.health().is_arranged(Answer.HEALTHY)


@proves("ROBUST-PUBLISH-FORM", cost=Cost.LIST)
def test_strange_forms_are_refused_politely(iut: Iut) -> None:
    """Malformed, truncated and mistyped form bodies, and one without a length."""
    for malformed in MALFORMED.values():
        if not malformed.hostile:
            _publish_malformed(iut, malformed).must_be_harmless()
    iut.health().is_arranged(Answer.HEALTHY)
    iut.outside(Request("POST", "/publish")).must_be_harmless()
    for body in (b'{"sessionId": "a"}', b'["sessionId"]', b"null", b"17", b"{"):
        iut.outside(Request("POST", "/publish", JSON, body)).must_be_harmless()
    session = iut.new_session()
    seen = _must_outlive_chunks(iut, publish_request(iut.form(session)), session)
    if seen.answer is Answer.GRANTED:
        session = iut.new_session()
        request = _in_chunks(publish_request(iut.form(session)), _SEVERAL)
        _must_be_read_whole(iut.documented(Call.PUBLISH, request, session), Answer.GRANTED)
    iut.health().is_arranged(Answer.HEALTHY)


@proves("ROBUST-PUBLISH-FORM", cost=Cost.LIST)
def test_strange_session_ids_are_refused_politely(iut: Iut) -> None:
    """Empty, too long, and line ends."""
    for session in ("", "x" * 129 + iut.nonce(), "x" * 5_000, "\r\n"):
        _publish_for(iut, session).must_be_harmless()
    iut.health().is_arranged(Answer.HEALTHY)


@proves("ROBUST-HOSTILE-INPUT", cost=Cost.HEAVY)
def test_input_made_to_break_parsers_is_refused_politely(iut: Iut) -> None:
    """Deep nesting, no text, no such charset, thousands of parts, what databases cannot store."""
    if iut.run.surroundings.update_status:
        for body in HOSTILE_BODIES.values():
            iut.outside(Request("POST", "/update_status", JSON, body)).must_be_harmless()
        odd = (("Content-Type", "application/json; charset=nonsense"),)
        iut.outside(Request("POST", "/update_status", odd, b"{}")).must_be_harmless()
    for malformed in MALFORMED.values():
        if malformed.hostile:
            _publish_malformed(iut, malformed).must_be_harmless()
    for text in ("a\0b", "\u202e\ufffe"):
        _publish_for(iut, f"{text}{iut.nonce()}").must_be_harmless()
    iut.health().is_arranged(Answer.HEALTHY)


@proves("ROBUST-HOSTILE-INPUT", cost=Cost.LAST)
def test_pictures_made_to_harm_who_paints_them_are_answered_politely(iut: Iut) -> None:
    """A few kilobytes that claim gigabytes; when nobody else waits for the server."""
    iut.expects_an_answer()
    for image in BROKEN.values():
        if image.hostile:
            _publish_broken(iut, image, small_png(1))
    iut.health().is_arranged(Answer.HEALTHY)


@proves("ROBUST-UPLOAD", "ROBUST-NO-STATE-CHANGE", cost=Cost.HEAVY)
def test_files_that_are_no_images_are_answered_politely(iut: Iut) -> None:
    """Truncated, empty, mislabelled and random files in either place, and a large one.

    Images of other kinds, too.
    """
    for kind in OTHER_KINDS:
        _publish_broken(iut, VALID[kind], small_png(1))
    for image in BROKEN.values():
        if not image.hostile:
            _publish_broken(iut, image, small_png(1))
            _publish_broken(iut, small_png(1), image)
    session = iut.new_session()
    name, image1, image2 = iut.parts(session)
    large = Part(image1.name, image1.content + bytes(6 << 20), image1.filename, image1.media_type)
    form = encode((name, large, image2))
    headers = (("Content-Type", form.content_type), LAST)
    seen = iut.outside(Request("POST", "/publish", headers, form.body), session)
    if seen.step.exchange.response is not None:
        seen.must_be_harmless()  # a refusal before the upload was read may cut the connection
    if _refused(seen.step.exchange.response):
        iut.requirement = "ROBUST-NO-STATE-CHANGE"
        iut.must_grant(session)
    iut.health().is_arranged(Answer.HEALTHY)


@proves("ROBUST-UNKNOWN-ROUTE", cost=Cost.LIST)
def test_unknown_routes_and_methods_are_refused_politely(iut: Iut) -> None:
    """Routes, queries and methods that the document does not know. HTTP's 501 is a refusal too.

    What is asked next, on the same connection, is answered as ever. What hides /update_status may
    hide it from every method, and without a word.
    """
    hidden = () if iut.run.surroundings.update_status else ("/update_status",)
    routes = (
        "/",
        f"/no-such-route-{iut.nonce()}",
        "/status",
        "/status/",
        "/status/%ff%fe",
        "/status/a%00b",
        "/status/%",
        "/status/%zz",
        f"/status/{iut.nonce()}%2Fwith%2Fslashes",
        f"/status/{iut.nonce() * 40}",
        "/publish/extra",
        "/health/extra",
        "/update_status/extra",
        "/%00",
        "/%ff%fe",
        "/..%2f..%2fetc%2fpasswd",
        "/" + "x" * 2_000,
        "/health?",
        "/health?verbose",
        "/health?a=&b=%ff",
        f"/status/{iut.nonce()}?verbose",
        f"/status/{iut.nonce()}?a=1&a=2",
    )

    def harmless(method: str, target: str) -> None:
        if not target.startswith(hidden):
            iut.outside(Request(method, target)).must_be_harmless()

    iut.each(routes, partial(harmless, "GET"))
    for target in ("/", f"/no-such-route-{iut.nonce()}", "/status", "/health?verbose"):
        iut.outside(Request("GET", target)).must_be_harmless()
        iut.health().is_arranged(Answer.HEALTHY)
    iut.outside(Request("POST", f"/no-such-route-{iut.nonce()}", JSON, b"{}")).must_be_harmless()
    methods = (
        ("GET", "/publish"),
        ("PUT", "/publish"),
        ("DELETE", "/publish"),
        ("POST", "/health"),
        ("DELETE", "/health"),
        ("GET", "/update_status"),
        ("PUT", "/update_status"),
        ("DELETE", "/status/x"),
        ("POST", "/status/x"),
        ("PATCH", "/status/x"),
        ("HEAD", "/status/x"),
        ("HEAD", "/health"),
        ("HEAD", "/publish"),
        ("OPTIONS", "/publish"),
    )
    iut.each(methods, lambda asked: harmless(*asked))
    iut.health().is_arranged(Answer.HEALTHY)


@proves("ROBUST-NO-STATE-CHANGE", cost=Cost.LIST)
def test_refused_requests_change_no_session_and_no_job(iut: Iut) -> None:
    """Malformed publishes of free and busy sessions, malformed reports, and other methods."""
    held = iut.active_job()

    def leaves_no_trace(malformed: Malformed) -> None:
        last = (LAST,) if malformed.hostile else ()
        session = iut.new_session()
        form = malformed.spoil(iut.parts(session))
        headers = (("Content-Type", form.content_type), *last)
        seen = iut.outside(Request("POST", "/publish", headers, form.body), session)
        if _refused(seen.step.exchange.response) and seen.answer is not Answer.BUSY:
            iut.must_grant(session)
        form = malformed.spoil(iut.parts(held.session))
        headers = (("Content-Type", form.content_type), *last)
        iut.outside(Request("POST", "/publish", headers, form.body), held.session)

    iut.each(MALFORMED.values(), leaves_no_trace)
    iut.must_survive(lambda _job: None, held)
    session = iut.new_session()
    form = encode(iut.parts(session))
    put = Request("PUT", "/publish", (("Content-Type", form.content_type),), form.body)
    if _refused(iut.outside(put, session).step.exchange.response):
        iut.must_grant(session)
    iut.each(REFUSED_REPORTS, lambda body: _survives_report(iut, body))
    iut.each(OTHER_WAYS, lambda way: _survives_way(iut, way))
    asks = [partial(_ask_status, iut, method) for method in ("HEAD", "DELETE", "PUT", "POST")]
    iut.each(asks, iut.must_survive)


def _ask_status(iut: Iut, method: str, job: Job) -> Seen:
    request = Request(method, f"/status/{quote(job.id, safe='')}")
    return iut.outside(request, job.session).must_be_harmless()


def _publish_malformed(iut: Iut, malformed: Malformed) -> Seen:
    session = iut.new_session()
    form = malformed.spoil(iut.parts(session))
    request = Request("POST", "/publish", (("Content-Type", form.content_type),), form.body)
    return iut.outside(request, session)


def _publish_broken(iut: Iut, first: ImageFile, second: ImageFile) -> Seen:
    session = iut.new_session()
    form = encode(publish_parts(session, first, second))
    request = Request("POST", "/publish", (("Content-Type", form.content_type),), form.body)
    return iut.outside(request, session).must_be_harmless()


def _publish_for(iut: Iut, session: str) -> Seen:
    _, *images = iut.parts("x")
    form = encode((Part("sessionId", session.encode()), *images))
    return iut.outside(
        Request("POST", "/publish", (("Content-Type", form.content_type),), form.body)
    )


def _survives_report(iut: Iut, body: bytes) -> None:
    def send(job: Job) -> Seen:
        request = Request("POST", "/update_status", JSON, body % job.id.encode())
        return iut.outside(request, job.session, urls=("http://x.example", "x"))

    _must_survive_if_refused(iut, send)


def _survives_way(iut: Iut, way: tuple[str, str]) -> None:
    """A good report, sent by another method or as another media type, which may be taken."""
    method, media_type = way

    def send(job: Job) -> Seen:
        members = {"jobId": job.id, "resultUrl": iut.new_url()}
        target, body = "/update_status", json.dumps(members).encode()
        if method == "GET":
            target, body = f"{target}?{urlencode(members)}", b""
        request = Request(method, target, (("Content-Type", media_type),), body)
        return iut.outside(request, job.session, urls=(members["resultUrl"],))

    if (
        method == "GET"
    ):  # whatever is answered: nobody may take it for an order (RFC 9110, section 9.2.1)
        iut.must_survive(send)
    else:
        _must_survive_if_refused(iut, send)


def _must_survive_if_refused(iut: Iut, send: Callable[[Job], Seen]) -> None:
    if _refused(send(iut.active_job()).step.exchange.response):
        iut.must_survive(send)


def _must_outlive_chunks(iut: Iut, request: Request, session: str | None = None) -> Seen:
    """Judge what is answered to a body in a chunk, without a length; not every server can read it.

    One that waits for a length, or for an end, never answers.
    """
    seen = iut.outside(_in_chunks(request, 1), session)
    if seen.step.exchange.response is not None:
        seen.must_be_harmless()
    return seen


def _in_chunks(request: Request, number: int) -> Request:
    headers = (*request.headers, ("Transfer-Encoding", "chunked"), LAST)
    return replace(request, headers=headers, chunks=number)


def _must_be_read_whole(seen: Seen, answer: Answer) -> None:
    """Judge: who reads a body that comes in one chunk reads one that comes in several."""
    try:
        seen.is_arranged(answer)
    except Violation as violation:
        violation.note = f"sent in {_SEVERAL} chunks; in a single chunk such a body was read"
        raise


def _refused(response: object) -> bool:
    status = getattr(response, "status", 0)
    return 400 <= status < 500
