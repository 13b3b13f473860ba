"""From what was observed to one verdict, the sentence that explains it, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from onejob_contract.verdict import Exit
from onejob_load.thresholds import ThresholdResult


class Overall(StrEnum):
    """What a load test ends with."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the verdict rests on.

    ``doubts`` are sentences about what could not be observed: each keeps a run from passing.
    """

    granted: int
    violated_sessions: int
    first_violation: str
    thresholds: Sequence[ThresholdResult]
    doubts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict on a load test, why, and the exit code (the same codes as `onejob check`)."""

    overall: Overall
    because: str
    exit: Exit


def conclude(evidence: Evidence) -> Conclusion:
    """Judge a run. A broken lock outweighs a missed threshold, and that a doubt."""
    missed = [result for result in evidence.thresholds if not result.met]
    measured = [result for result in missed if result.actual is not None]
    if evidence.violated_sessions:
        count = evidence.violated_sessions
        where = f"in {count} session{'' if count == 1 else 's'}"
        because = f"the lock did not hold {where}: {evidence.first_violation}"
        return Conclusion(Overall.FAILED, because, Exit.NONCONFORMANT)
    if measured:
        because = f"threshold missed: {', '.join(result.text for result in measured)}"
        return Conclusion(Overall.FAILED, because, Exit.NONCONFORMANT)
    doubts = list(evidence.doubts)
    if not evidence.granted:
        doubts.append("no publish was granted, so the lock was never put to the test")
    doubts += [f"{result.text} could not be judged: nothing was measured" for result in missed]
    if doubts:
        return Conclusion(Overall.INCONCLUSIVE, doubts[0], Exit.NOT_JUDGED)
    because = f"the lock held over {evidence.granted:,} grants"
    if evidence.thresholds:
        because += f", and {len(evidence.thresholds)} thresholds are met"
    return Conclusion(Overall.PASSED, because, Exit.CONFORMANT)
