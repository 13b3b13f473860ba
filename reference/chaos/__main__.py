"""Chaos: never stuck, never two, never lost, whatever dies.

    python reference/chaos [--faults N] [--seed S] [--lease L] [--keep FOLDER] [COMBINATION ...]

Exits 0 if nothing was found, 1 if something was, 3 if a combination could not be run.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from campaign import Findings, campaign
from rich.console import Console
from rich.table import Table
from service import MissingProgramError
from stage import COMBINATIONS

from onejob_contract.history import write_history

FOUND, NOT_RUN = 1, 3
_WIDTH = 120  # in a log, where nobody says how wide a line may be


def main() -> int:
    """Run the chosen combinations and return the exit code."""
    names = [combination.name for combination in COMBINATIONS]
    parser = argparse.ArgumentParser(
        prog="chaos", description="Never stuck, never two, never lost, whatever dies."
    )
    parser.add_argument("combinations", nargs="*", metavar="COMBINATION", default=names)
    parser.add_argument("--faults", type=_positive, default=100, help="each (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same faults (default 1)")
    parser.add_argument("--lease", type=float, default=4.0, help="seconds (default 4)")
    parser.add_argument("--keep", type=Path, help="keep logs and histories in this folder")
    options = parser.parse_args()
    if unknown := set(options.combinations) - set(names):
        parser.error(f"unknown {', '.join(unknown)}; known are {', '.join(names)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    with tempfile.TemporaryDirectory() as temporary:
        base = options.keep or Path(temporary)
        base.mkdir(parents=True, exist_ok=True)
        base.chmod(base.stat().st_mode | 0o011)  # PostgreSQL and RabbitMQ run as other users
        found, missing = _run(options, base, console)
    console.print(_table(found))
    if any(findings.problems for findings in found):
        return FOUND
    return NOT_RUN if missing or not found else 0


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _run(options: argparse.Namespace, base: Path, console: Console) -> tuple[list[Findings], bool]:
    """Return what was found, and whether anything could not be run."""
    found: list[Findings] = []
    missing = False
    for combination in COMBINATIONS:
        if combination.name not in options.combinations:
            continue
        folder = base / combination.name
        console.print(f"{combination.name}: {options.faults} faults, seed {options.seed}")
        try:
            folder.mkdir()
            findings = campaign(combination, options.faults, options.seed, options.lease, folder)
            with (folder / "history.jsonl").open("w") as file:
                write_history(findings.record.history, file)
        except KeyboardInterrupt:
            console.print("  not run: interrupted")
            return found, True
        except (MissingProgramError, OSError, subprocess.SubprocessError) as failure:
            kept = f"; logs are in {folder}" if options.keep else "; --keep FOLDER keeps its logs"
            console.print(f"  not run: {failure}{kept}", soft_wrap=True)
            missing = True
            continue
        found.append(findings)
        _tell(console, findings)
    return found, missing


def _tell(console: Console, findings: Findings) -> None:
    for fault, times in findings.faults.most_common():
        console.print(f"  {times:4} x {fault}")
    for answer, times in [*findings.record.refused.items(), *findings.record.odd.items()]:
        console.print(f"  {times:4} x answered {answer}", soft_wrap=True)
    rounds = " ".join(f"{seconds:.1f}" for seconds in findings.free_after_s)
    console.print(f"  all sessions free, seconds after each round: {rounds}")
    for problem in findings.problems:
        console.print(f"  FOUND: {problem}", soft_wrap=True)


def _table(found: list[Findings]) -> Table:
    table = Table(title="chaos")
    columns = ("combination", "faults", "granted", "operations", "unanswered", "free after")
    for column in (*columns, "seconds", "verdict"):
        table.add_column(column, no_wrap=True)
    for findings in found:
        table.add_row(
            findings.combination.name,
            str(findings.faults.total()),
            str(findings.granted),
            str(len(findings.record.history)),
            str(findings.unknown),
            f"{max(findings.free_after_s):.1f} of {findings.lease:g} s",
            f"{findings.duration_s:.0f}",
            "FAILED" if findings.problems else "passed",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
