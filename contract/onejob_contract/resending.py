"""Send steps again, written as they were, with fresh names and the job ids granted this time."""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import quote

from onejob_contract.client import REQUEST_ID, Step
from onejob_contract.iut import Iut
from onejob_contract.wire import Request

_NUMBER_OF_DIGITS: Final = 8
_SHORTEST_TELLING_ID: Final = 8
"""Ids of fewer characters may stand in a text by chance."""


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
            run.reported_urls.add(url)
        if old.call is None:
            if session is not None:
                run.untracked_sessions.append(session)
            new = run.client.outside(request, who, session)
        else:
            exchange = run.client.send(request, who)
            new = run.client.recorded(old.call, exchange, who, session=session, job=job, url=url)
        if old.granted_job and new.granted_job:
            self.jobs[old.granted_job] = new.granted_job
            run.unfinished[new.granted_job] = new.session or ""
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
        target, body = request.target, request.body
        for old, new in self.jobs.items():
            before, after = quote(old, safe=""), quote(new, safe="")
            spellings = {old.encode(): new.encode(), _in_json(old): _in_json(new)}
            if len(old) >= _SHORTEST_TELLING_ID:
                target = target.replace(before, after)
                for spelt, spelt_now in spellings.items():
                    body = body.replace(spelt, spelt_now)
            else:
                if target.endswith(f"/{before}"):
                    target = target.removesuffix(before) + after
                for spelt, spelt_now in spellings.items():
                    body = body.replace(b'"%s"' % spelt, b'"%s"' % spelt_now)
        if step.job is not None and (job := self._with_jobs(step.job)) != step.job:
            target = target.replace(quote(step.job, safe=""), quote(job, safe=""))
            body = body.replace(_in_json(step.job), _in_json(job))
        if step.session is not None and session is not None:
            body = body.replace(_as_part(step.session), _as_part(session))
        ours = {name.lower() for name, _ in client.target.headers} | {REQUEST_ID.lower()}
        if not client.keep_alive:
            ours.add("connection")
        return Request(
            request.method,
            self.renamed(target),
            tuple((name, value) for name, value in request.headers if name.lower() not in ours),
            self.renamed(body.decode("latin-1")).encode("latin-1"),
        )

    def _with_jobs(self, text: str) -> str:
        """The id of this time, also where it is a piece of the text, or the text its beginning."""
        if text in self.jobs:
            return self.jobs[text]
        for old, new in self.jobs.items():
            if len(old) >= _SHORTEST_TELLING_ID:
                text = text.replace(old, new)
            if len(text) >= _SHORTEST_TELLING_ID and old.startswith(text) and len(old) == len(new):
                text = new[: len(text)]
        return text


def names_job(step: Step, job: str) -> bool:
    """Whether a step asks about a job, or about an id that is made of the job's."""
    if step.job == job:
        return True
    if len(job) < _SHORTEST_TELLING_ID:
        return False
    request = step.exchange.request
    piece = step.job is not None and len(step.job) >= _SHORTEST_TELLING_ID and step.job in job
    return piece or quote(job, safe="") in request.target or _in_json(job) in request.body


def _as_part(session: str) -> bytes:
    """How a session id stands in a form."""
    return f"\r\n\r\n{session}\r\n--".encode()


def _in_json(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()
