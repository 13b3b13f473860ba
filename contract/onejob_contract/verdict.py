"""From what the checks found to a verdict per requirement, one for the run, and an exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from onejob_contract.catalogue import Requirement
from onejob_contract.findings import Violation


class Verdict(StrEnum):
    """What is known of one requirement."""

    PASS = "pass"  # noqa: S105 (a verdict, no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not-applicable"


class Overall(StrEnum):
    """What is known of the implementation under test."""

    CONFORMANT = "conformant"
    NONCONFORMANT = "nonconformant"
    INCONCLUSIVE = "inconclusive"


class Exit(IntEnum):
    """Exit codes of `onejob check`."""

    CONFORMANT = 0
    NONCONFORMANT = 1
    USAGE = 2
    NOT_JUDGED = 3
    KIT_FAULT = 4


class Ending(StrEnum):
    """How one check ended."""

    PASSED = "passed"
    VIOLATED = "violated"
    UNOBSERVABLE = "unobservable"
    NOT_APPLICABLE = "not applicable"
    NO_TIME = "no time"
    GONE = "target gone"
    NOT_RUN = "not run"
    FAULT = "fault of the kit"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: which requirements it proves, how it ended, why, in how many seconds."""

    check: str
    requirements: tuple[str, ...]
    ending: Ending
    reason: str = ""
    seconds: float = 0.0
    blamed: str = ""


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """One requirement with its verdict, the reason in a sentence, and what shows it."""

    requirement: Requirement
    verdict: Verdict
    reason: str = ""
    violations: tuple[Violation, ...] = ()
    known: str = ""
    accepted: str = ""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict on the run, with the sentence that explains it and the exit code."""

    overall: Overall
    exit: Exit
    because: str
    requirements: tuple[RequirementResult, ...]


def conclude(
    requirements: Sequence[Requirement],
    results: Sequence[CheckResult],
    violations: Sequence[Violation],
    *,
    gate_should: bool = False,
    accepted: Mapping[str, str] | None = None,
    known_failures: Mapping[str, str] | None = None,
    gone: bool = False,
    unhealed: str = "",
) -> Conclusion:
    """Judge a run. `accepted` and `known_failures` map requirement ids to their reasons.

    Skipped and inconclusive never count as pass: a run in which nothing was judged, or a
    must-requirement stayed unobserved without being accepted, is inconclusive. So is one that left
    a fault injected: `unhealed` says which. Where a slow server left no time for some checks of a
    requirement, or a known failure ended them, the others decide, and it is said how many were left
    out.
    """
    known_failures = known_failures or {}
    judged = tuple(
        _requirement(requirement, results, violations, accepted or {}, known_failures)
        for requirement in requirements
    )
    gating = [
        r
        for r in judged
        if r.requirement.level == "must" or (gate_should and r.requirement.level == "should")
    ]
    faults = [result for result in results if result.ending is Ending.FAULT]
    failed = [r for r in gating if r.verdict is Verdict.FAIL and not r.known]
    stale = [r for r in judged if r.requirement.id in known_failures and r.verdict is Verdict.PASS]
    open_ = [r for r in gating if r.verdict is Verdict.INCONCLUSIVE and not r.accepted]
    passed = [r for r in gating if r.verdict is Verdict.PASS]
    if failed:
        names = ", ".join(r.requirement.id for r in failed[:3]) + (
            ", ..." if len(failed) > 3 else ""
        )
        overall, code = Overall.NONCONFORMANT, Exit.NONCONFORMANT
        because = f"{_count(len(failed), 'requirement')} broken: {names}"
    elif stale:
        overall, code = Overall.NONCONFORMANT, Exit.NONCONFORMANT
        names = ", ".join(r.requirement.id for r in stale)
        because = f"known failures that pass now; take them out: {names}"
    elif faults:
        overall, code = Overall.INCONCLUSIVE, Exit.KIT_FAULT
        because = f"a fault of the kit in {faults[0].check}: {faults[0].reason}"
    elif unhealed:
        overall, code, because = Overall.INCONCLUSIVE, Exit.NOT_JUDGED, unhealed
    elif gone:
        overall, code = Overall.INCONCLUSIVE, Exit.NOT_JUDGED
        because = "the target died or fell silent during the run"
    elif open_:
        overall, code = Overall.INCONCLUSIVE, Exit.NOT_JUDGED
        first = f"{open_[0].requirement.id}: {open_[0].reason}"
        because = f"{_count(len(open_), 'requirement')} could not be observed: {first}"
    elif not passed and not any(r.known for r in gating):
        overall, code = Overall.INCONCLUSIVE, Exit.NOT_JUDGED
        because = "nothing was judged"
        if judged and not gating:
            because += " that decides: what was chosen are no must-requirements; add --gate should"
    else:
        overall, code = Overall.CONFORMANT, Exit.CONFORMANT
        because = f"{_count(len(passed), 'requirement')} hold{'s' if len(passed) == 1 else ''}"
        left_out = [result for result in results if result.ending is Ending.NO_TIME]
        if left_out:
            because += (
                f", but the server is so slow that {_count(len(left_out), 'check')} had no time; "
                "a longer --profile has more"
            )
        known = [r for r in gating if r.known]
        because += f", {_count(len(known), 'known failure')}" if known else ""
        idle = [
            r.requirement.id
            for r in judged
            if r.requirement.id in known_failures and r.verdict is Verdict.NOT_APPLICABLE
        ]
        because += f"; known failures that do not apply here: {', '.join(idle)}" if idle else ""
    return Conclusion(overall, code, because, judged)


def _requirement(
    requirement: Requirement,
    results: Sequence[CheckResult],
    violations: Sequence[Violation],
    accepted: Mapping[str, str],
    known_failures: Mapping[str, str],
) -> RequirementResult:
    own = tuple(v for v in violations if v.requirement == requirement.id)
    known = known_failures.get(requirement.id, "")
    if own:
        first = own[0]
        return RequirementResult(
            requirement,
            Verdict.FAIL,
            f"expected {first.expected}; actual {first.actual}",
            own,
            known,
        )
    checks = [result for result in results if requirement.id in result.requirements]
    endings = {result.ending for result in checks}
    waiver = accepted.get(requirement.id, "")
    blocked = [r for r in checks if r.ending is Ending.VIOLATED and r.blamed in known_failures]
    for ending in (Ending.FAULT, Ending.GONE, Ending.VIOLATED, Ending.UNOBSERVABLE, Ending.NOT_RUN):
        result = next((r for r in checks if r.ending is ending and r not in blocked), None)
        if result is not None:
            reason = _not_to_the_end(result) if ending is Ending.VIOLATED else result.reason
            return RequirementResult(requirement, Verdict.INCONCLUSIVE, reason, accepted=waiver)
    late = [result for result in checks if result.ending is Ending.NO_TIME]
    if Ending.PASSED in endings:
        left_out = [f"{len(late)} of {len(checks)} checks had no time"] if late else []
        if blocked:
            what = f"{blocked[0].blamed}, a known failure"
            left_out.append(f"{len(blocked)} of {len(checks)} checks ended at {what}")
        return RequirementResult(requirement, Verdict.PASS, "; ".join(left_out))
    if late or blocked:
        reason = _not_to_the_end(blocked[0]) if blocked else late[0].reason
        return RequirementResult(requirement, Verdict.INCONCLUSIVE, reason, accepted=waiver)
    if Ending.NOT_APPLICABLE in endings:
        reason = next(r.reason for r in checks if r.ending is Ending.NOT_APPLICABLE)
        return RequirementResult(requirement, Verdict.NOT_APPLICABLE, reason)
    return RequirementResult(requirement, Verdict.INCONCLUSIVE, "no check ran", accepted=waiver)


def _not_to_the_end(result: CheckResult) -> str:
    return f"not judged to the end, since {result.blamed} failed on the way"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
