"""Shell lines that send a request again, for a person who has only curl and base64 at hand."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from onejob_contract.client import Step
from onejob_contract.wire import Origin, Request

_INLINE_BYTES: Final = 6_000
_NOT_REPEATED: Final = {"connection"}
_FORM: Final = re.compile(r"multipart/form-data; boundary=([\w-]+)")
_PART: Final = re.compile(
    rb'\r\nContent-Disposition: form-data; name="(\w+)"(?:; filename="([\w.-]+)")?\r\n'
    rb"(?:Content-Type: ([\w/.+-]+)\r\n)?\r\n(.*)\r\n",
    re.DOTALL,
)
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

    A job id that a later request needs is taken from the new answer, into a variable.
    """
    variables: dict[str, str] = {}
    lines = []
    for number, step in enumerate(steps):
        again = curl(step.exchange.request, origin, variables)
        job = step.granted_job
        if (
            job
            and job not in variables
            and any(_names(later, job) for later in steps[number + 1 :])
        ):
            variables[job] = f"job{len(variables) + 1}"
            command = f"{variables[job]}=$({again.command} | tee /dev/stderr | {_JOB_ID})"
            again = ShellLines(again.files, command)
        lines.append(again)
    return lines


def curl(request: Request, origin: Origin, jobs: Mapping[str, str] = _NO_JOBS) -> ShellLines:
    """Lines that send the same request again; a long body is only told of in a comment.

    `jobs` maps job ids to the shell variables that stand for them.
    """
    words = ["curl", "-sS", "-i", "-X", request.method]
    for name, value in request.headers:
        if name.lower() not in _NOT_REPEATED:
            words += ["-H", f"{name}: {value}"]
    url = f"{origin.scheme}://{origin.authority}{origin.prefix}{request.target}"
    if not request.body:
        return ShellLines((), _joined([*words, url], jobs))
    if _is_plain(request.body):
        return ShellLines((), _joined([*words, "--data-raw", request.body.decode(), url], jobs))
    if len(request.body) > _INLINE_BYTES:
        comment = f"  # with the body of {len(request.body)} bytes described above"
        return ShellLines((), shlex.join([*words, url]) + comment)
    parts = _parts_as_curl_writes_them(request)
    if parts is not None:
        return _form(request, parts, url)
    encoded = base64.b64encode(request.body).decode()
    again = shlex.join([*words, "--data-binary", "@-", url])
    return ShellLines((), f"echo {encoded} | base64 -d | {again}")


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    filename: str | None
    media_type: str | None
    content: bytes


def _form(request: Request, parts: list[_Part], url: str) -> ShellLines:
    words = ["curl", "-sS", "-i"]
    for name, value in request.headers:
        if name.lower() not in {*_NOT_REPEATED, "content-type"}:
            words += ["-H", f"{name}: {value}"]
    files: dict[str, None] = {}
    for part in parts:
        if part.filename is None:
            words += ["--form-string", f"{part.name}={part.content.decode()}"]
            continue
        digest = hashlib.sha256(part.content).hexdigest()[:8]
        file = f"onejob-{digest}"
        encoded = base64.b64encode(part.content).decode()
        files[f"echo {encoded} | base64 -d > {file}"] = None
        words += ["-F", f"{part.name}=@{file};filename={part.filename};type={part.media_type}"]
    return ShellLines(tuple(files), shlex.join([*words, url]))


def _parts_as_curl_writes_them(request: Request) -> list[_Part] | None:
    """Give the parts of a form that `curl -F` sends alike; None if there is anything special."""
    form = _FORM.fullmatch(dict(request.headers).get("Content-Type", ""))
    if form is None or request.method != "POST":
        return None
    first, *pieces = request.body.split(b"--" + form[1].encode())
    if first or len(pieces) < 2 or pieces.pop() != b"--\r\n":
        return None
    parts = []
    for piece in pieces:
        found = _PART.fullmatch(piece)
        if found is None:
            return None
        name, filename, media_type, content = found.groups()
        if filename is None and (media_type or not _is_plain(content)):
            return None
        if filename is not None and media_type is None:
            return None
        parts.append(
            _Part(
                name.decode(),
                None if filename is None else filename.decode(),
                None if media_type is None else media_type.decode(),
                content,
            )
        )
    return parts


def _names(step: Step, job: str) -> bool:
    request = step.exchange.request
    return job in request.target or (_is_plain(request.body) and job in request.body.decode())


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


def _is_plain(body: bytes) -> bool:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return len(text) < _INLINE_BYTES and text.isprintable()
