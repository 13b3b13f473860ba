"""The kill matrix: the suite against every broken and every unusual server of the fixtures.

A mutant first meets only the checks of the requirement it breaks, in the quick profile. If they
do not convict it (a fault that shows once in a hundred times, or after twenty seconds), it meets
the whole suite in the standard profile. Unusual servers always meet the whole suite.

Fails on a survivor, on a mutant that only an unrelated requirement convicted, on an accused
freedom, and on a requirement without a mutant of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from onejob_contract.catalogue import requirements
from onejob_fixtures.servers import CORRECT, FREEDOMS, MUTANTS, Freedom, Mutant, Server, running
from onejob_fixtures.servers.backends import SWITCHES

CHECK = (sys.executable, "-m", "onejob_contract.cli", "check")


@dataclass(frozen=True, slots=True)
class Row:
    """One server of the matrix: what was wanted, what the suite said, in how many seconds.

    `judged_by` is the part of the suite that said it.
    """

    server: str
    wanted: str
    judged_by: str
    convicted_by: tuple[str, ...]
    verdict: str
    seconds: float
    complaint: str

    def line(self) -> str:
        """The row as a person reads it."""
        said = ", ".join(self.convicted_by[:4]) or self.verdict
        what = f"{self.server:<46} {self.wanted:<30} {self.seconds:6.1f}"
        return f"{what}  {said}  {self.complaint}".rstrip()


def main() -> int:
    """Run the matrix and print it; 0 when every server got what it deserves."""
    parser = argparse.ArgumentParser(prog="matrix", description=__doc__)
    parser.add_argument("servers", nargs="*", help="names, or parts of names; default: all")
    parser.add_argument("--profile", default="quick", help="for the unusual servers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="servers judged at the same time")
    parser.add_argument("--freedoms", action="store_true", help="unusual servers only")
    parser.add_argument("--markdown", type=Path, help="write the matrix as a table to this file")
    options = parser.parse_args()
    began = time.monotonic()
    chosen = [
        server for server in _servers(options.freedoms) if _is_chosen(server, options.servers)
    ]
    rows: list[Row] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(lambda server: _judged(server, options), chosen):
            rows.append(row)
            print(row.line(), flush=True)  # noqa: T201
    complaints = [row for row in rows if row.complaint]
    untested = [] if options.servers or options.freedoms else _without_mutant()
    if options.markdown:
        options.markdown.write_text(_table(rows), "utf-8")
    for id_ in untested:
        print(f"{id_}: no mutant of its own")  # noqa: T201
    print(  # noqa: T201
        f"{len(rows)} servers in {time.monotonic() - began:.0f} s, seed {options.seed}: "
        f"{len(rows) - len(complaints)} right, {len(complaints)} wrong"
    )
    return 1 if complaints or untested else 0


def _servers(freedoms_only: bool) -> Iterator[Server]:
    if not freedoms_only:
        yield from MUTANTS.values()
    yield CORRECT
    yield from FREEDOMS.values()


def _is_chosen(server: Server, wanted: Sequence[str]) -> bool:
    own = getattr(server, "breaks", "")
    return not wanted or any(word in server.name or word == own for word in wanted)


def _without_mutant() -> list[str]:
    broken = {mutant.breaks for mutant in MUTANTS.values()}
    return [id_ for id_ in requirements() if id_ not in broken]


def _judged(server: Server, options: argparse.Namespace) -> Row:
    if not isinstance(server, Mutant):
        return _run(server, options.profile, None, options.seed)
    row = _run(server, "quick", server.breaks, options.seed)
    return _run(server, "standard", None, options.seed) if row.complaint else row


def _run(server: Server, profile: str, requirement: str | None, seed: int) -> Row:
    """Judge a fresh server by one requirement, or by all."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        needs = getattr(server, "needs", None)
        uploads = Path(folder) / "uploads" if needs == "upload_root" else None
        if uploads:
            uploads.mkdir()
        target = Path(folder) / "onejob.toml"
        command = [*CHECK, "--target", target, "--report", report, "--profile", profile]
        command += ["--seed", seed, *(["--select", requirement] if requirement else [])]
        began = time.monotonic()
        with running(server.name, upload_root=uploads) as url:
            target.write_text(_target(url, needs, uploads), "utf-8")
            # Notes of injected faults are kept by port, and ports come again.
            done = subprocess.run(
                [str(word) for word in command],
                env={**os.environ, "XDG_STATE_HOME": folder},
                capture_output=True,
                text=True,
                check=False,
            )
        seconds = time.monotonic() - began
        try:
            said = json.loads((report / "report.json").read_text("utf-8"))
        except (OSError, ValueError):
            tail = (done.stderr or done.stdout).strip()[-300:]
            said = {"verdict": f"exit {done.returncode}: {tail}", "requirements": []}
        return _row(server, f"{requirement or 'all'}, {profile}", said, seconds)


def _target(url: str, needs: str | None, uploads: Path | None) -> str:
    lines = [f'url = "{url}"', "[timeouts]", "response = 5", "job = 8"]
    if uploads:
        lines += ["[capabilities]", f'upload_root = "{uploads}"']
    if needs == "faults":
        for fault in SWITCHES:
            lines += [
                f"[faults.{fault}]",
                f'inject = "{url}/-/faults/{fault}/inject"',
                f'heal = "{url}/-/faults/{fault}/heal"',
            ]
    return "\n".join(lines)


def _row(server: Server, judged_by: str, said: dict[str, object], seconds: float) -> Row:
    entries: list[dict[str, str]] = said["requirements"]  # type: ignore[assignment]
    failed = tuple(entry["id"] for entry in entries if entry["verdict"] == "fail")
    verdict = str(said["verdict"])
    complaint = ""
    if isinstance(server, Mutant):
        wanted = server.breaks
        if not failed:
            complaint = "SURVIVED"
        elif not any(_family(id_) == _family(wanted) for id_ in failed):
            complaint = "CONVICTED BY OTHERS ONLY"
    else:
        wanted = server.expects if isinstance(server, Freedom) else "conformant"
        if verdict == "nonconformant":  # what only falls short of a *should* is not accused
            complaint = "ACCUSED"
        elif wanted == "conformant" and verdict != wanted:
            unseen = [entry for entry in entries if entry["verdict"] == "inconclusive"]
            told = "; ".join(f"{entry['id']}: {entry['reason']}" for entry in unseen[:3])
            complaint = f"NOT JUDGED {len(unseen)} {told}"
    return Row(server.name, wanted, judged_by, failed, verdict, seconds, complaint)


def _family(id_: str) -> str:
    """The operation a requirement is about: what PUBLISH-BUSY and PUBLISH-ACCEPTED share."""
    return id_.partition("-")[0]


def _table(rows: Sequence[Row]) -> str:
    lines = [
        "# The kill matrix",
        "",
        "Written by `nox -s mutants -- --markdown docs/kill-matrix.md`. Every broken server must",
        "be convicted by the requirement it breaks, or by one of the same family; no unusual one",
        "may be accused. *Judged by* is the part of the suite that settled it.",
        "",
        "| server | breaks, or deserves | judged by | convicted by, or verdict | seconds |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        said = ", ".join(row.convicted_by) or row.verdict
        cells = (row.server, row.wanted, row.judged_by, f"{said} {row.complaint}".strip())
        lines.append(f"| {' | '.join(cells)} | {row.seconds:.1f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
