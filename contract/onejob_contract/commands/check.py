"""`onejob check`: judge a server, any language, and say what was seen."""

from __future__ import annotations

import datetime
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from onejob_contract.run import PROFILES
from onejob_contract.session import Options, Session, new_seed
from onejob_contract.target import (
    Target,
    UsageError,
    WorkerMode,
    known_requirement,
    load_target,
    parse_url,
    worker_mode,
)
from onejob_contract.verdict import Exit


@click.command()
@click.argument("url", required=False)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="standard",
    show_default=True,
    help="About 5 s, 30 s or 5 min on a fast server.",
)
@click.option(
    "--worker",
    type=click.Choice([str(mode) for mode in WorkerMode]),
    help="Who completes jobs: the kit, the server's own worker, or find out. [default: auto]",
)
@click.option(
    "--gate",
    type=click.Choice(["must", "should"]),
    default="must",
    show_default=True,
    help="Lowest level that decides the exit code.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Repeat the requests of an earlier run.")
@click.option(
    "--select",
    multiple=True,
    metavar="ID",
    help="Judge only this requirement; may be repeated, or a comma-separated list.",
)
@click.option(
    "--known-failures",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Lines `ID: reason`. An entry that passes, or names nothing, fails the run.",
)
@click.option(
    "--target",
    "target_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Target file (onejob.toml): URL, headers, capabilities, timeouts, faults.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write report.json, report.html, junit.xml, summary.md and history.jsonl.",
)
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long locks are watched for expiry. [default: by profile]",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first broken requirement.")
def check(
    *,
    url: str | None,
    profile: str,
    worker: str | None,
    gate: str,
    seed: int | None,
    select: tuple[str, ...],
    known_failures: Path | None,
    target_file: Path | None,
    report: Path | None,
    hold: float | None,
    fail_fast: bool,
) -> None:
    """Judge the server at URL; without a URL, the embedded reference.

    \b
    Exit codes:
      0  conformant
      1  nonconformant
      2  usage error
      3  could not judge (unreachable, died, nothing selected, too little observed)
      4  fault of the kit itself
    """  # noqa: D301 (click's mark for a block that keeps its lines)
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = Options(
            profile=profile,
            seed=new_seed() if seed is None else seed,
            select=_selected(select),
            gate_should=gate == "should",
            hold_s=hold,
            fail_fast=fail_fast,
            known_failures=_known_failures(known_failures),
        )
        _writable(report)
        with _target(url, target_file, worker) as (target, end_worker):
            code = _judge(target, options, end_worker, report, console)
    except UsageError as error:
        click.echo(f"onejob check: {error}", err=True)
        code = Exit.USAGE
    except KeyboardInterrupt:
        click.echo("onejob check: interrupted, nothing was judged", err=True)
        code = Exit.NOT_JUDGED
    except Exception:  # a fault of ours must not end like a verdict: Python would exit with 1
        click.echo(f"onejob check: a fault of the kit: {traceback.format_exc()}", err=True)
        code = Exit.KIT_FAULT
    sys.exit(code)


def _judge(
    target: Target,
    options: Options,
    end_worker: Callable[[], None] | None,
    report: Path | None,
    console: Console,
) -> Exit:
    import pytest  # noqa: PLC0415

    from onejob_contract.plugin import SUITE, SuitePlugin  # noqa: PLC0415
    from onejob_contract.preflight import NotJudgeable  # noqa: PLC0415
    from onejob_contract.report.files import write_report  # noqa: PLC0415
    from onejob_contract.report.terminal import Terminal  # noqa: PLC0415

    session = Session(target, options, end_worker)
    terminal = Terminal(console)
    started_at = datetime.datetime.now(datetime.UTC)
    try:
        session.prepare()
    except NotJudgeable as error:
        click.echo(f"onejob check: {error}", err=True)
        return Exit.NOT_JUDGED
    terminal.starts(session)
    plugin = SuitePlugin(session, terminal)
    # What else is installed, or configured where the user stands, must not change a verdict.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(variable, None)
    arguments = [
        str(SUITE),
        "-c",
        str(SUITE / "pytest.ini"),
        f"--rootdir={SUITE}",
        "-p",
        "no:terminal",
        "-p",
        "no:cacheprovider",
        "-p",
        "onejob_contract.plugin",
    ]
    try:
        ended = pytest.main(arguments, plugins=[plugin])
    finally:
        terminal.finish()
    if ended == pytest.ExitCode.INTERRUPTED:
        click.echo("onejob check: interrupted; what ran until then:", err=True)
    elif ended in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        click.echo("onejob check: a fault of the kit: pytest could not run the suite", err=True)
        return Exit.KIT_FAULT
    conclusion = session.conclusion()
    terminal.tell(session, conclusion)
    if report is not None:
        try:
            write_report(session, started_at, report)
        except OSError as error:
            raise UsageError(f"cannot write the report to {report}: {error.strerror}.") from None
        console.print(f"report in {report}", markup=False, highlight=False, soft_wrap=True)
    return conclusion.exit


def _target(
    url: str | None, target_file: Path | None, worker: str | None
) -> AbstractContextManager[tuple[Target, Callable[[], None] | None]]:
    if url is None and target_file is None:
        from onejob_contract.embedded import embedded_reference  # noqa: PLC0415

        return embedded_reference(worker_mode(worker) if worker else WorkerMode.AUTO)
    target = load_target(target_file, url) if target_file else Target(parse_url(url or ""))
    if worker:
        target = replace(target, worker=worker_mode(worker))
    return nullcontext((target, None))


def _selected(select: tuple[str, ...]) -> frozenset[str]:
    ids = [id_.strip() for text in select for id_ in text.split(",") if id_.strip()]
    if select and not ids:
        raise UsageError(
            "--select names nothing; give requirement ids, `onejob explain` lists them."
        )
    return frozenset(known_requirement(id_, "--select") for id_ in ids)


def _known_failures(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the known failures {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"the known failures {path} are not UTF-8 text.") from None
    known = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        id_, _, reason = line.partition(":")
        where = f"{path}, line {number},"
        if not reason.strip():
            raise UsageError(f"{where} has no reason; write `ID: reason`.")
        known[known_requirement(id_.strip(), where)] = reason.strip()
    return known


def _writable(report: Path | None) -> None:
    if report is None:
        return
    try:
        report.mkdir(parents=True, exist_ok=True)
        probe = report / "report.json"
        probe.touch()
    except OSError as error:
        raise UsageError(f"cannot write the report to {report}: {error.strerror}.") from None
