"""Send steps again, written as they were, with fresh names and the job ids granted this time."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import quote

from onejob_contract.iut import Iut
from onejob_contract.steps import REQUEST_ID, Step
from onejob_contract.wire import Request

_NUMBER_OF_DIGITS: Final = 8
_SHORTEST_TELLING_ID: Final = 8
"""Ids of fewer characters may stand in a text by chance."""
_LONGEST_TELLING_ID: Final = 200
"""Longer ones are looked for only where one must stand, which takes no time."""


class Resending:
    """One sequence that is sent again.

    The same nonce of the first time becomes the same fresh one everywhere. `jobs` maps the job ids
    of the first time to those of this time, as they are granted.
    """

    def __init__(self, iut: Iut) -> None:
        self.jobs: dict[str, str] = {}
        self._iut = iut
        self._nonces: dict[str, str] = {}

    def send(self, old: Step) -> Step:
        """Send a step again; the new step."""
        run, who = self._iut.run, self._iut.check
        session = None if old.session is None else self.renamed_session(old.session)
        job = None if old.job is None else self.renamed(self._with_jobs(old.job))
        url = None if old.url is None else self.renamed(old.url)
        request = self._request(old, session)
        if url is not None:
            run.reports(url)
        if old.call is None:
            if session is not None:
                run.untracked_sessions.append(session)
            new = run.client.outside(request, who, session)
        else:
            exchange = run.client.send(request, who)
            new = run.client.recorded(old.call, exchange, who, session=session, job=job, url=url)
        if new.granted_job:
            run.unfinished[new.granted_job] = new.session or ""
        if old.granted_job and new.granted_job:
            self.jobs[old.granted_job] = new.granted_job
        return new

    def renamed_session(self, session: str) -> str:
        """The session id with a fresh nonce, also where that is in digits or a single letter."""
        if session not in self._iut.shapes:
            return self.renamed(self._with_jobs(session))
        stem, nonce = self._iut.shapes[session]
        return stem.with_nonce(self._nonces.setdefault(nonce, self._iut.nonce()))

    def renamed(self, text: str) -> str:
        """The text with every nonce of this run replaced by a fresh one."""
        fresh = set(self._nonces.values())  # what was written anew already stays

        def again(found: re.Match[str]) -> str:
            nonce = found[0]
            return nonce if nonce in fresh else self._nonces.setdefault(nonce, self._iut.nonce())

        pattern = re.escape(self._iut.run.client.token) + rf"\d{{{_NUMBER_OF_DIGITS}}}"
        return re.sub(pattern, again, text)

    def _request(self, step: Step, session: str | None) -> Request:
        request, client = step.exchange.request, self._iut.run.client
        derived = {} if step.job is None else {step.job: self._with_jobs(step.job)}
        target = _target(request.target, self.jobs | derived)
        body = _at_once(request.body.decode("latin-1"), _spellings(self.jobs | derived))
        if step.session is not None and session is not None:
            body = body.replace(_as_part(step.session), _as_part(session))
        ours = {name.lower() for name, _ in client.target.headers} | {REQUEST_ID.lower()}
        if not client.keep_alive:
            ours.add("connection")
        return Request(
            request.method,
            self.renamed(target),
            tuple((name, value) for name, value in request.headers if name.lower() not in ours),
            self.renamed(body).encode("latin-1"),
            request.chunks,
        )

    def _with_jobs(self, text: str) -> str:
        """The id of this time, also where it is a piece of the text, or the text its beginning."""
        if text in self.jobs:
            return self.jobs[text]
        for old, new in self.jobs.items():
            is_piece = _is_telling(text) and old.startswith(text)
            if is_piece and len(old) == len(new):
                return new[: len(text)]
        return _at_once(text, {o: n for o, n in self.jobs.items() if _is_telling(o)})


def _target(target: str, jobs: Mapping[str, str]) -> str:
    """The target with the job ids of this time in it."""
    start, slash, id_ = target.rpartition("/")
    for old, new in jobs.items():
        if id_ == quote(old, safe=""):
            return f"{start}{slash}{quote(new, safe='')}"
    telling = {quote(o, safe=""): quote(n, safe="") for o, n in jobs.items() if _is_telling(o)}
    return _at_once(target, telling)


def _spellings(jobs: Mapping[str, str]) -> dict[str, str]:
    """How job ids stand in bodies, read as Latin-1; some of them only in quotes."""
    spelt: dict[str, str] = {}
    for old, new in jobs.items():
        edge = "" if _is_telling(old) else '"'
        for write in (_in_utf8, _in_json):
            spelt[edge + write(old) + edge] = edge + write(new) + edge
    return spelt


def _is_telling(job: str) -> bool:
    """Whether a text that contains the id is about the job."""
    return _SHORTEST_TELLING_ID <= len(job) <= _LONGEST_TELLING_ID


def _at_once(text: str, table: Mapping[str, str]) -> str:
    """Replace all keys by their values in one pass, the longest first.

    One after the other would replace in what was put in, without end where ids contain each other.
    """
    if not table:
        return text
    keys = sorted(table, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, keys)), lambda found: table[found[0]], text)


def jobs_named(step: Step, jobs: Collection[str]) -> set[str]:
    """Those of the jobs that a step asks about: its own, or whose ids its own is made of."""
    if step.job in jobs:
        return {step.job} if step.job else set()
    request = step.exchange.request
    piece = step.job if step.job is not None and len(step.job) >= _SHORTEST_TELLING_ID else None
    return {
        job
        for job in jobs
        if len(job) >= _SHORTEST_TELLING_ID
        and (
            (piece is not None and piece in job)
            or quote(job, safe="") in request.target
            or _in_json(job).encode("latin-1") in request.body
        )
    }


def _as_part(session: str) -> str:
    """How a session id stands in a form, read as Latin-1."""
    return f"\r\n\r\n{_in_utf8(session)}\r\n--"


def _in_utf8(text: str) -> str:
    return text.encode().decode("latin-1")


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]
