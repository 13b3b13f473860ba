"""What the users of this process share during one run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from onejob_contract.target import Target
from onejob_load.generator.recorder import Recorder
from onejob_load.generator.requests import Requests
from onejob_load.settings import Settings


@dataclass(slots=True)
class Run:
    """One run in one process.

    ``token`` is unique to the run, so that runs never meet in a session.
    """

    settings: Settings
    target: Target
    token: str
    clock: str
    generator: str
    requests: Requests
    recorder: Recorder
    _retired: Counter[str] = field(default_factory=Counter)
    _clients: Counter[str] = field(default_factory=Counter)

    def session(self, place: str) -> str:
        """Give the present session of a place: of one client, or one that clients share."""
        retired = self._retired[place]
        return f"{self.token}.{place}.{retired}" if retired else f"{self.token}.{place}"

    def retire(self, place: str) -> None:
        """Give the place another session: an unknown publish may hold the present one for ever.

        Nobody knows the job it was granted, so nobody can complete it.
        """
        self._retired[place] += 1

    def shared_place(self, scenario: str, number: int) -> str:
        """Give one of a scenario's places that all processes of the machine share."""
        return f"{self.clock}.{scenario}-{number}"

    def client(self, scenario: str) -> str:
        """Give a name for one more client."""
        self._clients[scenario] += 1
        return f"{self.generator}.{scenario}-{self._clients[scenario]}"
