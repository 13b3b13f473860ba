"""How often a check does a thing, and in which order."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from onejob_contract.iut import Iut
from onejob_contract.session import Session
from onejob_contract.shares import Budget


@pytest.mark.parametrize(
    ("live_worker", "order"),
    [
        (False, ["begin a", "begin b", "begin c", "end a", "end c"]),
        (True, ["begin a", "end a", "begin b", "begin c", "end c"]),
    ],
)
def test_what_a_worker_would_end_meanwhile_is_ended_at_once(
    session: Session, live_worker: bool, order: list[str]
) -> None:
    run = session.run_state
    run.surroundings = replace(run.surroundings, live_worker=live_worker)
    told: list[str] = []

    def begin(letter: str) -> str | None:
        told.append(f"begin {letter}")
        return None if letter == "b" else letter

    iut = Iut(run, "check", 1, "LOCK-PER-SESSION", Budget(math.inf, math.inf))
    iut.in_two_stages("abc", begin, lambda letter: told.append(f"end {letter}"))

    assert told == order
