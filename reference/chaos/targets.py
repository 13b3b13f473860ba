"""Judge the reference under the faults that its target files declare.

    python reference/chaos/targets.py [--run COMMAND] [COMBINATION ...]

Sets each combination up, runs `onejob check` (or COMMAND, with STAGE and URL in its environment;
try `bash`) and takes it down. Exits with the largest exit code of the runs, 3 if one could not
be run.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from service import MissingProgramError
from stage import COMBINATIONS, DISK, Combination, Stage

LEASE_S = 10.0
NOT_RUN = 3
_PROJECT = Path(__file__).parents[2]
_FAULTS = (
    "PUBLISH-JOB-DIR-FAILURE",
    "PUBLISH-SAVE-FAILURE",
    "PUBLISH-DATABASE-FAILURE",
    "PUBLISH-BROKER-FAILURE",
    "FAULT-NO-HANG",
    "FAULT-RECOVERY",
    "FAULT-JOBS-SURVIVE",
    "FAULT-HISTORY",
)


def main() -> int:
    """Run the chosen combinations and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="targets", description="Judge the reference under the faults of its target files."
    )
    names = [combination.name for combination in COMBINATIONS]
    parser.add_argument("combinations", nargs="*", metavar="COMBINATION", default=names)
    parser.add_argument("--run", metavar="COMMAND", help="run this instead of onejob check")
    parser.add_argument("--workers", type=int, default=2, help="live workers (default 2)")
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="server processes (default 2, and 1 for locks in memory, which allow no more)",
    )
    parser.add_argument(
        "--disk",
        default=DISK,
        metavar="OPTIONS",
        help="mount options of the small disks; a thorough run needs size=1g,nr_inodes=1m "
        f"(default {DISK})",
    )
    options = parser.parse_args()
    if unknown := set(options.combinations) - set(names):
        parser.error(f"unknown {', '.join(unknown)}; known are {', '.join(names)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    codes = {}
    for combination in COMBINATIONS:
        if combination.name in options.combinations:
            console.rule(combination.name)
            processes = options.processes or combination.processes
            staged = replace(combination, processes=processes)
            codes[combination.name] = _judged(staged, options, console)
    for name, code in codes.items():
        console.print(f"{name}: exit code {code}")
    return max(codes.values())


def _judged(combination: Combination, options: argparse.Namespace, console: Console) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o711)  # PostgreSQL and RabbitMQ run as other users
        try:
            with Stage(
                combination, folder, lease=LEASE_S, workers=options.workers, disk=options.disk
            ) as stage:
                environment = os.environ | stage.environment
                told = options.run or _check(combination, stage.cluster.url)
                done = subprocess.run(
                    told,
                    shell=isinstance(told, str),
                    env=environment,
                    cwd=_PROJECT,
                    check=False,
                )
                return done.returncode
        except (MissingProgramError, OSError, subprocess.SubprocessError) as failure:
            console.print(f"not run: {failure}")
            return NOT_RUN


def _check(combination: Combination, url: str) -> list[str]:
    target = Path("reference") / "targets" / f"{combination.name}.toml"
    onejob = str(Path(sys.executable).with_name("onejob"))
    return [onejob, "check", url, "--target", str(target), "--select", ",".join(_FAULTS)]


if __name__ == "__main__":
    sys.exit(main())
