"""Operations of a history told as requests again, for evidence: the history keeps no bytes.

The inverse of `operation_of`: a publish has plain images again, and the answer is told in the
document's words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from onejob_contract.client import publish_request, status_request, update_request
from onejob_contract.documented import Answer, Call, Reading, documented_text
from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.steps import ANSWERS, REQUEST_ID, Step
from onejob_contract.wire import Exchange, Request
from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import small_pairs


def retold(operations: Sequence[Operation], history: Iterable[Operation], token: str) -> list[Step]:
    """The operations and the grants of their jobs as steps, in the order of their invocations.

    `token` is that of the run, whose request ids begin with it.
    """
    jobs = {operation.job for operation in operations} - {None}
    grants = [one for one in history if one.outcome is Outcome.GRANTED and one.job in jobs]
    told = {id(one): one for one in (*grants, *operations)}
    return [_step(one, token) for one in sorted(told.values(), key=lambda one: one.invoked_ns)]


def _step(operation: Operation, token: str) -> Step:
    call, request = _asked(operation)
    stamped = Request(
        request.method,
        request.target,
        (*request.headers, (REQUEST_ID, f"{token}/{operation.client}/")),
        request.body,
    )
    returned = operation.returned_ns or operation.invoked_ns
    invoked = operation.invoked_ns
    exchange = Exchange(stamped, None, None, "", invoked, invoked, returned)
    return Step(
        call,
        exchange,
        _answered(operation),
        session=operation.session,
        job=None if call is Call.PUBLISH else operation.job,
        url=operation.url if call is Call.UPDATE else None,
    )


def _asked(operation: Operation) -> tuple[Call, Request]:
    job, url = operation.job or "", operation.url or ""
    match operation.operation:
        case OperationKind.PUBLISH:
            parts = publish_parts(operation.session or "", *small_pairs()[0])
            return Call.PUBLISH, publish_request(encode(parts))
        case OperationKind.STATUS:
            return Call.STATUS, status_request(job)
        case OperationKind.UPDATE:
            return Call.UPDATE, update_request(job, url)


def _answered(operation: Operation) -> Reading:
    answer = ANSWERS.get((operation.operation, operation.outcome))
    if answer is None:
        return Reading(None, "no answer that tells whether it took effect", json_type=True)
    body: dict[str, str] = {}
    if answer is Answer.GRANTED:
        body["jobId"] = operation.job or ""
    elif answer is Answer.COMPLETED:
        body["image_url"] = operation.url or ""
    text = documented_text(answer)
    for name, value in body.items():
        text = text.replace(f'"<{name}>"', json.dumps(value))
    return Reading(answer, text, json_type=True, body=body)
