"""`onejob load`: the load test in Locust's web UI, or headless with an exit code for CI.

Locust patches the process it is imported into, so it runs in a process of its own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from onejob_contract.target import UsageError, load_target, parse_url
from onejob_contract.verdict import Exit
from onejob_load.report.compare import NotAReport, comparison_lines
from onejob_load.settings import OPTIONS, Settings, SettingsError, settings_from

LOCUSTFILE: Final = Path(__file__).with_name("locustfile.py")
_STOP_TIMEOUT_S: Final = 15


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(OPTIONS):
        command = click.option(
            option.flag,
            option.name,
            default=str(option.default),
            show_default=True,
            metavar="|".join(option.choices) or type(option.default).__name__.upper(),
            help=option.help,
        )(command)
    return command


@click.command()
@click.argument("url", required=False)
@click.option("--headless", is_flag=True, help="Run without the web UI and exit with the verdict.")
@click.option("-u", "--users", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--spawn-rate",
    type=click.FloatRange(0.01, 1000),
    default=20.0,
    show_default=True,
    help="Users started a second.",
)
@click.option(
    "-t",
    "--run-time",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Length of a run. [default: 30 headless; until stopped in the web UI]",
)
@click.option("--processes", type=click.IntRange(1), help="Generate from this many processes.")
@click.option(
    "--web-host", default="127.0.0.1", show_default=True, help="Where the web UI listens."
)
@click.option("--web-port", type=click.IntRange(1, 65_535), default=8089, show_default=True)
@click.option(
    "--target",
    "target_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Target file (onejob.toml): URL, headers, timeouts, thresholds.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write report.json, report.html, summary.md and history.jsonl.",
)
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="BEFORE AFTER",
    help="Compare two saved runs (report.json files or directories) instead of running.",
)
@_setting_options
def load(
    *,
    url: str | None,
    headless: bool,
    users: int,
    spawn_rate: float,
    run_time: float | None,
    processes: int | None,
    web_host: str,
    web_port: int,
    target_file: Path | None,
    report: Path | None,
    compare: tuple[Path, Path] | None,
    **settings: str,
) -> None:
    r"""Stress the session lock of the server at URL, watch it, and end with a verdict.

    \b
    Exit codes:
      0  the lock held and the thresholds are met
      1  the lock did not hold, or a threshold was missed
      2  usage error
      3  could not judge (unreachable, died, nothing granted, too little observed)
      4  fault of the kit itself
    """
    try:
        if compare is not None:
            for line in comparison_lines(*compare):
                click.echo(line)
            return
        target = load_target(target_file, url) if target_file else None
        source = click.get_current_context().get_parameter_source("thresholds")
        if target and target.thresholds and source is ParameterSource.DEFAULT:
            settings["thresholds"] = target.thresholds
        chosen = settings_from(settings)
        host = str(target.origin) if target else _host(url, headless=headless)
        _writable(report)
    except (UsageError, SettingsError, NotAReport) as error:
        click.echo(f"onejob load: {error}", err=True)
        sys.exit(Exit.USAGE)
    arguments = ["--users", users, "--spawn-rate", spawn_rate, "--stop-timeout", _STOP_TIMEOUT_S]
    if headless:
        arguments += ["--headless", "--only-summary", "--skip-log-setup"]
        run_time = run_time or 30.0
    else:
        arguments += ["--web-host", web_host, "--web-port", web_port]
        click.echo(f"web UI on http://{web_host}:{web_port}, live verdict below /contention/")
    optional = {
        "--host": host,
        "--run-time": run_time and f"{run_time:g}s",
        "--processes": processes,
        "--target-file": target_file,
        "--report": report,
    }
    for flag, value in optional.items():
        arguments += [] if value is None else [flag, value]
    sys.exit(_run_locust(chosen, arguments))


def _run_locust(settings: Settings, arguments: list[Any]) -> int:
    """Run Locust to its end and give its exit code.

    An interrupt from the keyboard reaches Locust by itself, a termination is handed on.
    """
    command = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, *arguments]
    for option in OPTIONS:
        command += [f"{option.flag}={getattr(settings, option.name)}"]
    process = subprocess.Popen([str(argument) for argument in command])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _host(url: str | None, *, headless: bool) -> str | None:
    """Give the URL to test; the web form asks for it where none is given. Raises UsageError."""
    if url is not None:
        return str(parse_url(url))
    if headless:
        raise UsageError(
            "name the URL of the server to load, for example http://127.0.0.1:5000; "
            "`onejob serve` starts one."
        )
    return None


def _writable(report: Path | None) -> None:
    if report is None:
        return
    try:
        report.mkdir(parents=True, exist_ok=True)
        (report / "report.json").touch()
    except OSError as error:
        raise UsageError(f"cannot write a report to {report}: {error.strerror}.") from None
