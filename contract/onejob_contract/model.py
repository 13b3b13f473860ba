"""The meaning of the document for one session, written once.

A session is free or held by one job.  A job exists from its grant; it is processing while it holds
its session and completed, with a URL, ever after.  `responses` lists everything a correct server
may answer to one request in one state, and `step` follows one recorded operation.

Everything that needs to know what the document means uses this module: the Hypothesis state
machine of the suite runs it beside a server, and the exhaustive oracle of the tests searches it
to keep the judge honest.
"""

from dataclasses import dataclass, replace

from onejob_contract.history import Operation, OperationKind, Outcome

__all__ = ["Response", "SessionState", "expected", "responses", "step"]


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session: the job that holds it, and every completed job with its present URL."""

    holder: str | None = None
    completed: frozenset[tuple[str, str]] = frozenset()

    def url_of(self, job: str | None) -> str | None:
        """Give the present URL of a completed job; None if the job is not completed."""
        return next((url for name, url in self.completed if name == job), None)

    def exists(self, job: str | None) -> bool:
        """Say whether the job was granted."""
        return job is not None and (job == self.holder or self.url_of(job) is not None)

    def granted(self, job: str) -> "SessionState":
        """Give the state after the grant of a new job."""
        return replace(self, holder=job)

    def updated(self, job: str, url: str) -> "SessionState":
        """Give the state after an update that took effect: completed, and not holding."""
        others = {(name, old) for name, old in self.completed if name != job}
        holder = None if self.holder == job else self.holder
        return SessionState(holder, frozenset(others | {(job, url)}))


@dataclass(frozen=True, slots=True)
class Response:
    """One documented answer: its outcome, the URL it shows if any, and the state it leaves."""

    outcome: Outcome
    url: str | None
    state: SessionState


def responses(
    state: SessionState, kind: OperationKind, job: str | None, url: str | None
) -> tuple[Response, ...]:
    """List every answer the document allows to one request.

    ``job`` is the argument of update and status, and for publish the new id that would be
    granted; ``url`` is the argument of update.
    """
    if kind is OperationKind.PUBLISH:
        return _publish(state, job)
    if kind is OperationKind.UPDATE:
        return _update(state, job, url)
    return (_status(state, job),)


def expected(
    state: SessionState, kind: OperationKind, job: str | None = None
) -> frozenset[Outcome]:
    """Give the documented outcomes of a request in a state (a publish would get a new id)."""
    argument = "a new job" if kind is OperationKind.PUBLISH else job
    return frozenset(answer.outcome for answer in responses(state, kind, argument, "any URL"))


def step(state: SessionState, operation: Operation) -> tuple[SessionState, ...]:
    """Give the states the operation may leave; none if the model forbids its outcome here.

    An unknown outcome allows every answer, and no effect at all.  A publish whose outcome is
    unknown carries in ``job`` the id it would grant, which the caller chooses.
    """
    read = operation.url if operation.operation is OperationKind.STATUS else None
    answers = responses(state, operation.operation, operation.job, operation.url)
    if operation.outcome is Outcome.UNKNOWN:
        return tuple(dict.fromkeys((state, *(answer.state for answer in answers))))
    return tuple(
        dict.fromkeys(
            answer.state
            for answer in answers
            if answer.outcome is operation.outcome and answer.url == read
        )
    )


def _publish(state: SessionState, job: str | None) -> tuple[Response, ...]:
    if state.holder is not None:
        return (Response(Outcome.BUSY, None, state),)
    if job is None or state.exists(job):
        return ()
    return (Response(Outcome.GRANTED, None, state.granted(job)),)


def _update(state: SessionState, job: str | None, url: str | None) -> tuple[Response, ...]:
    missing = Response(Outcome.NOT_FOUND, None, state)
    if job is None or url is None or not state.exists(job):
        return (missing,)
    replaced = Response(Outcome.OK, None, state.updated(job, url))
    if job == state.holder:
        return (replaced,)
    kept = Response(Outcome.OK, None, state)
    return (replaced, kept, missing)


def _status(state: SessionState, job: str | None) -> Response:
    if job is not None and job == state.holder:
        return Response(Outcome.PROCESSING, None, state)
    url = state.url_of(job)
    if url is None:
        return Response(Outcome.NOT_FOUND, None, state)
    return Response(Outcome.COMPLETED, url, state)
