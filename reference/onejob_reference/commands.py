"""`onejob serve` and `onejob worker`. Importing this module is cheap; running a command is not."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from onejob_reference.settings import Settings, SettingsError

_TYPES: dict[Any, click.ParamType[Any]] = {
    "int": click.IntRange(min=1),
    "int | None": click.IntRange(min=1),
    "float": click.FloatRange(min=0, min_open=True),
    "Path": click.Path(path_type=Path),
    "Path | None": click.Path(path_type=Path, exists=True, dir_okay=False),
}


def _settings_of(command: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for every setting the command uses."""

    def add_options(function: Callable[..., None]) -> Callable[..., None]:
        for field in reversed(dataclasses.fields(Settings)):
            if command not in field.metadata["commands"]:
                continue
            has_default = field.default is not dataclasses.MISSING
            function = click.option(
                f"--{field.name.replace('_', '-')}",
                envvar=f"ONEJOB_{field.name.upper()}",
                show_envvar=True,
                type=_TYPES.get(field.type, click.STRING),
                default=field.default if has_default else None,
                show_default=bool(has_default and field.default),
                help=field.metadata["help"],
            )(function)
        return function

    return add_options


def _chosen(options: dict[str, Any]) -> Settings:
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except SettingsError as wrong:
        raise click.UsageError(str(wrong)) from None


@click.command()
@_settings_of("serve")
def serve(**options: Any) -> None:
    """Serve the API on one machine with no settings at all, or on many with a few.

    Every option is also an environment variable. Prints 'listening on URL' once it takes
    requests; logs are JSON lines on standard error. SIGTERM lets requests in flight finish,
    SIGHUP restarts the server processes one by one.
    """
    settings = _chosen(options)
    from onejob_reference import serve as server  # noqa: PLC0415 - heavy, see above

    _run(lambda: server.serve(settings))


@click.command()
@_settings_of("worker")
def worker(**options: Any) -> None:
    """Work on published jobs, one at a time; start as many workers as there is work for.

    Every option is also an environment variable. Prints 'working for URL' once it looks for
    jobs; logs are JSON lines on standard error. SIGTERM lets the job in hand finish.
    """
    settings = _chosen(options)
    from onejob_reference import work  # noqa: PLC0415 - heavy, see above

    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    _run(lambda: work.work(settings, stop))


def _run(command: Callable[[], None]) -> None:
    """Run it, and tell what a person can mend without a traceback."""
    from onejob_reference.database import DatabaseError  # noqa: PLC0415 - heavy, see above

    try:
        command()
    except DatabaseError as failure:
        raise click.ClickException(f"cannot use the database: {failure}") from None
    except (ValueError, OSError) as failure:
        raise click.ClickException(str(failure)) from None
