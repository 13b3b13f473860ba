"""Histories on disk: what is written is read again, and the schema agrees with the reader."""

import io
import json
import sys
from pathlib import Path
from random import Random

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from histories import arbitrary_history, correct_history

from onejob_contract.history import (
    MalformedHistory,
    OperationError,
    history_schema,
    operation_from_json,
    operation_to_json,
    read_history,
    write_history,
)

GRANTED = {
    "session": "s",
    "client": "c",
    "operation": "publish",
    "job": "A",
    "invoked_ns": 1,
    "returned_ns": 2,
    "outcome": "granted",
}


def test_what_is_written_is_read_again() -> None:
    history = correct_history(Random(7), 200) + arbitrary_history(Random(8), 200)
    stream = io.StringIO()

    write_history(history, stream)

    stream.seek(0)
    assert list(read_history(stream)) == history


def test_every_written_line_follows_the_published_schema() -> None:
    schema = jsonschema_rs.validator_for(history_schema())

    for operation in correct_history(Random(9), 100) + arbitrary_history(Random(10), 100):
        schema.validate(operation_to_json(operation))


members = st.fixed_dictionaries(
    {},
    optional={
        "session": st.sampled_from(["s", None, 1]),
        "client": st.sampled_from(["c", None, []]),
        "operation": st.sampled_from(["publish", "update", "status", "delete", None]),
        "job": st.sampled_from(["A", None, 3]),
        "url": st.sampled_from(["u", None, {}]),
        "invoked_ns": st.sampled_from([1, "1", None, True]),
        "returned_ns": st.sampled_from([2, None, "2"]),
        "outcome": st.sampled_from(
            ["granted", "busy", "ok", "not_found", "processing", "completed", "unknown", "maybe"]
        ),
    },
)


@given(members)
def test_reader_and_schema_accept_the_same_records(record: dict[str, object]) -> None:
    candidate = {**GRANTED, **record}
    try:
        operation_from_json(candidate)
        readable = True
    except OperationError:
        readable = False

    assert jsonschema_rs.validator_for(history_schema()).is_valid(candidate) == readable


def test_blank_lines_and_unknown_members_are_ignored() -> None:
    line = json.dumps({**GRANTED, "comment": "kept by another tool"})

    (operation,) = read_history(["\n", line, "  \n"])

    assert operation.job == "A"


def test_the_first_malformed_line_is_named() -> None:
    lines = [json.dumps(GRANTED), "", "not JSON"]

    with pytest.raises(MalformedHistory, match=r"line 3: not JSON") as told:
        list(read_history(lines))

    assert told.value.line == 3
