"""From what the checks found to one verdict: nothing that was not seen counts as a pass."""

from collections.abc import Sequence

from onejob_contract.catalogue import requirements
from onejob_contract.findings import Violation
from onejob_contract.verdict import (
    CheckResult,
    Conclusion,
    Ending,
    Exit,
    Overall,
    Verdict,
    conclude,
)

HEALTH = requirements()["HEALTH-OK"]
BUSY = requirements()["PUBLISH-BUSY"]
WORKER = requirements()["WORKER-COMPLETES"]
BROKEN_BUSY = Violation(BUSY.id, "429", "409")


def ended(id_: str, ending: Ending, reason: str = "", blamed: str = "") -> CheckResult:
    return CheckResult(f"a check of {id_}", (id_,), ending, reason, blamed=blamed)


def verdicts(conclusion: Conclusion) -> Sequence[Verdict]:
    return [result.verdict for result in conclusion.requirements]


ALL_PASSED = [ended(one.id, Ending.PASSED) for one in (HEALTH, BUSY, WORKER)]


def test_a_server_of_which_everything_was_seen_and_right_is_conformant() -> None:
    conclusion = conclude([HEALTH, BUSY], ALL_PASSED, [])
    assert (conclusion.overall, conclusion.exit) == (Overall.CONFORMANT, Exit.CONFORMANT)
    assert conclusion.because == "2 requirements hold"


def test_checks_without_time_leave_the_verdict_to_the_others_and_are_counted() -> None:
    late = [ended(BUSY.id, Ending.NO_TIME, "no time"), ended(HEALTH.id, Ending.NO_TIME, "no time")]
    conclusion = conclude([HEALTH, BUSY], [*ALL_PASSED, *late], [])
    assert conclusion.exit is Exit.CONFORMANT
    assert "so slow that 2 checks had no time" in conclusion.because
    assert [one.reason for one in conclusion.requirements] == ["1 of 2 checks had no time"] * 2


def test_a_requirement_none_of_whose_checks_had_time_was_not_seen() -> None:
    results = [ALL_PASSED[0], ended(BUSY.id, Ending.NO_TIME, "no time")]
    conclusion = conclude([HEALTH, BUSY], results, [])
    assert conclusion.exit is Exit.NOT_JUDGED
    assert verdicts(conclusion) == [Verdict.PASS, Verdict.INCONCLUSIVE]


def test_one_broken_must_requirement_makes_it_nonconformant() -> None:
    results = [ALL_PASSED[0], ended(BUSY.id, Ending.VIOLATED, blamed=BUSY.id)]
    conclusion = conclude([HEALTH, BUSY], results, [BROKEN_BUSY])
    assert conclusion.exit is Exit.NONCONFORMANT
    assert verdicts(conclusion) == [Verdict.PASS, Verdict.FAIL]
    assert conclusion.requirements[1].reason == "expected 429; actual 409"


def test_a_should_requirement_decides_only_where_it_gates() -> None:
    broken = Violation(WORKER.id, "completed", "processing")
    results = [ALL_PASSED[0], ended(WORKER.id, Ending.VIOLATED, blamed=WORKER.id)]
    assert conclude([HEALTH, WORKER], results, [broken]).exit is Exit.CONFORMANT
    gated = conclude([HEALTH, WORKER], results, [broken], gate_should=True)
    assert gated.exit is Exit.NONCONFORMANT


def test_where_nothing_chosen_decides_the_way_to_make_it_decide_is_told() -> None:
    conclusion = conclude([WORKER], ALL_PASSED, [])
    assert conclusion.exit is Exit.NOT_JUDGED
    assert conclusion.because.endswith("add --gate should")
    assert conclude([WORKER], ALL_PASSED, [], gate_should=True).exit is Exit.CONFORMANT


def test_a_known_failure_that_does_not_apply_is_told() -> None:
    results = [ALL_PASSED[0], ended(BUSY.id, Ending.NOT_APPLICABLE, "it is not declared")]
    conclusion = conclude([HEALTH, BUSY], results, [], known_failures={BUSY.id: "ticket 17"})
    assert conclusion.exit is Exit.CONFORMANT
    assert conclusion.because.endswith("known failures that do not apply here: PUBLISH-BUSY")


def test_a_must_requirement_that_was_not_seen_leaves_the_verdict_open() -> None:
    for ending in (Ending.UNOBSERVABLE, Ending.NOT_RUN):
        results = [ALL_PASSED[0], ended(BUSY.id, ending, "the race did not overlap")]
        conclusion = conclude([HEALTH, BUSY], results, [])
        assert conclusion.exit is Exit.NOT_JUDGED
        assert "PUBLISH-BUSY: the race did not overlap" in conclusion.because


def test_the_owner_may_accept_that_something_stays_unseen_but_not_that_it_breaks() -> None:
    accepted = {BUSY.id: "no second client"}
    unseen = [ALL_PASSED[0], ended(BUSY.id, Ending.UNOBSERVABLE, "one client only")]
    assert conclude([HEALTH, BUSY], unseen, [], accepted=accepted).exit is Exit.CONFORMANT
    broken = conclude([HEALTH, BUSY], unseen, [BROKEN_BUSY], accepted=accepted)
    assert broken.exit is Exit.NONCONFORMANT


def test_a_requirement_without_any_check_that_ran_is_not_passed() -> None:
    conclusion = conclude([HEALTH, BUSY], ALL_PASSED[:1], [])
    assert verdicts(conclusion) == [Verdict.PASS, Verdict.INCONCLUSIVE]
    assert conclusion.exit is Exit.NOT_JUDGED


def test_one_unseen_check_keeps_a_requirement_open_although_another_passed() -> None:
    results = [ALL_PASSED[1], ended(BUSY.id, Ending.UNOBSERVABLE, "no time")]
    assert verdicts(conclude([BUSY], results, [])) == [Verdict.INCONCLUSIVE]


def test_a_check_that_failed_for_another_requirement_did_not_judge_its_own() -> None:
    results = [ended(BUSY.id, Ending.VIOLATED, blamed="PUBLISH-ACCEPTED")]
    (result,) = conclude([BUSY], results, []).requirements
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "PUBLISH-ACCEPTED failed on the way" in result.reason


def test_nothing_judged_and_nothing_applicable_are_no_pass() -> None:
    absent = [ended(BUSY.id, Ending.NOT_APPLICABLE, "declared absent")]
    assert conclude([], [], []).exit is Exit.NOT_JUDGED
    assert conclude([BUSY], absent, []).exit is Exit.NOT_JUDGED


def test_a_fault_of_the_kit_is_neither_a_pass_nor_the_servers_fault() -> None:
    results = [ALL_PASSED[0], ended(BUSY.id, Ending.FAULT, "KeyError: 'x'")]
    conclusion = conclude([HEALTH, BUSY], results, [])
    assert conclusion.exit is Exit.KIT_FAULT
    assert "KeyError: 'x'" in conclusion.because


def test_a_target_that_died_is_not_judged_even_if_all_that_ran_passed() -> None:
    assert conclude([HEALTH, BUSY], ALL_PASSED, [], gone=True).exit is Exit.NOT_JUDGED


def test_where_a_known_failure_ended_checks_the_others_decide() -> None:
    known = {BUSY.id: "ticket 17"}
    ended_by_it = ended(HEALTH.id, Ending.VIOLATED, blamed=BUSY.id)
    conclusion = conclude(
        [HEALTH, BUSY], [ALL_PASSED[0], ended_by_it], [BROKEN_BUSY], known_failures=known
    )
    assert conclusion.exit is Exit.CONFORMANT
    assert conclusion.because == "1 requirement holds, 1 known failure"
    reason = "1 of 2 checks ended at PUBLISH-BUSY, a known failure"
    assert conclusion.requirements[0].reason == reason


def test_what_only_checks_prove_that_a_known_failure_ended_was_not_seen() -> None:
    known = {BUSY.id: "ticket 17"}
    ended_by_it = ended(HEALTH.id, Ending.VIOLATED, blamed=BUSY.id)
    conclusion = conclude([HEALTH, BUSY], [ended_by_it], [BROKEN_BUSY], known_failures=known)
    assert conclusion.exit is Exit.NOT_JUDGED
    assert "HEALTH-OK: not judged to the end, since PUBLISH-BUSY failed" in conclusion.because


def test_a_known_failure_is_forgiven_while_it_fails_and_only_then() -> None:
    known = {BUSY.id: "ticket 17"}
    failing = conclude([HEALTH, BUSY], ALL_PASSED[:1], [BROKEN_BUSY], known_failures=known)
    assert failing.exit is Exit.CONFORMANT
    assert failing.requirements[1].known == "ticket 17"
    stale = conclude([HEALTH, BUSY], ALL_PASSED, [], known_failures=known)
    assert stale.exit is Exit.NONCONFORMANT
    unseen = conclude([HEALTH, BUSY], ALL_PASSED[:1], [], known_failures=known)
    assert unseen.exit is Exit.NOT_JUDGED
