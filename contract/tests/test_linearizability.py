"""The judge against the exhaustive oracle, and against what its promises say.

`ONEJOB_HISTORIES=200000` judges that many random histories instead of a few thousand.
"""

import os
import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from histories import correct_history, mutated, random_history
from oracle import is_linearizable

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability import Judge, Judgement, Verdict, judge

HISTORIES = int(os.environ.get("ONEJOB_HISTORIES", "2000"))
GROUP = 500


def publish(
    at: tuple[int, int | None], job: str | None = None, *, client: str = "a", session: str = "s"
) -> Operation:
    outcome = Outcome.UNKNOWN if at[1] is None else Outcome.GRANTED if job else Outcome.BUSY
    return Operation(session, client, OperationKind.PUBLISH, job, None, *at, outcome)


def update(
    at: tuple[int, int | None], job: str, url: str = "u", outcome: Outcome = Outcome.OK
) -> Operation:
    if at[1] is None:
        outcome = Outcome.UNKNOWN
    return Operation(None, "worker", OperationKind.UPDATE, job, url, *at, outcome)


def status(at: tuple[int, int], job: str, outcome: Outcome, url: str | None = None) -> Operation:
    return Operation(None, "poller", OperationKind.STATUS, job, url, *at, outcome)


def verdict(*operations: Operation, live_worker: bool = False) -> Verdict:
    found = judge(operations, live_worker=live_worker).verdict
    right = is_linearizable(operations, live_worker=live_worker)
    assert found is (Verdict.LINEARIZABLE if right else Verdict.VIOLATION), "the oracle disagrees"
    return found


def test_whose_an_untold_job_is_does_not_depend_on_the_order_of_arrival() -> None:
    """Given labels that contradict each other, the first answered operation says whose it is."""
    untold = publish((0, None), session="s1")
    lost = replace(update((2, None), "nobody"), session="s2")
    answered = replace(update((4, 5), "nobody"), session="s1")
    elsewhere = replace(status((6, 7), "nobody", Outcome.COMPLETED, "u"), session="s2")

    for arrival in permutations([untold, lost, answered, elsewhere]):
        assert verdict(*arrival) is Verdict.LINEARIZABLE
    for arrival in permutations([untold, lost, replace(answered, session="s2"), elsewhere]):
        assert verdict(*arrival) is Verdict.VIOLATION


@pytest.mark.parametrize("group", range(-(-HISTORIES // GROUP)))
def test_agrees_with_the_oracle_and_its_witness_is_a_violation_alone(group: int) -> None:
    for seed in range(group * GROUP, (group + 1) * GROUP):
        random = Random(seed)
        live_worker = random.random() < 0.4
        history = random_history(random, live_worker=live_worker)

        judgement = judge(history, live_worker=live_worker)

        right = is_linearizable(history, live_worker=live_worker)
        expected = Verdict.LINEARIZABLE if right else Verdict.VIOLATION
        assert judgement.verdict is expected, f"seed {seed}"
        assert right == (judgement.witness == ()), f"seed {seed}"
        if not right:
            assert not is_linearizable(judgement.witness, live_worker=live_worker), f"seed {seed}"


def judged_piece_by_piece(
    history: list[Operation], random: Random, *, live_worker: bool
) -> Judgement:
    def told(operation: Operation) -> int:
        if operation.returned_ns is None:
            return operation.invoked_ns + random.randint(0, 20)
        return operation.returned_ns

    arriving = sorted(history, key=told)
    growing = Judge(live_worker=live_worker)
    for index, operation in enumerate(arriving, start=1):
        growing.add(operation)
        in_flight = arriving[index:]
        if in_flight and random.random() < 0.5:
            growing.advance(min(other.invoked_ns for other in in_flight))
    return growing.judgement()


@pytest.mark.parametrize("group", range(-(-HISTORIES // GROUP) // 2))
def test_a_growing_history_is_judged_as_the_whole_one(group: int) -> None:
    for seed in range(group * GROUP, (group + 1) * GROUP):
        random = Random(seed)
        live_worker = random.random() < 0.4
        unknown = random.choice((0.0, 0.02, 0.1))
        size = random.randint(10, 60)
        history = correct_history(random, size, live_worker=live_worker, unknown=unknown)
        for _ in range(random.choice((0, 1, 2))):
            history = mutated(random, history)

        grown = judged_piece_by_piece(history, random, live_worker=live_worker)

        assert grown.verdict is judge(history, live_worker=live_worker).verdict, f"seed {seed}"


def test_a_second_grant_while_the_first_job_is_seen_active_is_a_violation() -> None:
    held = [publish((0, 1), "A"), status((10, 11), "A", Outcome.PROCESSING), update((20, 21), "A")]

    assert verdict(*held, publish((4, 5), "B", client="b")) is Verdict.VIOLATION
    assert verdict(*held, publish((19, 21), "B", client="b")) is Verdict.LINEARIZABLE


def test_operations_that_share_an_instant_are_concurrent() -> None:
    first = [publish((0, 1), "A"), update((2, 5), "A")]

    assert verdict(*first, publish((1, 2), "B")) is Verdict.LINEARIZABLE
    assert verdict(*first, publish((5, 6), "B")) is Verdict.LINEARIZABLE
    assert verdict(publish((0, 1), "A"), update((3, 5), "A"), publish((2, 2), "B")) is (
        Verdict.VIOLATION
    )


def test_a_refusal_needs_a_holder() -> None:
    first = [publish((0, 1), "A"), update((2, 3), "A")]
    second = [publish((10, 11), "B"), update((12, 13), "B")]

    assert verdict(*first, *second, publish((4, 9))) is Verdict.VIOLATION
    assert verdict(*first, *second, publish((3, 9))) is Verdict.LINEARIZABLE
    assert verdict(*first, *second, publish((4, 10))) is Verdict.LINEARIZABLE


def test_an_unknown_publish_may_hold_the_session_from_its_invocation_for_ever() -> None:
    finished = [publish((0, 1), "A"), update((2, 3), "A"), publish((4, None), client="b")]

    assert verdict(*finished, publish((6, 7))) is Verdict.LINEARIZABLE
    assert verdict(*finished, publish((6, 7)), publish((8, 9), "B")) is Verdict.VIOLATION
    assert verdict(*finished, publish((6, 7)), publish((8, 9), "B"), live_worker=True) is (
        Verdict.LINEARIZABLE
    )


def test_a_job_nobody_was_told_of_belongs_to_one_unknown_publish() -> None:
    seen = [status((5, 6), name, Outcome.PROCESSING) for name in ("A", "B")]
    one = publish((0, None), session="s1")
    two = publish((0, None), session="s2")

    assert verdict(one, *seen) is Verdict.VIOLATION
    assert verdict(one, two, *seen) is Verdict.LINEARIZABLE


def test_an_id_granted_twice_is_a_violation_even_across_sessions() -> None:
    history = [publish((0, 1), "A", session="s1"), publish((9, 10), "A", session="s2")]

    assert verdict(*history, update((2, 3), "A")) is Verdict.VIOLATION


def test_a_stale_update_may_answer_anything_but_complete_another_job() -> None:
    first = [publish((0, 1), "A"), update((2, 3), "A"), publish((4, 5), "B")]
    late = update((6, 7), "A", outcome=Outcome.NOT_FOUND)

    assert verdict(*first, late) is Verdict.LINEARIZABLE
    assert verdict(*first, update((6, 7), "A"), publish((8, 9), "C")) is Verdict.VIOLATION


def test_a_repeated_update_replaces_the_url_or_keeps_it_but_brings_no_third() -> None:
    twice = [publish((0, 1), "A"), update((2, 3), "A", "x"), update((4, 5), "A", "y")]

    for url in ("x", "y"):
        read = status((6, 7), "A", Outcome.COMPLETED, url)
        assert verdict(*twice, read) is Verdict.LINEARIZABLE
    assert verdict(*twice, status((6, 7), "A", Outcome.COMPLETED, "z")) is Verdict.VIOLATION
    there_and_back = [
        status((6, 7), "A", Outcome.COMPLETED, "y"),
        status((8, 9), "A", Outcome.COMPLETED, "x"),
    ]
    assert verdict(*twice, *there_and_back) is Verdict.VIOLATION


def test_a_live_worker_completes_each_job_at_most_once_with_one_url() -> None:
    job = [publish((0, 1), "A"), status((2, 3), "A", Outcome.COMPLETED, "x")]

    assert verdict(*job) is Verdict.VIOLATION
    assert verdict(*job, live_worker=True) is Verdict.LINEARIZABLE
    other = status((4, 5), "A", Outcome.COMPLETED, "y")
    assert verdict(*job, other, live_worker=True) is Verdict.VIOLATION


def test_the_answer_is_undecided_when_the_search_may_take_no_time() -> None:
    history = [publish((0, 100), f"job{i}") for i in range(8)]
    history += [update((0, 100), f"job{i}") for i in range(8)]

    assert judge(history, budget_s=0.0).verdict is Verdict.UNDECIDED
    assert judge(history).verdict is Verdict.LINEARIZABLE


def test_what_is_settled_is_forgotten() -> None:
    growing = Judge()
    for round_ in range(200):
        start = 100 * round_
        job = f"job{round_}"
        growing.add(publish((start, start + 10), job))
        growing.extend(publish((start + i, start + 20 + i), client=f"c{i}") for i in range(50))
        growing.add(update((start + 80, start + 90), job))
        growing.advance(start + 100)

    kept = sum(len(record.busy) + len(record.jobs) for record in growing._records.values())
    assert kept <= 60
    assert growing.judgement().verdict is Verdict.LINEARIZABLE
