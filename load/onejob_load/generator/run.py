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

    def session(self, scenario: str, number: int | str) -> str:
        """Give the present name of a session, the same in all processes of the machine."""
        name = f"{self.token}-{self.clock}-{scenario}-{number}"
        retired = self._retired[name]
        return f"{name}-{retired}" if retired else name

    def retire(self, scenario: str, number: int | str) -> None:
        """Use another name from now on: an unknown publish may have taken this one for ever.

        Nobody knows the job it was granted, so nobody can complete it.
        """
        self._retired[f"{self.token}-{self.clock}-{scenario}-{number}"] += 1

    def client(self, scenario: str) -> str:
        """Give a name for one more client."""
        self._clients[scenario] += 1
        return f"{self.generator}/{scenario}-{self._clients[scenario]}"
