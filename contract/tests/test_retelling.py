"""What only the history remembers is told as requests that a person can send again."""

import pytest

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.report.curl import shell_lines
from onejob_contract.retelling import retold
from onejob_contract.steps import operation_of, request_id
from onejob_contract.wire import Origin

PUBLISH, UPDATE, STATUS = OperationKind.PUBLISH, OperationKind.UPDATE, OperationKind.STATUS
URL = "https://results.example.com/1.png"
GRANTED = Operation("alice", "a client", PUBLISH, "job-1", None, 10, 20, Outcome.GRANTED)
UPDATED = Operation(None, "a client", UPDATE, "job-1", URL, 30, 40, Outcome.OK)


@pytest.mark.parametrize(
    "operation",
    [
        GRANTED,
        UPDATED,
        Operation("alice", "a client", PUBLISH, None, None, 50, 60, Outcome.BUSY),
        Operation("alice", "a client", PUBLISH, None, None, 50, None, Outcome.UNKNOWN),
        Operation(None, "a client", UPDATE, "job-1", URL, 50, 60, Outcome.NOT_FOUND),
        Operation(None, "a client", STATUS, "job-1", None, 50, 60, Outcome.PROCESSING),
        Operation(None, "a client", STATUS, "job-1", URL, 50, 60, Outcome.COMPLETED),
        Operation(None, "a client", STATUS, "job-1", None, 50, 60, Outcome.NOT_FOUND),
    ],
    ids=lambda operation: f"{operation.operation} {operation.outcome}",
)
def test_an_operation_told_again_is_the_same_operation(operation: Operation) -> None:
    (step,) = retold([operation], [], "run")

    assert operation_of(step, "a client") == operation
    assert request_id(step) == "run/a client/"


def test_the_grant_of_each_job_is_told_too_so_that_a_shell_can_take_its_id() -> None:
    steps = retold([UPDATED], [GRANTED, UPDATED], "run")

    published, updated = shell_lines(steps, Origin.parse("http://127.0.0.1:5000"))
    assert published.command.startswith("job1=$(curl ")
    assert '"$job1"' in updated.command
