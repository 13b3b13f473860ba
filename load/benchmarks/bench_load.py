"""The speed of the load tests, as ratios against a bare FastHttpUser in the same run.

    python load/benchmarks/bench_load.py [--rounds N] [--seconds S] [--operations N]

Prints what it measured and exits 1 where a limit is missed.  The generator keeps to one core,
server and observer share the others: two idle cores are needed for a fair rate.  Beside it stands
the rate per second of the generator's own CPU time: what a core generates on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_load.batch import Batch, Health, Sample, batch_from_json, batch_to_json
from onejob_load.observer.observing import Observer, RunDescription
from onejob_load.settings import Settings

RATIO: Final = 0.9
MEGABYTES: Final = 400
SPREAD_S: Final = 0.0005
CROWD: Final = 1000
_HERE: Final = Path(__file__).parent
_BATCH: Final = 2000
_SESSIONS: Final = 200


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--operations", type=int, default=1_000_000)
    options = parser.parse_args()
    with _server() as url:
        met = [
            _rate(url, options.rounds, options.seconds),
            _stampede(url, options.seconds),
            _crowd(url, options.seconds),
        ]
    met.append(_memory(options.operations))
    return 0 if all(met) else 1


def _rate(url: str, rounds: int, seconds: float) -> bool:
    ratios = []
    for number in range(rounds):
        bare, ours = (_generate(one, url, 20, seconds) for one in ("bare", "ours"))
        ratios.append(_per(ours, "seconds") / _per(bare, "seconds"))
        for clock in ("seconds", "cpu_seconds"):
            what = f"ours {_per(ours, clock):,.0f}, bare {_per(bare, clock):,.0f} requests"
            _say(f"round {number + 1}: {what} per {clock.replace('_', ' ')}")
    ratio = statistics.median(ratios)
    return _limit(f"median ratio to a bare FastHttpUser {ratio:.2f}, limit {RATIO}", ratio >= RATIO)


def _stampede(url: str, seconds: float) -> bool:
    figures = _generate("stampede", url, 1, seconds)["figures"]
    spread = figures["races.spread"]
    text = f"{figures['races.count']} rounds of 32, median spread {spread * 1e3:.2f} ms"
    return _limit(f"{text}, limit {SPREAD_S * 1e3:.2f} ms", spread <= SPREAD_S)


def _crowd(url: str, seconds: float) -> bool:
    run = _generate("crowd", url, CROWD, seconds + 5)
    text = f"{run['users']} users at once: {run['requests'] / run['seconds']:,.0f} requests/s, "
    text += f"{run['failures']} failures, verdict {run['verdict']}"
    return _limit(
        text, run["users"] == CROWD and not run["failures"] and run["verdict"] == "passed"
    )


def _memory(operations: int) -> bool:
    run = RunDescription("http://server", Settings().as_json(), "", live_worker=False)
    observer = Observer(run)
    for batch in _batches(operations):
        # Through JSON, since that is how operations reach the observer.
        observer.take(batch_from_json(json.loads(json.dumps(batch_to_json(batch)))))
    observer.finish()
    snapshot = observer.snapshot()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = (
        f"{snapshot['figures']['requests.count']:,} operations judged ({snapshot['verdict']}) in "
    )
    return _limit(f"{text}{megabytes:.0f} MB, limit {MEGABYTES} MB", megabytes <= MEGABYTES)


def _batches(operations: int) -> Iterator[Batch]:
    """A contended run: in every session a grant, six refusals, an update; and again."""
    now, made = 0, 0
    while made < operations:
        samples: list[Sample] = []
        while len(samples) < _BATCH:
            for session in range(_SESSIONS):
                samples += _turn(f"s{session}", now + session * 1000)
            now += 1_000_000_000
        made += len(samples)
        health = Health(now, 0, 50.0, 100)
        yield Batch("here", "here.1", now, tuple(samples), (), (), health, made >= operations)


def _turn(session: str, at: int) -> Iterator[Sample]:
    job = str(uuid.uuid4())

    def sample(place: int, kind: OperationKind, outcome: Outcome, url: str | None) -> Sample:
        begins = at + place * 10_000_000
        named = None if outcome is Outcome.BUSY else job
        who = f"client-{place}"
        ends = begins + 5_000_000
        return Sample(Operation(session, who, kind, named, url, begins, ends, outcome), begins)

    yield sample(0, OperationKind.PUBLISH, Outcome.GRANTED, None)
    for place in range(1, 7):
        yield sample(place, OperationKind.PUBLISH, Outcome.BUSY, None)
    yield sample(7, OperationKind.UPDATE, Outcome.OK, f"https://results.example/{job}")


def _generate(kind: str, url: str, users: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, _HERE / "generate.py", kind, url, users, seconds]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _per(run: dict[str, Any], clock: str) -> float:
    rate: float = run["requests"] / run[clock]
    return rate


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, str(_HERE / "canned_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.kill()


def _limit(text: str, met: bool) -> bool:
    _say(f"{'met   ' if met else 'MISSED'} {text}")
    return met


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
