"""What a check calls things: sessions, URLs and clients that nobody else uses, and their forms."""

from __future__ import annotations

import itertools
from functools import cache
from random import Random
from typing import Final

from onejob_fixtures.forms import Form, Part, encode, publish_parts
from onejob_fixtures.images import Image, small_jpeg, small_png
from onejob_fixtures.names import SessionStem

_NAMES_OF_AN_ATTEMPT: Final = 20_000


class Names:
    """The names of one check; its random choices come from the seed of the run.

    `shapes` remembers of which stem and nonce a session id was made, for a replay to make another.
    """

    def __init__(self, check: str, stem: str, seed: int) -> None:
        """Begin all names with `stem`, which no other check or run has."""
        self.check = check
        self.random = Random(f"{seed}/{check}")
        self.shapes: dict[str, tuple[SessionStem, str]] = {}
        self._stem = stem
        self._numbers = itertools.count(1)

    def skip_names(self, attempt: int) -> None:
        """Start counting names where no earlier attempt of this check did."""
        self._numbers = itertools.count(attempt * _NAMES_OF_AN_ATTEMPT + 1)

    def nonce(self) -> str:
        """Text of constant length that no other check, run or attempt uses."""
        return f"{self._stem}{next(self._numbers):05}"

    def new_session(self) -> str:
        """A session id that was never used."""
        return f"onejob-{self.nonce()}"

    def named(self, *stems: SessionStem) -> list[str]:
        """Session ids that were never used, of these shapes, with one nonce in common."""
        nonce = self.nonce()
        named = {stem.with_nonce(nonce): (stem, nonce) for stem in stems}
        self.shapes.update(named)
        return list(named)

    def new_url(self) -> str:
        """A result URL that was never used."""
        return f"https://results.example.com/{self.nonce()}.png"

    def parts(self, session: str) -> tuple[Part, ...]:
        """The three documented fields for a session, with two small images."""
        return publish_parts(session, *_pair(self.random.randrange(32)))

    def client_name(self, number: int) -> str:
        """The name of one of several clients of this check, told apart by its beginning."""
        return f"{number}#{self.check.rpartition('::')[2]}"

    def form(self, session: str) -> Form:
        """A complete form for a session."""
        return encode(self.parts(session))


@cache
def _pair(number: int) -> tuple[Image, Image]:
    return small_png(number), small_jpeg(number)
