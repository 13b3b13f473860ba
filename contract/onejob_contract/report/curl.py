"""Shell lines that send a request again, for a person who has only curl and base64 at hand."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from onejob_contract.client import AGENT
from onejob_contract.steps import REQUEST_ID, Step
from onejob_contract.wire import Origin, Request
from onejob_fixtures.forms import Form, Part, decode, is_ordinary

_CURL: Final = ("curl", "-sS", "-i", "-m", "10", "-w", r"\n")
_INLINE_BYTES: Final = 6_000
_PLAIN_CHARACTERS: Final = 1_000
_WORTH_PACKING: Final = 4
_PAUSE_S: Final = 0.5
_BETWEEN_CHUNKS_S: Final = 0.2
_NOT_REPEATED: Final = {("Connection", "close"), AGENT}
"""Headers that curl sends anyway, or that say nothing."""
_SIMPLE: Final = re.compile(r"[\w./+-]+")
_NO_JOBS: Final[Mapping[str, str]] = MappingProxyType({})
_JOB_ID: Final = r"""sed -n 's/.*"jobId": *"\([^"]*\)".*/\1/p'"""


@dataclass(frozen=True, slots=True)
class ShellLines:
    """`files` make the files that `command` uploads; both are lines for a shell."""

    files: tuple[str, ...]
    command: str

    def __str__(self) -> str:
        return "\n".join((*self.files, self.command))


def shell_lines(steps: Sequence[Step], origin: Origin) -> list[ShellLines]:
    """Lines for a sequence of requests, one `ShellLines` a step, to be run in one shell.

    A job id that a later request needs is taken from the new answer, into a variable. What was on
    its way together is sent in the background, and awaited.
    """
    variables: dict[str, str] = {}
    lines = []
    for number, step in enumerate(steps):
        again = curl(step.exchange.request, origin, variables)
        command, job, later = again.command, step.granted_job, steps[number + 1 :]
        pause_s = pause_before(steps, number)
        if pause_s:
            command = f"sleep {pause_s:.1f}; {command}"
        if job and job not in variables and any(_names(one, job) for one in later):
            variables[job] = f"job{len(variables) + 1}"
            command = f"{variables[job]}=$({command} | tee /dev/stderr | {_JOB_ID})"
        elif later and meets(step, later[0]):
            command = f"{command} &"
        elif number and meets(steps[number - 1], step):
            command = f"{command} & wait"
        lines.append(ShellLines(again.files, command))
    return lines


def meets(step: Step, following: Step) -> bool:
    """Whether a request was on its way before the one in front of it was answered."""
    return following.exchange.invoked_ns < step.exchange.returned_ns


def pause_before(steps: Sequence[Step], number: int) -> float:
    """Seconds for which nothing was sent before a step; 0 if that is too short to matter."""
    if number == 0:
        return 0.0
    before, after = steps[number - 1].exchange, steps[number].exchange
    seconds = (after.invoked_ns - before.returned_ns) / 1e9
    return seconds if seconds >= _PAUSE_S else 0.0


def curl(request: Request, origin: Origin, jobs: Mapping[str, str] = _NO_JOBS) -> ShellLines:
    """Lines that send the same request again; a body too long for a shell is told of in a comment.

    `jobs` maps job ids to the shell variables that stand for them.
    """
    words = [*_CURL, *(["--head"] if request.method == "HEAD" else ["-X", request.method])]
    words += _headers(request)
    url = f"{origin.scheme}://{origin.authority}{origin.prefix}{request.target}"
    if not request.body:
        return ShellLines((), _joined([*words, url], jobs))
    if request.chunks > 1:
        return _in_chunks(request, [*words, "-H", "Expect:", "-T", "-", url], jobs)
    if _is_plain(request.body, _INLINE_BYTES if _names_any(request, jobs) else _PLAIN_CHARACTERS):
        return ShellLines((), _joined([*words, "--data-raw", request.body.decode(), url], jobs))
    parts = _parts_as_curl_writes_them(request)
    again = _form(request, parts, url) if parts is not None else None
    if again is None:
        sent = shlex.join([*words, "--data-binary", "@-", url])
        again = ShellLines((), f"{_printed(request.body)} | {sent}")
    if len(str(again)) > _INLINE_BYTES:
        comment = f"  # with the body of {len(request.body)} bytes described above"
        return ShellLines((), shlex.join([*words, url]) + comment)
    return again


def _headers(request: Request, but: str = "") -> list[str]:
    """Options for the headers of a request; one without a value is one that curl must not add."""
    return [
        word
        for name, value in request.headers
        if (name, value) not in _NOT_REPEATED and name not in (REQUEST_ID, but)
        for word in ("-H", f"{name}: {value}".rstrip())
    ]


def _form(request: Request, parts: Sequence[Part], url: str) -> ShellLines:
    words = [*_CURL, *_headers(request, but="Content-Type")]
    files: dict[str, None] = {}
    for part in parts:
        if part.filename is None:
            words += ["--form-string", f"{part.name}={part.content.decode()}"]
            continue
        file = f"onejob-{hashlib.sha256(part.content).hexdigest()[:8]}"
        files[f"{_printed(part.content)} > {file}"] = None
        words += ["-F", f"{part.name}=@{file};filename={part.filename};type={part.media_type}"]
    return ShellLines(tuple(files), shlex.join([*words, url]))


def _parts_as_curl_writes_them(request: Request) -> Sequence[Part] | None:
    """Give the parts of a form that `curl -F` sends alike; None if there is anything special."""
    if request.method != "POST":
        return None
    # Where the name is in lower case that may matter, and curl writes it otherwise.
    form = Form(request.body, dict(request.headers).get("Content-Type", ""))
    parts = decode(form) or ()
    simple = bool(parts) and is_ordinary(form) and all(map(_is_simple, parts))
    return parts if simple else None


def _is_simple(part: Part) -> bool:
    """Whether curl's options can say it without quoting of their own."""
    if part.filename is None:
        is_plain = part.media_type is None and _is_plain(part.content)
        return is_plain and _SIMPLE.fullmatch(part.name) is not None
    words = (part.name, part.filename, part.media_type or "")
    return all(_SIMPLE.fullmatch(word) for word in words)


def _printed(content: bytes) -> str:
    """A command that prints these bytes; what shrinks well is packed."""
    packed = gzip.compress(content, mtime=0)
    if len(packed) < len(content) / _WORTH_PACKING:
        return f"echo {base64.b64encode(packed).decode()} | base64 -d | gunzip"
    return f"echo {base64.b64encode(content).decode()} | base64 -d"


def _in_chunks(request: Request, words: Sequence[str], jobs: Mapping[str, str]) -> ShellLines:
    """Lines that print one piece of a body after the other: curl sends what it can read at a time.

    A job id that a variable stands for is not cut.
    """
    named = next((job.encode() for job in jobs if job.encode() in request.body), None)
    pieces = request.body.partition(named) if named else request.pieces
    printed = [
        _joined(["printf", "%s", piece.decode()], jobs) if _is_plain(piece) else _printed(piece)
        for piece in pieces
    ]
    pause = f"; sleep {_BETWEEN_CHUNKS_S}; "
    return ShellLines((), f"{{ {pause.join(printed)}; }} | {shlex.join(words)}")


def _names(step: Step, job: str) -> bool:
    request = step.exchange.request
    is_text = _is_plain(request.body, _INLINE_BYTES)
    return job in request.target or (is_text and job in request.body.decode())


def _joined(words: Sequence[str], jobs: Mapping[str, str]) -> str:
    """Join words for a shell, with variables in the place of job ids."""
    if not jobs:
        return shlex.join(words)
    ids = re.compile("(" + "|".join(map(re.escape, sorted(jobs, key=len, reverse=True))) + ")")
    return " ".join(
        "".join(
            f'"${jobs[piece]}"' if piece in jobs else shlex.quote(piece)
            for piece in ids.split(word)
            if piece
        )
        for word in words
    )


def _names_any(request: Request, jobs: Mapping[str, str]) -> bool:
    return any(job.encode() in request.body for job in jobs)


def _is_plain(body: bytes, limit: int = _PLAIN_CHARACTERS) -> bool:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return len(text) < limit and text.isprintable()
