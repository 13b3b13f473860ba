"""Walks over several sessions and jobs at once, every answer judged by the one model."""

from onejob_contract.checks import Cost, proves
from onejob_contract.findings import NotApplicable
from onejob_contract.iut import Iut

FAST_MOVES = 40
SLOW_MOVES = 10


@proves("LOCK-ONE-ACTIVE-JOB", "LOCK-PER-SESSION", "STATUS-PER-JOB", cost=Cost.VOLUME)
def test_any_walk_over_several_sessions_is_answered_as_the_model_says(iut: Iut) -> None:
    """Publishes, polls, reports and incomplete requests as Hypothesis chooses them."""
    if iut.run.profile.name == "quick":
        raise NotApplicable("Hypothesis takes longer to load than the quick profile can spare")
    from onejob_contract.machine import Walks  # noqa: PLC0415 (only runs that need it)

    moves = SLOW_MOVES if iut.run.is_slow else FAST_MOVES
    walks = Walks(iut, iut.rounds(1, 60, 2000), moves)
    walks.explore()
    iut.run.measured["walks of the state machine"] = str(walks.walked)
    if not walks.walked and walks.cut is not None:
        raise walks.cut
