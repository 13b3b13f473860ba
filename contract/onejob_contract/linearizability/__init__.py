"""The judge of histories: near-linear where intervals decide, a bounded search where not.

operations -> jobs (what bounds each grant and completion) -> urls (which update completed it)
           -> sections (in which order jobs held the session) -> witness (why no order does)
"""

from onejob_contract.linearizability.judging import (
    DEFAULT_BUDGET_S,
    Judge,
    Judgement,
    Verdict,
    judge,
)

__all__ = ["DEFAULT_BUDGET_S", "Judge", "Judgement", "Verdict", "judge"]
