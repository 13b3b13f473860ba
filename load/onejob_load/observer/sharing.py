"""How the session lock was shared: hold times, gaps, utilisation, fairness."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_load.observer.durations import Durations


@dataclass(slots=True)
class _Session:
    """One session, as its operations passed by in the order of their returns (ns)."""

    first_ns: int
    last_ns: int
    granted: int = 0
    busy: int = 0
    held_ns: int = 0
    holder: str | None = None
    since_ns: int = 0
    freed_ns: int | None = None
    wanted: bool = False
    """Whether anybody was refused during the present hold, so that the gap after it matters."""
    holds: Durations = field(default_factory=Durations)
    contenders: defaultdict[str, _Contender] = field(
        default_factory=lambda: defaultdict(_Contender)
    )

    def held_so_far_ns(self) -> int:
        """Give how long the session was held, with the hold that has not ended."""
        return self.held_ns + (self.last_ns - self.since_ns if self.holder is not None else 0)

    def jain(self) -> float | None:
        """Give Jain's index over the success rates of the clients; None without competition."""
        rates = [one.granted / one.attempts for one in self.contenders.values()]
        squares = sum(rate * rate for rate in rates)
        return sum(rates) ** 2 / (len(rates) * squares) if squares and len(rates) > 1 else None


@dataclass(slots=True)
class _Contender:
    """One client that publishes in one session: its attempts and how many were granted."""

    attempts: int = 0
    granted: int = 0


class Sharing:
    """Follows settled operations in the order of their returns."""

    def __init__(self) -> None:
        self.holds = Durations()
        self.gaps = Durations()
        self._sessions: dict[str, _Session] = {}
        self._refused_since_ns: dict[str, int] = {}
        self._starved_ns = 0

    def follow(self, operation: Operation) -> None:
        """Take in one operation of a known outcome; others say nothing about sharing."""
        at_ns, name = operation.returned_ns, operation.session
        if at_ns is None or name is None:
            return
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = _Session(operation.invoked_ns, at_ns)
        session.last_ns = max(session.last_ns, at_ns)
        if operation.operation is OperationKind.PUBLISH:
            self._published(session, operation, at_ns)
        elif operation.job == session.holder and operation.outcome in (
            Outcome.OK,
            Outcome.COMPLETED,
        ):
            self._freed(session, at_ns)

    def fairness(self) -> dict[str, float | None]:
        """Give Jain's index among clients of a session, and the longest time one was refused (s).

        The index is 1 where all fare alike and 1/n where one of n takes all; sessions count by
        their publishes.
        """
        indices = [(one.jain(), one.granted + one.busy) for one in self._sessions.values()]
        competed = [(index, publishes) for index, publishes in indices if index is not None]
        publishes = sum(weight for _, weight in competed)
        return {
            "jain": sum(index * weight for index, weight in competed) / publishes
            if publishes
            else None,
            "starvation": self._starved_ns / 1e9 if publishes else None,
        }

    def utilisation(self) -> float | None:
        """Give the share of the time that contended sessions were held."""
        contended = [one for one in self._sessions.values() if one.busy]
        lived = sum(one.last_ns - one.first_ns for one in contended)
        return min(1.0, sum(one.held_so_far_ns() for one in contended) / lived) if lived else None

    def hottest(self, count: int = 10) -> list[dict[str, Any]]:
        """Give the sessions with the most publishes."""
        total = Counter({name: one.granted + one.busy for name, one in self._sessions.items()})
        return [self._row(name) for name, _ in total.most_common(count)]

    @property
    def sessions(self) -> int:
        """How many sessions were seen."""
        return len(self._sessions)

    def _row(self, name: str) -> dict[str, Any]:
        session = self._sessions[name]
        lived = session.last_ns - session.first_ns
        return {
            "session": name,
            "granted": session.granted,
            "busy": session.busy,
            "utilisation": min(1.0, session.held_so_far_ns() / lived) if lived else None,
            "hold_p50": session.holds.percentile(50),
        }

    def _published(self, session: _Session, operation: Operation, at_ns: int) -> None:
        contender = session.contenders[operation.client]
        contender.attempts += 1
        if operation.outcome is Outcome.BUSY:
            session.busy += 1
            session.wanted = True
            since_ns = self._refused_since_ns.setdefault(operation.client, operation.invoked_ns)
            self._starved_ns = max(self._starved_ns, at_ns - since_ns)
        elif operation.outcome is Outcome.GRANTED:
            session.granted += 1
            contender.granted += 1
            self._refused_since_ns.pop(operation.client, None)
            if session.freed_ns is not None and session.wanted:
                self.gaps.add((at_ns - session.freed_ns) / 1e9)
            session.holder, session.since_ns, session.freed_ns = operation.job, at_ns, None
            session.wanted = False

    def _freed(self, session: _Session, at_ns: int) -> None:
        held_ns = max(0, at_ns - session.since_ns)
        session.holder, session.freed_ns = None, at_ns
        session.held_ns += held_ns
        session.holds.add(held_ns / 1e9)
        self.holds.add(held_ns / 1e9)
