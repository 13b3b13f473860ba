"""What a history can be convicted of, before it is put into words."""

from dataclasses import dataclass

from onejob_contract.history import Operation
from onejob_contract.linearizability.jobs import Job, Window
from onejob_contract.linearizability.sections import Conflict, Session


@dataclass(frozen=True, slots=True)
class GrantedTwice:
    """One id was granted by two publishes, in whatever sessions."""

    first: Operation
    second: Operation


@dataclass(frozen=True, slots=True)
class NeverGranted:
    """A job was seen to exist although no publish can have granted it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The operations that name one job cannot all be right, whatever the other jobs did."""

    job: Job


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two jobs certainly held one session at the same time."""

    one: Window
    other: Window


@dataclass(frozen=True, slots=True)
class NoOrder:
    """No order of the jobs of one session explains all grants and refusals."""

    name: str | None
    session: Session
    conflict: Conflict
    jobs: tuple[Window, ...]


Finding = GrantedTwice | NeverGranted | Contradiction | Overlap | NoOrder
