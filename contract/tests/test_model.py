"""The model, sentence by sentence of the document."""

import pytest

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.model import SessionState, expected, step

FREE = SessionState()
HELD = FREE.granted("A")
DONE = HELD.updated("A", "x")


def operation(
    kind: OperationKind, outcome: Outcome, job: str | None = None, url: str | None = None
) -> Operation:
    end = None if outcome is Outcome.UNKNOWN else 1
    return Operation("s", "c", kind, job, url, 0, end, outcome)


def publish(outcome: Outcome, job: str | None = None) -> Operation:
    return operation(OperationKind.PUBLISH, outcome, job)


def update(outcome: Outcome, job: str = "A", url: str = "x") -> Operation:
    return operation(OperationKind.UPDATE, outcome, job, url)


def status(outcome: Outcome, job: str = "A", url: str | None = None) -> Operation:
    return operation(OperationKind.STATUS, outcome, job, url)


def test_a_free_session_is_granted_and_a_held_one_is_busy() -> None:
    assert step(FREE, publish(Outcome.GRANTED, "A")) == (HELD,)
    assert step(FREE, publish(Outcome.BUSY)) == ()
    assert step(HELD, publish(Outcome.BUSY)) == (HELD,)
    assert step(HELD, publish(Outcome.GRANTED, "B")) == ()


def test_an_id_is_granted_once_for_ever() -> None:
    assert step(DONE, publish(Outcome.GRANTED, "A")) == ()
    assert step(DONE, publish(Outcome.GRANTED, "B")) == (DONE.granted("B"),)


def test_the_first_update_completes_the_job_and_frees_its_session() -> None:
    assert step(HELD, update(Outcome.OK)) == (DONE,)
    assert step(HELD, update(Outcome.NOT_FOUND)) == ()
    assert DONE.holder is None


def test_a_repeated_update_replaces_the_url_keeps_it_or_is_refused() -> None:
    replaced = HELD.updated("A", "y")

    assert set(step(DONE, update(Outcome.OK, url="y"))) == {DONE, replaced}
    assert step(DONE, update(Outcome.NOT_FOUND, url="y")) == (DONE,)


def test_a_late_update_never_touches_another_job() -> None:
    next_job = DONE.granted("B")

    assert all(after.holder == "B" for after in step(next_job, update(Outcome.OK, url="y")))


def test_what_does_not_exist_is_not_found() -> None:
    assert step(FREE, update(Outcome.NOT_FOUND)) == (FREE,)
    assert step(FREE, update(Outcome.OK)) == ()
    assert step(FREE, status(Outcome.NOT_FOUND)) == (FREE,)


def test_a_status_shows_the_present() -> None:
    assert step(HELD, status(Outcome.PROCESSING)) == (HELD,)
    assert step(HELD, status(Outcome.NOT_FOUND)) == ()
    assert step(DONE, status(Outcome.COMPLETED, url="x")) == (DONE,)
    assert step(DONE, status(Outcome.COMPLETED, url="y")) == ()
    assert step(DONE, status(Outcome.PROCESSING)) == ()


def test_an_operation_of_unknown_outcome_took_effect_or_not() -> None:
    assert set(step(FREE, publish(Outcome.UNKNOWN, "A"))) == {FREE, HELD}
    assert step(HELD, publish(Outcome.UNKNOWN, "B")) == (HELD,)
    assert set(step(HELD, update(Outcome.UNKNOWN))) == {HELD, DONE}


@pytest.mark.parametrize(
    ("state", "kind", "outcomes"),
    [
        (FREE, OperationKind.PUBLISH, {Outcome.GRANTED}),
        (HELD, OperationKind.PUBLISH, {Outcome.BUSY}),
        (FREE, OperationKind.UPDATE, {Outcome.NOT_FOUND}),
        (HELD, OperationKind.UPDATE, {Outcome.OK}),
        (DONE, OperationKind.UPDATE, {Outcome.OK, Outcome.NOT_FOUND}),
        (DONE, OperationKind.STATUS, {Outcome.COMPLETED}),
    ],
)
def test_expected_lists_the_documented_outcomes(
    state: SessionState, kind: OperationKind, outcomes: set[Outcome]
) -> None:
    assert expected(state, kind, "A") == outcomes
