"""How a check ends when it does not simply pass."""

from __future__ import annotations

from collections.abc import Sequence

from onejob_contract.documented import Answer
from onejob_contract.steps import Step


class Violation(Exception):
    """The implementation under test broke a requirement.

    `steps` are the requests that show it, in order; `expected` and `actual` are sentences.
    `allowed` are the answers that would have been right for the last step, if it was about one.
    `fatal` says that the last step ended the server, so its silence is no bad moment.
    `picture` is an SVG of what happened when, where time matters.
    `replayed` is (shown again, tried) once somebody tried; None if it cannot be replayed.
    """

    def __init__(
        self,
        requirement: str,
        expected: str,
        actual: str,
        steps: Sequence[Step] = (),
        *,
        allowed: frozenset[Answer] = frozenset(),
        replayable: bool = True,
        note: str = "",
        picture: str = "",
        fatal: bool = False,
    ) -> None:
        super().__init__(f"{requirement}: expected {expected}; actual {actual}")
        self.requirement = requirement
        self.expected = expected
        self.actual = actual
        self.steps = tuple(steps)
        self.allowed = allowed
        self.replayable = replayable
        self.note = note
        self.picture = picture
        self.fatal = fatal
        self.replayed: tuple[int, int] | None = None
        self.times = 1

    @property
    def intermittent(self) -> bool:
        """Whether it was seen and then not seen again by every replay."""
        return self.replayed is not None and self.replayed[0] < self.replayed[1]

    @property
    def unanswered(self) -> bool:
        """Whether the last request got no complete answer, which a bad moment could explain."""
        return not self.fatal and bool(self.steps) and self.steps[-1].exchange.trouble is not None


class Unobservable(Exception):
    """What a check is about could not be seen: its requirements are inconclusive, never passed.

    `again` says that another attempt may see it (a race with the server's own worker).
    """

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


class NotApplicable(Exception):
    """A capability that the check needs is declared absent, or was not declared."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HealFailed(Exception):
    """A fault could not be mended: the run stops, since the server is broken by our own doing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Interrupted(Exception):
    """A kept-alive connection ended between two requests: start the check again on new ones."""


class TargetGone(Exception):
    """The implementation under test no longer accepts connections."""
