"""Chaos: never stuck, never two, never lost, whatever dies.

    python reference/chaos [--faults N] [--seed S] [--keep FOLDER] [COMBINATION ...]

Exits 0 if nothing was found, 1 if something was, 3 if a combination could not be run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from backends import MissingProgramError
from campaign import COMBINATIONS, Findings, campaign
from rich.console import Console
from rich.table import Table

from onejob_contract.history import write_history


def main() -> int:
    """Run the chosen combinations and return the exit code."""
    names = [combination.name for combination in COMBINATIONS]
    parser = argparse.ArgumentParser(
        prog="chaos", description="Never stuck, never two, never lost, whatever dies."
    )
    parser.add_argument("combinations", nargs="*", metavar="COMBINATION", default=names)
    parser.add_argument("--faults", type=int, default=100, help="per combination (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same faults (default 1)")
    parser.add_argument("--keep", type=Path, help="keep logs and histories in this folder")
    options = parser.parse_args()
    if unknown := set(options.combinations) - set(names):
        parser.error(f"unknown {', '.join(unknown)}; known are {', '.join(names)}")

    console = Console()
    found, missing = [], False
    with tempfile.TemporaryDirectory() as temporary:
        for combination in COMBINATIONS:
            if combination.name not in options.combinations:
                continue
            folder = (options.keep or Path(temporary)) / combination.name
            folder.mkdir(parents=True)
            console.print(f"{combination.name}: {options.faults} faults, seed {options.seed}")
            try:
                findings = campaign(combination, options.faults, options.seed, folder)
            except MissingProgramError as program:
                console.print(f"  not run: {program}")
                missing = True
                continue
            with (folder / "history.jsonl").open("w") as file:
                write_history(findings.record.history, file)
            found.append(findings)
            _tell(console, findings)
    console.print(_table(found))
    if not all(findings.passed for findings in found):
        return 1
    return 3 if missing or not found else 0


def _tell(console: Console, findings: Findings) -> None:
    for fault, times in findings.faults.most_common():
        console.print(f"  {times:4} x {fault}")
    for answer, times in [*findings.record.refused.items(), *findings.record.odd.items()]:
        console.print(f"  {times:4} x answered {answer}")
    console.print(f"  all jobs done {findings.all_done_s:.1f} s after the last fault")
    console.print(f"  all sessions free {findings.all_free_s:.1f} s after the last fault")
    console.print(f"  history: {findings.judgement.verdict} {findings.judgement.explanation}")
    if not findings.passed:
        console.print(f"  exit codes {findings.exit_codes}")


def _table(found: list[Findings]) -> Table:
    table = Table(title="chaos")
    for column in ("combination", "faults", "jobs", "operations", "verdict"):
        table.add_column(column, no_wrap=True)
    for findings in found:
        table.add_row(
            findings.combination.name,
            str(findings.faults.total()),
            f"{findings.granted} granted, {findings.unfinished} unfinished",
            f"{len(findings.record.history)}, {findings.unknown} unanswered",
            "passed" if findings.passed else "FAILED",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
