"""The walks that Hypothesis chooses, on a correct server, on unusual and on broken ones."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from one_check import judge

from onejob_contract.suite.test_stateful import (
    test_any_walk_over_several_sessions_is_answered_as_the_model_says as walks,
)
from onejob_contract.target import WorkerMode
from onejob_contract.verdict import Ending

walks.__test__ = False


@pytest.mark.parametrize("seed", range(2))
def test_a_correct_server_passes_whatever_the_seed(seed: int) -> None:
    judged = judge(walks, "correct", seed=seed)

    assert judged.result.ending is Ending.PASSED, judged.result.reason
    assert not judged.violations
    assert int(judged.measured["walks of the state machine"]) >= 1


@pytest.mark.parametrize(
    "server",
    [
        "repeat-says-missing",
        "busy-before-missing-image",
        "job-ids-with-slashes",
        "closes-after-five-requests",
        "hidden-403-without-worker",
        "slow-150-ms",
    ],
)
def test_an_unusual_server_is_not_accused(server: str) -> None:
    judged = judge(walks, server, seconds=4.0)

    assert judged.result.ending is Ending.PASSED, judged.result.reason
    assert not judged.violations


@pytest.mark.parametrize(
    ("server", "requirement"),
    [
        ("no-lock", "LOCK-ONE-ACTIVE-JOB"),
        ("release-by-session", "LOCK-ONE-ACTIVE-JOB"),
        ("update-without-id-frees-latest", "LOCK-ONE-ACTIVE-JOB"),
        ("missing-second-image-leaks-lock", "LOCK-FREE-AFTER-REFUSAL"),
        ("completion-after-one-more-poll", "STATUS-COMPLETED"),
        ("update-creates-unknown-jobs", "UPDATE-NOT-FOUND"),
    ],
)
def test_a_fault_that_needs_a_sequence_is_found_and_shown_again(
    server: str, requirement: str
) -> None:
    judged = judge(walks, server, seconds=20.0)

    assert judged.result.ending is Ending.VIOLATED, judged.result.reason
    assert requirement in judged.blamed
    (violation,) = (v for v in judged.violations if v.requirement == requirement)
    assert violation.replayed == (1, 1)
    assert len(violation.steps) <= 20  # a busy machine leaves less time to shorten


def test_a_worker_that_ends_every_walk_leaves_it_unobserved() -> None:
    judged = judge(walks, "worker-at-once", seconds=3.0)

    assert not judged.violations
    assert judged.result.ending in (Ending.PASSED, Ending.UNOBSERVABLE)


def test_the_quick_profile_leaves_hypothesis_out_and_says_so() -> None:
    judged = judge(walks, "correct", profile="quick")

    assert judged.result.ending is Ending.NOT_APPLICABLE
    assert "quick" in judged.result.reason


def test_a_declared_harness_makes_a_self_ending_job_a_fault() -> None:
    judged = judge(walks, "worker-at-once", seconds=10.0, worker=WorkerMode.HARNESS)

    assert judged.result.ending is Ending.VIOLATED
