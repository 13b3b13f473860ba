"""The history of a run: one record for each operation that may have had an effect.

A history is what the judge reads and nothing else.  A request that was certainly refused (a 400,
a connection refused) took no effect and is not part of it.  A request without an answer (timeout,
reset, 5xx) is part of it with the outcome ``unknown``.

On disk a history is one JSON object a line; `history.schema.json` is its published JSON Schema.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.resources import files
from typing import IO, Any, TypeVar, cast

__all__ = [
    "MalformedHistory",
    "Operation",
    "OperationError",
    "OperationKind",
    "Outcome",
    "history_schema",
    "operation_from_json",
    "operation_to_json",
    "read_history",
    "write_history",
]


E = TypeVar("E", bound=StrEnum)


class OperationKind(StrEnum):
    """The three operations that read or change the state of a session."""

    PUBLISH = "publish"
    UPDATE = "update"
    STATUS = "status"


class Outcome(StrEnum):
    """What the caller of an operation was told."""

    GRANTED = "granted"
    BUSY = "busy"
    OK = "ok"
    NOT_FOUND = "not_found"
    PROCESSING = "processing"
    COMPLETED = "completed"
    UNKNOWN = "unknown"


OUTCOMES: dict[OperationKind, tuple[Outcome, ...]] = {
    OperationKind.PUBLISH: (Outcome.GRANTED, Outcome.BUSY, Outcome.UNKNOWN),
    OperationKind.UPDATE: (Outcome.OK, Outcome.NOT_FOUND, Outcome.UNKNOWN),
    OperationKind.STATUS: (
        Outcome.PROCESSING,
        Outcome.COMPLETED,
        Outcome.NOT_FOUND,
        Outcome.UNKNOWN,
    ),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One request and its answer, as its client saw them.

    Times are nanoseconds of one monotonic clock shared by all clients of the history:
    ``invoked_ns`` before the first byte was sent, ``returned_ns`` after the last byte was read.
    The operation took effect at some instant of that closed interval.

    - ``session`` is always present on a publish; on update and status it may be None, because it
      follows from the job.
    - ``job`` is the argument of update and status and the granted id of a publish.
    - ``url`` is the argument of an update and the value a completed status showed.
    - ``returned_ns`` is None exactly when the outcome is unknown: such an operation took effect
      once at any time after its invocation, or never.
    """

    session: str | None
    client: str
    operation: OperationKind
    job: str | None
    url: str | None
    invoked_ns: int
    returned_ns: int | None
    outcome: Outcome


class MalformedHistory(ValueError):
    """A line of a history file that is no operation.

    ``line`` counts from 1; ``reason`` says what is wrong in words a person can act on.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class OperationError(ValueError):
    """A decoded JSON value that is no operation; its text says why."""


def read_history(stream: Iterable[str]) -> Iterator[Operation]:
    """Read operations from the lines of a history; blank lines and unknown members are ignored.

    Raises `MalformedHistory` at the first line that is no operation.
    """
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise MalformedHistory(number, f"not JSON: {error}") from None
        try:
            yield operation_from_json(record)
        except OperationError as error:
            raise MalformedHistory(number, str(error)) from None


def write_history(operations: Iterable[Operation], stream: IO[str]) -> None:
    """Write operations, one JSON object a line."""
    for operation in operations:
        stream.write(json.dumps(operation_to_json(operation), ensure_ascii=False))
        stream.write("\n")


def operation_to_json(operation: Operation) -> dict[str, Any]:
    """Give the operation as the JSON object that a history file holds for it."""
    return asdict(operation)


def operation_from_json(record: object) -> Operation:
    """Make an operation of a decoded JSON value; raises `OperationError` if it is none.

    Strings that repeat from line to line are shared, so that a long history stays small.
    """
    if not isinstance(record, dict):
        raise OperationError("an operation is a JSON object")
    kind = _choice(record, "operation", OperationKind)
    outcome = _choice(record, "outcome", Outcome)
    if outcome not in OUTCOMES[kind]:
        raise OperationError(f'a {kind} cannot have the outcome "{outcome}"')
    operation = Operation(
        session=_text(record, "session"),
        client=_required_text(record, "client"),
        operation=kind,
        job=_text(record, "job"),
        url=_text(record, "url"),
        invoked_ns=_time(record, "invoked_ns"),
        returned_ns=None if record.get("returned_ns") is None else _time(record, "returned_ns"),
        outcome=outcome,
    )
    _check_members(operation)
    return operation


def history_schema() -> dict[str, Any]:
    """Load the published JSON Schema of one line of a history file."""
    text = files("onejob_contract").joinpath("schemas/history.schema.json").read_text("utf-8")
    return cast("dict[str, Any]", json.loads(text))


def _check_members(operation: Operation) -> None:
    kind, outcome = operation.operation, operation.outcome
    publish = kind is OperationKind.PUBLISH
    names_job = not publish or outcome is Outcome.GRANTED
    names_url = kind is OperationKind.UPDATE or outcome is Outcome.COMPLETED
    if publish and operation.session is None:
        raise OperationError('a publish needs a "session"')
    if names_job != (operation.job is not None):
        raise OperationError(f'a {outcome} {kind} {"needs a" if names_job else "names no"} "job"')
    if names_url != (operation.url is not None):
        raise OperationError(f'a {outcome} {kind} {"needs a" if names_url else "names no"} "url"')
    if (outcome is Outcome.UNKNOWN) != (operation.returned_ns is None):
        raise OperationError('"returned_ns" is null exactly when the outcome is "unknown"')
    if operation.returned_ns is not None and operation.returned_ns < operation.invoked_ns:
        raise OperationError("the operation returned before it was invoked")


def _choice(record: dict[str, Any], member: str, choices: type[E]) -> E:
    value = record.get(member)
    try:
        return choices(str(value))
    except ValueError:
        known = ", ".join(choices)
        raise OperationError(
            f'"{member}" is {json.dumps(value)}; it must be one of {known}'
        ) from None


def _text(record: dict[str, Any], member: str) -> str | None:
    value = record.get(member)
    if value is None:
        return None
    if not isinstance(value, str):
        raise OperationError(f'"{member}" is {json.dumps(value)}; it must be a string')
    return sys.intern(value)


def _required_text(record: dict[str, Any], member: str) -> str:
    value = _text(record, member)
    if value is None:
        raise OperationError(f'"{member}" is missing')
    return value


def _time(record: dict[str, Any], member: str) -> int:
    value = record.get(member)
    if not isinstance(value, int) or isinstance(value, bool):
        raise OperationError(f'"{member}" is {json.dumps(value)}; it must be a whole number of ns')
    return value
