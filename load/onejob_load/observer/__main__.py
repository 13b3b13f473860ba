"""The observer's process: JSON lines in (commands), JSON lines out (snapshots).

`{"start": {...}}` begins a run, `{"batch": {...}}` and `{"lost": name}` follow, and
`{"finish": true}` ends it with the final snapshot.  Snapshots are written at most once a second.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

from onejob_contract.history import write_history
from onejob_load.batch import batch_from_json
from onejob_load.observer.observing import Observer, RunDescription

_SNAPSHOT_EVERY_S: Final = 1.0


def observe(commands: Iterable[str], answers: IO[str]) -> None:
    """Follow runs until the commands end."""
    observer: Observer | None = None
    history: IO[str] | None = None
    shown = 0.0
    with ExitStack() as files:
        for line in commands:
            ((command, argument),) = json.loads(line).items()
            if command == "start":
                files.close()
                path = argument.pop("history")
                observer = Observer(RunDescription(**argument))
                history = files.enter_context(Path(path).open("w", encoding="utf-8"))
            elif observer is None or history is None:
                continue
            elif command == "batch":
                batch = batch_from_json(argument)
                observer.take(batch)
                write_history((sample.operation for sample in batch.samples), history)
            elif command == "lost":
                observer.lose(argument)
            elif command == "finish":
                observer.finish()
                files.close()
            now = time.monotonic()
            if command == "finish" or now - shown >= _SNAPSHOT_EVERY_S:
                shown = now
                _answer(observer.snapshot(), answers)


def _answer(snapshot: dict[str, Any], answers: IO[str]) -> None:
    answers.write(json.dumps(snapshot) + "\n")
    answers.flush()


if __name__ == "__main__":
    # Interrupting a run from the keyboard reaches the whole process group; the end of the commands
    # ends this process, after what was recorded is judged.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    observe(sys.stdin, sys.stdout)
