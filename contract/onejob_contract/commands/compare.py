"""`onejob compare`: what differs between two servers, or two runs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from onejob_contract.run import PROFILES
from onejob_contract.session import new_seed
from onejob_contract.target import UsageError
from onejob_contract.verdict import Exit

_BETTER = {"pass": 0, "not-applicable": 1, "inconclusive": 2, "fail": 3}


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="quick",
    show_default=True,
    help="For those of the two that are URLs.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="For those of the two that are URLs; both get the same.",
)
def compare(first: str, second: str, profile: str, seed: int | None) -> None:
    """Compare A with B, each a URL or a report.json (or a folder with one).

    \b
    Exit codes: 0 no requirement is worse in B than in A, 1 some are, 2 usage error, 3 not judged.
    """  # noqa: D301 (click's mark for a block that keeps its lines)
    chosen = new_seed() if seed is None else seed
    try:
        before, after = (_report(source, profile, chosen) for source in (first, second))
    except UsageError as error:
        click.echo(f"onejob compare: {error}", err=True)
        sys.exit(Exit.USAGE)
    except _NotJudged as error:
        click.echo(f"onejob compare: {error}", err=True)
        sys.exit(Exit.NOT_JUDGED)
    worse = _tell(before, after)
    sys.exit(Exit.NONCONFORMANT if worse else Exit.CONFORMANT)


class _NotJudged(Exception):
    pass


def _report(source: str, profile: str, seed: int) -> dict[str, Any]:
    if source.startswith(("http://", "https://")):
        return _judged(source, profile, seed)
    path = Path(source)
    path = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}; give a URL or a report.json."
        ) from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}.") from None
    if not isinstance(report, dict) or report.get("schema") != 1 or "requirements" not in report:
        raise UsageError(f"{path} is no report of `onejob check` (schema 1).")
    return report


def _judged(url: str, profile: str, seed: int) -> dict[str, Any]:
    """Judge a server in a process of its own, as `onejob check` does."""
    with tempfile.TemporaryDirectory(prefix="onejob-") as folder:
        command = [sys.executable, "-m", "onejob_contract.cli", "check", url, "--report", folder]
        command += ["--profile", profile, "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        report = Path(folder) / "report.json"
        if (
            done.returncode not in (Exit.CONFORMANT, Exit.NONCONFORMANT)
            and not report.stat().st_size
        ):
            if done.returncode == Exit.USAGE:
                raise UsageError(done.stderr.strip().removeprefix("onejob check: "))
            raise _NotJudged(
                done.stderr.strip().removeprefix("onejob check: ") or done.stdout[-300:]
            )
        judged: dict[str, Any] = json.loads(report.read_text("utf-8"))
        return judged


def _tell(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Print what differs; how many requirements are worse."""
    old = {entry["id"]: entry for entry in before["requirements"]}
    new = {entry["id"]: entry for entry in after["requirements"]}
    worse = 0
    for name, report in (("A", before), ("B", after)):
        click.echo(
            f"{name}: {report['target']['url']} {report['verdict']} ({report['started_at']}, "
            f"profile {report['profile']}, seed {report['seed']})"
        )
    for id_ in [*old, *(id_ for id_ in new if id_ not in old)]:
        was = old[id_]["verdict"] if id_ in old else "not judged"
        now = new[id_]["verdict"] if id_ in new else "not judged"
        if was == now:
            continue
        is_worse = _BETTER.get(now, 2) > _BETTER.get(was, 2)
        worse += is_worse
        reason = new.get(id_, {}).get("reason", "")
        direction, why = ("worse ", f"  {reason}") if is_worse else ("better", "")
        click.echo(f"  {direction}  {id_}: {was} -> {now}{why}")
    _tell_open_answers(before, after)
    same = sum(old[id_]["verdict"] == new[id_]["verdict"] for id_ in old.keys() & new.keys())
    click.echo(f"{same} requirement{'' if same == 1 else 's'} the same, {worse} worse in B")
    return worse


def _tell_open_answers(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Print where both answer differently what the document leaves open; neither is worse."""
    was, now = (report["profile_of_target"].get("open", {}) for report in (before, after))
    for question in was:
        if question in now and was[question] != now[question]:
            click.echo(f"  differs {question}: {was[question]} -> {now[question]}")
