"""The `onejob` command. Its subcommands come from entry points, so every part brings its own."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import click

GROUP = "onejob.commands"


class Commands(click.Group):
    """Loads a subcommand when it is asked for; one whose extra is missing says how to get it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, whether or not their extra is installed."""
        del ctx
        return sorted(entry.name for entry in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or one that says what to install."""
        del ctx
        for entry in entry_points(group=GROUP):
            if entry.name == cmd_name:
                return _load(entry)
        return None


def _load(entry: EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("onejob_"):
            raise
        return _missing(entry.name, entry.extras[0] if entry.extras else "all")
    assert isinstance(command, click.Command)  # noqa: S101
    return command


def _missing(name: str, extra: str) -> click.Command:
    @click.command(
        name,
        help=f"Needs the extra {extra!r}: pip install 'onejob[{extra}]'.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def command() -> None:
        raise click.UsageError(
            f"onejob {name} needs the extra {extra!r}: pip install 'onejob[{extra}]'"
        )

    return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onejob")
def onejob() -> None:
    """Judge, serve and stress an HTTP API with one active job per session."""


def main() -> None:
    """Run the command line."""
    onejob(prog_name="onejob")


if __name__ == "__main__":
    main()
