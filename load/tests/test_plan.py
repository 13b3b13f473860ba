"""Shapes: how many users there are at each time of a run."""

import pytest

from onejob_load.plan import SHAPES, Plan


@pytest.mark.parametrize(
    ("shape", "users"),
    [
        ("ramp", [1, 25, 50, 75, 99]),
        ("spike", [10, 10, 100, 10, 10]),
        ("stairs", [20, 40, 60, 80, 100]),
        ("soak", [1, 100, 100, 100, 100]),
    ],
)
def test_a_shape_leads_through_the_run(shape, users):
    plan = Plan(SHAPES[shape], users=100, seconds=100.0, spawn_rate=10.0)

    assert [plan.at(second)[0] for second in (0, 25, 50, 75, 99)] == users
    assert plan.at(100) is None
