"""Which faults are injected right now: a note on disk for each, until it is healed.

The notes outlive a kit that is killed between inject and heal, so that the next run, or `onejob
doctor`, knows that the server is still broken and how to mend it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from onejob_contract.target import Fault


@dataclass(frozen=True, slots=True)
class Leftover:
    """A fault of `target` (its URL) that process `pid` of this machine injected, `since` when."""

    target: str
    fault: Fault
    since: str
    pid: int

    @property
    def is_in_use(self) -> bool:
        """Whether the run that injected it is still there to heal it."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def told(self) -> str:
        """What happened, in a sentence without its full stop."""
        who = f"process {self.pid}, which still runs" if self.is_in_use else "a run that died"
        return f"the fault {self.fault.name} has been injected since {self.since} by {who}"


def folder() -> Path:
    """Where the notes are: onejob/faults in the user's state folder (XDG Base Directory)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "onejob" / "faults"


def note(target: str, fault: Fault) -> None:
    """Note that the fault is about to be injected.

    Raises FileExistsError if it is noted already, OSError if notes cannot be kept.
    """
    folder().mkdir(parents=True, exist_ok=True)
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = json.dumps(
        {"target": target, "fault": asdict(fault), "since": since, "pid": os.getpid()}
    )
    draft = folder() / f"draft-{os.getpid()}"
    draft.write_text(text, "utf-8")
    try:
        _path(target, fault.name).hardlink_to(draft)  # never half-written, and only if new
    finally:
        draft.unlink()


def forget(target: str, name: str) -> None:
    """Take the note away, if there is one."""
    _path(target, name).unlink(missing_ok=True)


def leftovers(target: str) -> list[Leftover]:
    """Every noted fault of a target. Raises OSError if the notes cannot be read."""
    return [one for one in _all() if one.target == target]


def _all() -> Iterator[Leftover]:
    for path in sorted(folder().glob("*.json")):
        try:
            data = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            continue  # healed this moment
        yield Leftover(data["target"], Fault(**data["fault"]), data["since"], data["pid"])


def _path(target: str, name: str) -> Path:
    digest = hashlib.sha256(target.encode()).hexdigest()[:12]
    return folder() / f"{digest}-{name}.json"
