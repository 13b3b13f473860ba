"""Which violations show the same: one is told of in full, the others refer to it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence

from onejob_contract.catalogue import requirements
from onejob_contract.findings import Violation
from onejob_contract.judging import BASE
from onejob_contract.steps import REQUEST_ID, Step, request_id


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
