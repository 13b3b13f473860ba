"""The roll of a run: which generators take part, who has been heard, who ended, who was lost.

Nothing can be judged before everybody has said a first word: what one did that nobody knows of
makes the answers of the others look wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

SILENT_S: Final = 6.0
"""A generator that hands on nothing for so long is lost; it does so twice a second."""


class Roll:
    """Keeps the roll; `expected` are the Locust workers that were told to generate."""

    def __init__(self, expected: Iterable[str] = ()) -> None:
        now = time.monotonic()
        self._awaited = dict.fromkeys(expected, now)
        self._known: set[str] = set()
        self._heard: dict[str, float] = {}
        self._ended: set[str] = set()

    @property
    def is_complete(self) -> bool:
        """Whether everybody who takes part has said a first word."""
        return not self._awaited

    @property
    def is_over(self) -> bool:
        """Whether everybody has ended, or is lost."""
        return self.is_complete and not self._heard.keys() - self._ended

    def expect(self, worker: str) -> None:
        """Note that a Locust worker joins, unless it is here already."""
        if worker not in self._known:
            self._awaited.setdefault(worker, time.monotonic())

    def hear(self, worker: str, generator: str, *, last: bool) -> None:
        """Note a word of a generator, which may be its last; `worker` is what Locust calls it."""
        self._known.add(worker)
        self._awaited.pop(worker, None)
        self._heard[generator] = time.monotonic()
        if last:
            self._ended.add(generator)

    def lost(self) -> list[str]:
        """Take those off the roll who are silent for too long, and give their names."""
        long_ago = time.monotonic() - SILENT_S
        unheard = [name for name, since in self._awaited.items() if since < long_ago]
        silent = [
            name
            for name, heard in self._heard.items()
            if name not in self._ended and heard < long_ago
        ]
        for name in unheard:
            del self._awaited[name]
        self._ended.update(silent)
        return unheard + silent
