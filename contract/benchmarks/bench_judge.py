"""How fast the judge is and how much memory it needs, as ratios that hold on any machine.

    python contract/benchmarks/bench_judge.py [OPERATIONS]

Times are CPU seconds of one process, so that a busy machine does not change the picture.  The
yardstick is one pass of plain Python over the same operations that only counts outcomes.
"""

import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability import Judge, Judgement, judge

CLIENTS = 64


def contended(operations: int, seed: int = 1) -> list[Operation]:
    """One session, 64 clients: a grant and 63 refusals a round, then the completion."""
    random = Random(seed)
    names = [f"client {number}" for number in range(CLIENTS)]
    history: list[Operation] = []
    start = 0
    while len(history) < operations:
        job = f"job {start}"
        winner = random.randrange(CLIENTS)
        for number, name in enumerate(names):
            won = number == winner
            history.append(
                _publish(
                    name,
                    job if won else None,
                    start + random.randint(0, 80),
                    start + 250 + random.randint(0, 100),
                )
            )
        history.append(_update(job, start + 400, start + 450))
        start += 500
    history.sort(key=lambda operation: operation.returned_ns or 0)
    return history


def free_running(operations: int, *, unknown: float = 0.0, seed: int = 2) -> list[Operation]:
    """One session, 64 clients that never wait for each other, and long holds."""
    random = Random(seed)
    history: list[Operation] = []
    holder, until = None, 0
    for instant in range(0, 10 * operations, 10):
        if holder is not None and instant >= until:
            history.append(_update(holder, instant - 400, instant + 300))
            holder = None
        job = None if holder else f"job {instant}"
        if job:
            holder, until = job, instant + random.randint(500, 4000)
        name = f"client {random.randrange(CLIENTS)}"
        begin, end = instant - random.randint(0, 600), instant + random.randint(0, 600)
        publish = _publish(name, job, begin, end)
        if job is None and random.random() < unknown:
            publish = replace(publish, returned_ns=None, outcome=Outcome.UNKNOWN)
        history.append(publish)
    return history


def one_violation(operations: int) -> list[Operation]:
    """A long contended history in the middle of which one session is granted twice."""
    history = contended(operations)
    middle = next(
        index
        for index in range(len(history) // 2, len(history))
        if history[index].outcome is Outcome.GRANTED
    )
    inside = (history[middle].returned_ns or 0) + 5
    history.insert(middle + 1, _publish("thief", "stolen", inside, inside + 10))
    return history


def cpu_seconds(act: Callable[[], object], repeats: int = 3) -> float:
    """Give the best of a few runs, in CPU seconds."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        act()
        best = min(best, time.process_time() - started)
    return best


def main(operations: int) -> None:
    """Print one line a measurement."""
    tracemalloc.start()
    history = contended(operations)
    judgement = judge(history)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    _say(f"contended, {len(history)} operations: {judgement.verdict}")
    _say(f"  memory with the operations: {peak / len(history):.0f} bytes an operation")
    whole = cpu_seconds(lambda: judge(history))
    yardstick = cpu_seconds(lambda: Counter(operation.outcome for operation in history))
    tenth = history[: len(history) // 10]
    part = cpu_seconds(lambda: judge(tenth))
    _say(f"  judged in {whole:.2f} CPU s, {whole / yardstick:.1f} times counting its outcomes")
    _say(f"  {whole / part:.1f} times the effort for 10 times the operations")
    _say(f"  piece by piece: {cpu_seconds(lambda: _in_pieces(history), 1) / whole:.1f} times that")
    hard = {
        "free-running clients, long holds, 1,000 operations": free_running(1_000),
        "the same with 1 % unknown": free_running(1_000, unknown=0.01),
        "the same, 100,000 operations": free_running(100_000, unknown=0.01),
        "one violation in 100,000": one_violation(100_000),
    }
    for name, difficult in hard.items():
        for live_worker in (False, True):
            started = time.process_time()
            found = judge(difficult, live_worker=live_worker)
            seconds = time.process_time() - started
            mode = ", live worker" if live_worker else ""
            _say(f"{name}{mode}: {found.verdict} in {seconds:.3f} CPU s")


def _in_pieces(history: list[Operation], piece: int = 10_000) -> Judgement:
    growing = Judge()
    for start in range(0, len(history), piece):
        growing.extend(history[start : start + piece])
        coming = history[start + piece : start + 2 * piece]
        if coming:
            growing.advance(min(operation.invoked_ns for operation in coming))
    return growing.judgement()


def _publish(client: str, job: str | None, invoked: int, returned: int) -> Operation:
    outcome = Outcome.GRANTED if job else Outcome.BUSY
    return Operation("s", client, OperationKind.PUBLISH, job, None, invoked, returned, outcome)


def _update(job: str, invoked: int, returned: int) -> Operation:
    url = "https://results/1"
    return Operation(None, "worker", OperationKind.UPDATE, job, url, invoked, returned, Outcome.OK)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
