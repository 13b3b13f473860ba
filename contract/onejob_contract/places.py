"""How many requests may be on their way at once: a server must not be drowned for its queue.

A server that takes one connection after the other has a short queue for the others, and a
connection that finds it full is answered seconds later or never. One that works on one request at
a time lets each of many wait for all the others. Neither is a fault.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MANY: Final = 1000
"""More than the kit ever sends at once."""


class Places:
    """So many requests at once; one that wants several places is not overtaken while it waits.

    `in_turn` says that the server works on one after the other: more at once would win nothing.
    """

    def __init__(self, number: int = MANY, *, in_turn: bool = False) -> None:
        self.number = number
        self.in_turn = in_turn
        self._taken = 0
        self._changed = threading.Condition()
        self._groups = threading.Lock()
        self._alone: int | None = None

    @contextmanager
    def alone(self, patience_s: float) -> Iterator[bool]:
        """Keep every other thread from sending during the body.

        Yields False, and keeps nobody, if what is on its way does not end within `patience_s`.
        """
        if self._alone == threading.get_ident():
            yield True
            return
        with self._groups:
            with self._changed:
                quiet = self._changed.wait_for(lambda: self._taken == 0, patience_s)
            if quiet:
                self._alone = threading.get_ident()
                try:
                    yield True
                finally:
                    self._alone = None
        if not quiet:
            yield False

    @contextmanager
    def taken(self, wanted: int = 1) -> Iterator[None]:
        """Hold places for the body; waits until they are free. At most `number` are wanted."""
        if self._alone == threading.get_ident():
            yield
            return
        with self._groups, self._changed:
            self._changed.wait_for(lambda: self._taken + wanted <= self.number)
            self._taken += wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()
