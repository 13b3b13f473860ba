"""Requests that schemathesis makes from the spec, sent and judged like any others.

What a request means is read from its bytes (`recognition`), not from the label under which it was
generated: a form has no numbers, so a "wrong type" is often a good text on the wire. What is no
well-formed call of the document is judged as outside the contract.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import requests
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, Unsatisfiable
from schemathesis import Case, GenerationMode, Response, openapi
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput
from schemathesis.schemas import APIOperation

from onejob_contract.catalogue import spec
from onejob_contract.client import status_request
from onejob_contract.documented import Answer, Call
from onejob_contract.expectations import Expectations
from onejob_contract.findings import Unobservable
from onejob_contract.history import OperationKind
from onejob_contract.iut import Iut, Seen
from onejob_contract.recognition import (
    FORM_FIELDS,
    MEMBERS,
    Meaning,
    breaks_form_parsers,
    images,
    is_form,
    recognise,
)
from onejob_contract.turns import choosing, sending
from onejob_contract.wire import Request
from onejob_fixtures.forms import Form
from onejob_fixtures.names import MAX_RESULT_URL_CHARACTERS, MAX_SESSION_ID_CHARACTERS

OUTSIDE: Final = "outside the contract"
_LEFT_OUT: Final = "left out: made to break form parsers"
_CUT: Final = "cut short by the server's own worker"
_BASE: Final = "http://target.invalid"
_BOUNDARY: Final = "onejob-generated-form"
_UNANSWERED: Final = 504
_REPEATED: Final = 0.3
_PURE: Final = 0.7
"""How often names that the spec does not know are left out: with them a body is outside."""
_MODES: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
_BATCH: Final = 10
_LEAST: Final = 40
"""So many are sent even if the time is up: loading schemathesis may have taken all of it."""
_LONGEST_SEGMENT: Final = 100
_LINK_STEPS: Final = 6
_HEADER: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_UNTYPED: Final = re.compile(
    rb'(\r\nContent-Disposition: [^\r\n]*; filename="[^\r\n]*)\r\n\r\n(?=(\x89PNG|\xff\xd8)?)'
)
_TYPES: Final = {b"\x89PNG": b"image/png", b"\xff\xd8": b"image/jpeg"}
_ROBUST: Final = {
    ("POST", "/publish"): "ROBUST-PUBLISH-FORM",
    ("POST", "/update_status"): "ROBUST-UPDATE-BODY",
}

_Case: TypeAlias = Case[Any]
_Operation: TypeAlias = APIOperation[Any, Any, Any, Any]


class _Over(BaseException):
    """Ends a Hypothesis run at once: as no Exception it is not tried again."""


class Fuzzing:
    """Generated requests, one for each round. `counts` says what they were and what came back."""

    def __init__(self, iut: Iut, rounds: Iterator[int], paths: Sequence[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._iut = iut
        self._rounds = rounds
        self._expectations = Expectations(iut)
        self._failure: Exception | None = None
        self._sent = 0
        openapi.format("binary", st.sampled_from(images()))
        document = {
            "openapi": spec()["openapi"],
            "info": spec()["info"],
            "paths": {path: copy.deepcopy(spec()["paths"][path]) for path in paths},
        }
        config = {"generation": {"database": "none", "mode": "positive"}, "base-url": _BASE}
        self._schema = openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))

    def generate(self) -> None:
        """Valid and invalid requests of every operation: some, then each kind, then any.

        Raises what the first of them raised that failed.
        """
        operations = [
            self._schema[path][method] for path in self._schema for method in self._schema[path]
        ]
        strategies = [
            operation.as_strategy(generation_mode=mode)
            for operation in operations
            for mode in _MODES
        ]
        with self._ends():
            self._draw(strategies)
            for operation in operations:
                for case in self._each_kind(operation):
                    self._send(case)
            while True:
                self._draw(strategies)

    def follow_links(self) -> None:
        """Requests whose arguments come from earlier answers, along the links of the spec."""
        fuzzing = self

        class Linked(self._schema.as_state_machine()):  # type: ignore[misc]
            def step(self, step: StepInput) -> StepOutput:
                if step.transition is not None and step.is_applied:
                    fuzzing.counts[_link_name(step.transition.id)] += 1
                return StepOutput(fuzzing._send(step.case), step.case)

        with self._ends():
            while True:
                seed(self._iut.random.getrandbits(64))(Linked)
                Linked.run(settings=settings(self._settings(), stateful_step_count=_LINK_STEPS))

    @property
    def links(self) -> list[str]:
        """The links of the spec, as `counts` names them."""
        return [
            f"followed {name}"
            for path in self._schema.raw_schema["paths"].values()
            for operation in path.values()
            for response in operation["responses"].values()
            for name in response.get("links", ())
        ]

    def _settings(self) -> settings:
        return settings(
            max_examples=_BATCH,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )

    @contextmanager
    def _ends(self) -> Iterator[None]:
        try:
            with choosing():
                yield
        except _Over:
            if self._failure is not None:
                raise self._failure from None
        except Flaky:
            raise Unobservable(
                "the server answered the same request differently", again=True
            ) from None

    def _draw(self, strategies: Sequence[st.SearchStrategy[_Case]]) -> None:
        for strategy in strategies:
            test = self._settings()(given(strategy)(self._send_only))
            # A job id in a path cannot be wrong: there is nothing to draw.
            with suppress(Unsatisfiable):
                seed(self._iut.random.getrandbits(64))(test)()

    def _each_kind(self, operation: _Operation) -> Iterator[_Case]:
        return self._schema.iter_coverage_cases(
            operation,
            generation_modes=list(_MODES),
            generation_config=self._schema.config.generation_for(operation=operation),
        )

    def _send_only(self, case: _Case) -> None:
        self._send(case)

    def _send(self, case: _Case) -> Response:
        """Send one case with names of its own, judge what comes back, and hand it to the links."""
        self._sent += 1
        more = next(self._rounds, None) is not None or self._sent <= _LEAST
        if not more or self._iut.run.stop.is_set():
            raise _Over
        nonce = self._iut.nonce()
        self._freshen(case, nonce)
        prepared = requests.Request(**case.as_transport_kwargs(base_url=_BASE)).prepare()
        request = _written(prepared)
        unanswered = Response(_UNANSWERED, {}, b"", prepared, 0.0, verify=False)
        if breaks_form_parsers(request):
            self.counts[_LEFT_OUT] += 1
            return unanswered
        try:
            with sending():
                response = self._judged(request, nonce).step.exchange.response
        except Unobservable:
            self.counts[_CUT] += 1
            response = None
        except Exception as failure:
            self._failure = failure
            raise _Over from None
        if response is None:
            return unanswered
        headers = {name: [value] for name, value in response.headers}
        return Response(response.status, headers, response.body, prepared, 0.0, verify=False)

    def _freshen(self, case: _Case, nonce: str) -> None:
        """Give a case names that nobody else uses, else it would meet the jobs of other checks.

        Names that are too short or too long stay so; a job that a link filled in stays itself.
        """
        parameters = case.path_parameters
        if isinstance(parameters, dict) and parameters.get("jobId") not in self._expectations.owner:
            case.path_parameters = {"jobId": f"{parameters.get('jobId')}-{nonce}"}
        if not isinstance(case.body, dict):
            return
        body = dict(case.body)
        session, job, url = (body.get(name) for name in ("sessionId", "jobId", "resultUrl"))
        known = isinstance(job, str) and job in self._expectations.owner
        if known or self._iut.random.random() < _PURE:
            body = {name: body[name] for name in (*FORM_FIELDS, *MEMBERS) if name in body}
        if "sessionId" in body and session != "" and not isinstance(session, list | dict):
            short = len(str(session)) <= MAX_SESSION_ID_CHARACTERS
            named = f"{nonce}{session}"
            body["sessionId"] = named[:MAX_SESSION_ID_CHARACTERS] if short else named
        if isinstance(job, str) and job and not known:
            body["jobId"] = f"{job}-{nonce}"
        elif isinstance(job, int | float) and not isinstance(job, bool):
            body["jobId"] = int(nonce[-8:]) + 10**15
        if isinstance(url, str) and 0 < len(url) <= MAX_RESULT_URL_CHARACTERS:
            query = quote(url.encode("utf-8", "replace"))[:1_000]
            body["resultUrl"] = f"{self._iut.new_url()}?text={query}"
        case.body = body

    def _judged(self, request: Request, nonce: str) -> Seen:
        meaning = recognise(request)
        if meaning is None or (meaning.session and nonce not in meaning.session):
            # Somebody else may have used a session like "0" or "null" before.
            self.counts[OUTSIDE] += 1
            return self._outside(request)
        seen = self._documented(meaning, request)
        self.counts[str(seen.answer)] += 1
        return seen

    def _outside(self, request: Request) -> Seen:
        requirement = _ROBUST.get((request.method, request.target), "ROBUST-UNKNOWN-ROUTE")
        if requirement == "ROBUST-PUBLISH-FORM" and is_form(request):
            requirement = "ROBUST-UPLOAD"
        self._iut.requirement = requirement
        session = f"onejob-{self._iut.nonce()}" if request.target == "/publish" else None
        return self._iut.outside(request, session).must_be_harmless()

    def _documented(self, meaning: Meaning, request: Request) -> Seen:
        match meaning.call:
            case Call.PUBLISH:
                return self._publish(meaning, request)
            case Call.STATUS:
                return self._status(meaning.job or "")
            case Call.UPDATE:
                return self._update(meaning, request)
        return self._iut.documented(Call.HEALTH, request).is_arranged(Answer.HEALTHY)

    def _publish(self, meaning: Meaning, request: Request) -> Seen:
        """Judge a form: complete, it is granted, and refused if it is sent again."""
        missing = meaning.missing
        if missing:
            allowed = {Answer.MISSING_SESSION} if "sessionId" in missing else set()
            allowed |= {Answer.MISSING_IMAGE} if missing - {"sessionId"} else set()
            return self._iut.documented(Call.PUBLISH, request).is_arranged(*allowed)
        form = Form(request.body, dict(request.headers)["Content-Type"])
        session = meaning.session or ""
        seen = self._iut.publish(session, form)
        seen.is_arranged(*self._expectations.allowed(session, OperationKind.PUBLISH))
        self._expectations.follow(session, seen)
        if self._iut.random.random() < _REPEATED:
            again = self._iut.publish(session, form).is_arranged(Answer.BUSY)
            self.counts[str(again.answer)] += 1
        return seen

    def _status(self, job: str) -> Seen:
        session = self._expectations.owner.get(job)
        if session is None and not _travels(job):
            self._iut.requirement = "ROBUST-UNKNOWN-ROUTE"
            return self._iut.outside(status_request(job)).must_be_harmless()
        if session is None:
            return self._iut.status(job).is_arranged(Answer.NOT_FOUND)
        allowed = self._expectations.allowed(session, OperationKind.STATUS, job)
        seen = self._iut.status(job).is_arranged(*allowed)
        self._expectations.follow(session, seen)
        return seen

    def _update(self, meaning: Meaning, request: Request) -> Seen:
        job = meaning.job or ""
        session = self._expectations.owner.get(job)
        if meaning.missing:
            unknown = {Answer.UNKNOWN_JOB} if job and session is None else set()
            seen = self._iut.documented(Call.UPDATE, request)
            return seen.is_arranged(Answer.MISSING_FIELD, *unknown)
        seen = self._iut.report(job, meaning.url or "", request)
        if session is None:
            return seen.is_arranged(Answer.UNKNOWN_JOB)
        seen.is_arranged(*self._expectations.allowed(session, OperationKind.UPDATE, job))
        self._expectations.follow(session, seen)
        return seen


def _travels(job: str) -> bool:
    """Whether routers take this for one id: nothing they cut paths at, and no longer than usual."""
    return job.isprintable() and len(job) <= _LONGEST_SEGMENT and not {"/", "\\"} & set(job)


def _link_name(transition: str) -> str:
    """`POST /publish -> [200] statusOfJob -> GET /status/{jobId}` as `followed statusOfJob`."""
    return "followed " + transition.split(" -> ")[1].rpartition(" ")[2]


def _written(prepared: requests.PreparedRequest) -> Request:
    """The request as the kit's own client writes it: no random boundary, files with their type."""
    body = prepared.body or b""
    body = body.encode() if isinstance(body, str) else bytes(body)
    content_type = str(prepared.headers.get("Content-Type", ""))
    boundary = re.search(r"boundary=([0-9a-f]{32})$", content_type)
    if boundary is not None:
        body = body.replace(boundary[1].encode(), _BOUNDARY.encode())
        body = _UNTYPED.sub(_typed, body)
        content_type = content_type.replace(boundary[1], _BOUNDARY)
    headers = (("Content-Type", content_type),) if _HEADER.fullmatch(content_type) else ()
    return Request(str(prepared.method), prepared.path_url, headers, body)


def _typed(file: re.Match[bytes]) -> bytes:
    """The headers of a file with its media type among them."""
    media_type = _TYPES.get(file[2], b"application/octet-stream")
    return file[1] + b"\r\nContent-Type: " + media_type + b"\r\n\r\n"
