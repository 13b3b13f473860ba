"""Show a violation again, with as few requests as possible, before it is reported.

A violation comes with the requests that led to it. They are sent again with fresh sessions and
the job ids granted this time, and the one model says whether the last answer is wrong again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from onejob_contract.client import publish_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import Violation
from onejob_contract.iut import Iut
from onejob_contract.model import SessionState
from onejob_contract.model import step as follow
from onejob_contract.resending import Resending, jobs_named
from onejob_contract.steps import Step, operation_of
from onejob_fixtures.forms import Form, Part, decode, encode, publish_parts
from onejob_fixtures.images import IN_CONTRACT, Image, small_pairs

TRIES: Final = 3
_STATELESS: Final = frozenset(
    {Answer.MISSING_SESSION, Answer.MISSING_IMAGE, Answer.MISSING_FIELD, Answer.HEALTHY}
)
_CONTROLS: Final = 6
_QUIET_S: Final = 1.0
_UNIQUE: Final = "PUBLISH-JOB-ID-UNIQUE"
_MEDIA_TYPE: Final = "RESPONSE-JSON"
_INCOMPLETE: Final = (Answer.MISSING_IMAGE, Answer.MISSING_SESSION)
_FIELDS: Final = ["image1", "image2", "sessionId"]


def confirm(violation: Violation, iut: Iut, seconds: float) -> Violation:
    """The violation with its steps shortened and `replayed` filled in, within about `seconds`."""
    if not violation.replayable or not violation.steps:
        return violation
    deadline = time.monotonic() + seconds
    whole = violation.steps
    # An id granted twice is about the two grants, whatever their sessions.
    own = (whole[0], whole[-1]) if violation.requirement == _UNIQUE else related(whole)
    attempts = [own]
    for more in (related(whole, _named_together(whole, iut)), whole):
        attempts += [more] if len(more) > len(attempts[-1]) else []
    for steps in attempts:
        shown = _replay(steps, violation, iut)
        if shown is None:
            continue
        shortest = _shortened(steps, shown, violation, iut, deadline)
        needs_others = not violation.unanswered and not _shows_in_quiet(shortest, violation, iut)
        last = shortest.steps[-1]
        violation.steps = shortest.steps
        violation.expected = shortest.names.renamed(violation.expected)
        violation.actual = last.reading.actual
        if violation.requirement == _UNIQUE:
            violation.actual, violation.note = f"jobId {last.granted_job!r} once more", ""
        violation.replayed = (1, 2) if needs_others else (1, 1)
        if needs_others:
            violation.note = "shown again only while other checks were at work"
        violation.requirement = (
            _plainest_requirement(violation, related(shortest.steps))
            if violation.intermittent
            else _shown_requirement(violation)
        )
        return violation
    tries = 2
    while tries < TRIES and time.monotonic() < deadline:
        tries += 1
        if _replay(own, violation, iut) is not None:
            violation.replayed = (1, tries)
            break
    else:
        fixed = _fixed_session(own, iut)
        if fixed is None:
            violation.replayed = (0, tries)
        else:
            violation.note = f"not shown again: session {fixed!r} is fresh only once"
    violation.steps = own
    if violation.intermittent:
        violation.requirement = _plainest_requirement(violation, own)
    return violation


def _shown_requirement(violation: Violation) -> str:
    """The requirement that the shortest steps show, where the check's own plays no part in them."""
    steps, expects_busy = violation.steps[:-1], violation.allowed == {Answer.BUSY}
    if violation.steps[-1].answer is Answer.BUSY and Answer.BUSY not in violation.allowed:
        return _requirement_of_staying_busy(violation)
    if not expects_busy or violation.steps[-1].answer is not Answer.GRANTED:
        return violation.requirement
    calls = {step.call for step in steps}
    plays_a_part = {
        "LOCK-HELD-OVER-POLLS": bool(calls & {Call.STATUS, Call.HEALTH}),
        "LOCK-HELD-OVER-FAILED-UPDATES": bool(calls & {Call.UPDATE, None}),
        "LOCK-STALE-UPDATE": Call.UPDATE in calls,
        "PUBLISH-BUSY": violation.steps[-1].granted_job in {step.granted_job for step in steps},
        "LOCK-PER-SESSION": len({step.session for step in steps if step.session}) > 1,
    }
    if plays_a_part.get(violation.requirement, True):
        return violation.requirement
    refused = any(s.call is Call.PUBLISH and s.answer is not Answer.GRANTED for s in steps)
    return "LOCK-HELD-OVER-REFUSALS" if refused else "LOCK-ONE-ACTIVE-JOB"


def _requirement_of_staying_busy(violation: Violation) -> str:
    """The requirement that a busy session shows, where no other session plays a part.

    It never had a job and was refused before, or all its jobs were reported.
    """
    *before, _ = own = related(violation.steps)
    if len(own) < len(violation.steps) or violation.requirement.startswith("ROBUST-"):
        return violation.requirement
    jobs = {step.granted_job for step in before if step.granted_job}
    reported = {step.job for step in before if step.answer is Answer.UPDATED}
    if not jobs and any(step.answer in _INCOMPLETE for step in before):
        return "LOCK-FREE-AFTER-REFUSAL"
    if jobs and jobs <= reported and violation.requirement == "LOCK-PER-SESSION":
        return "UPDATE-RELEASES-LOCK"
    return violation.requirement


def _plainest_requirement(violation: Violation, own: Sequence[Step]) -> str:
    """The requirement of a failure that comes and goes, which what the check is about cannot cause.

    A session that stays busy, or a job that stays active, though its report was answered.
    """
    last = own[-1]
    jobs = {step.granted_job for step in own if step.granted_job}
    reported = {step.job for step in own if step.answer is Answer.UPDATED}
    if violation.allowed == {Answer.GRANTED} and last.answer is Answer.BUSY and jobs <= reported:
        return "UPDATE-RELEASES-LOCK" if jobs else violation.requirement
    read = any(step.answer is Answer.COMPLETED and step.job == last.job for step in own[:-1])
    if violation.allowed == {Answer.COMPLETED} and last.answer is Answer.PROCESSING and not read:
        return "UPDATE-TAKES-EFFECT" if last.job in reported else violation.requirement
    return violation.requirement


def _shows_in_quiet(shown: _Shown, violation: Violation, iut: Iut) -> bool:
    """Whether the steps show it while nobody else of this run asks anything.

    Not asked of silence, for which everybody would have to wait.
    """
    with iut.run.client.places.alone(_QUIET_S) as is_quiet:
        return not is_quiet or _replay(shown.kept, violation, iut) is not None


def fails_for_its_input(violation: Violation, iut: Iut) -> bool:
    """Whether it fails whenever it is shown again, and plain publishes in between never do.

    Plain are two images of one kind, or of two; one of these is enough. Nobody else asks anything
    meanwhile: a server may fail whenever it has too much to do at once.
    """
    if violation.replayed != (1, 1):
        return False
    with iut.run.client.places.alone(_QUIET_S):
        return any(
            all(
                _replay(violation.steps, violation, iut) is not None and _is_granted(pair, iut)
                for _ in range(_CONTROLS)
            )
            for pair in small_pairs()
        )


def _is_granted(pair: tuple[Image, Image], iut: Iut) -> bool:
    session = iut.new_session()
    form = encode(publish_parts(session, *pair))
    return iut.publish(session, form).answer is Answer.GRANTED


@dataclass(frozen=True, slots=True)
class _Shown:
    """Steps that show a violation again, and how those of the first time, `kept`, became them."""

    steps: tuple[Step, ...]
    names: Resending
    kept: tuple[Step, ...]


def related(steps: Sequence[Step], others: Collection[str] = ()) -> tuple[Step, ...]:
    """The steps that touch the session of the last one, or one of some others."""
    if not steps:
        return ()
    last = steps[-1]
    session_of = {s.granted_job: s.session for s in steps if s.granted_job is not None}
    session = last.session or session_of.get(last.job or "")
    if session is None:
        return (last,)
    touched = {session, *others}
    return tuple(s for s in steps if {s.session, session_of.get(s.job or "")} & touched) or (last,)


def _named_together(steps: Sequence[Step], iut: Iut) -> set[str]:
    """The sessions whose names were made together with that of the last step's session."""
    nonces = {session: nonce for session, (_, nonce) in iut.shapes.items()}
    own = {nonces[step.session] for step in related(steps) if step.session in nonces}
    return {session for session, nonce in nonces.items() if nonce in own}


def _fixed_session(steps: Sequence[Step], iut: Iut) -> str | None:
    """A session whose id is special as a whole, so that there is no other one like it."""
    for step in steps:
        if step.session and Resending(iut).renamed_session(step.session) == step.session:
            return step.session
    return None


def _shortened(
    steps: Sequence[Step], shown: _Shown, violation: Violation, iut: Iut, deadline: float
) -> _Shown:
    """Leave out what is not needed: the beginning, big pieces, smaller ones, until nothing goes."""
    kept, best = list(steps), shown
    size = 2
    while size < len(kept) and time.monotonic() < deadline:
        candidate = _consistent(kept, kept[-size:])
        again = _replay(candidate, violation, iut)
        if again is not None:
            kept, best = candidate, again
        size *= 2
    before = len(kept) + 1
    while len(kept) < before:
        before = len(kept)
        size = max(1, (len(kept) - 1) // 2)
        while size:
            start = 0
            while start < len(kept) - 1:
                if time.monotonic() > deadline:
                    return best
                candidate = kept[:start] + kept[min(start + size, len(kept) - 1) :]
                candidate = _without_the_lost(candidate, violation)
                again = _replay(candidate, violation, iut)
                if again is None:
                    start += 1
                else:
                    kept, best = candidate, again
            size //= 2
    is_time_left = time.monotonic() < deadline
    return (_plain(kept, violation, iut) if is_time_left else None) or best


def _plain(steps: Sequence[Step], violation: Violation, iut: Iut) -> _Shown | None:
    """The same steps with plain images, if they show it too."""
    plain = [_with_plain_images(step) for step in steps]
    return _replay(plain, violation, iut) if plain != list(steps) else None


def _consistent(steps: Sequence[Step], chosen: Sequence[Step]) -> list[Step]:
    """The chosen steps, and the grants of the jobs that they name."""
    ids = {id(step) for step in chosen}
    granted = {step.granted_job for step in steps if step.granted_job}
    named = {job for step in chosen for job in jobs_named(step, granted)}
    return [step for step in steps if id(step) in ids or step.granted_job in named]


def _without_the_lost(steps: Sequence[Step], violation: Violation) -> list[Step]:
    """The steps but those that name a job whose grant was left out; the last step stays."""
    granted = {step.granted_job for step in violation.steps if step.granted_job}
    there: set[str] = set()
    kept = []
    for step in steps:
        if step is steps[-1] or jobs_named(step, granted) <= there:
            kept.append(step)
        if step.granted_job:
            there.add(step.granted_job)
    return kept


def _with_plain_images(step: Step) -> Step:
    """The same publish with two images of one pixel, which make shorter shell lines."""
    request = step.exchange.request
    old = Form(request.body, dict(request.headers).get("Content-Type", ""))
    parts = decode(old) or ()
    if step.call is not Call.PUBLISH or sorted(part.name for part in parts) != _FIELDS:
        return step
    image = IN_CONTRACT["png_one_pixel"]
    form = encode(
        [
            part
            if part.filename is None
            else Part(part.name, image.content, image.filename, image.media_type)
            for part in parts
        ],
        old.content_type.partition("boundary=")[2],
    )
    again = replace(step.exchange, request=publish_request(form))
    return replace(step, exchange=again)


def _replay(steps: Sequence[Step], violation: Violation, iut: Iut) -> _Shown | None:
    """Send the steps again; the new steps if the last answer is wrong in the same way."""
    again = Resending(iut)
    states: dict[str, frozenset[SessionState]] = {}
    session_of: dict[str, str] = {}
    done: list[Step] = []
    wrong = repeated = False
    granted = {s.granted_job for s in violation.steps if s.granted_job}
    for old in steps:
        if jobs_named(old, granted) - again.jobs.keys():
            return None  # a job of the first time, whose publish was left out
        known = set(again.jobs.values())
        new = again.send(old)
        if new.exchange.response is None and old.exchange.response is not None:
            return None
        done.append(new)
        repeated = new.granted_job in known
        if new.granted_job:
            session_of[new.granted_job] = new.session or ""
        session = new.session or session_of.get(new.job or "", "")
        before = states.get(session, frozenset({SessionState()}))
        operation = operation_of(new, "replay")
        after = before
        if operation is not None:
            after = frozenset(state for one in before for state in follow(one, operation))
        wrong = new.answer is None or operation is None or not after
        states[session] = after or before
    last = done[-1]
    if not _alike(last, steps[-1]):
        return None
    shows = wrong or last.call is None or bool(violation.allowed & _STATELESS)
    if violation.requirement == _UNIQUE:
        shows = repeated
    if violation.requirement == _MEDIA_TYPE:
        shows = not last.reading.json_type
    return _Shown(tuple(done), again, tuple(steps)) if shows else None


def _alike(new: Step, old: Step) -> bool:
    if new.answer is not old.answer or new.exchange.trouble is not old.exchange.trouble:
        return False
    if new.exchange.response is None or old.exchange.response is None:
        return new.exchange.response is old.exchange.response
    same_status = new.exchange.response.status == old.exchange.response.status
    return same_status and new.reading.json_type == old.reading.json_type
