"""`onejob explain`: a requirement, why it matters, how it is checked, what passes and fails."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from onejob_contract.catalogue import Requirement, excluded, requirements
from onejob_contract.plugin import SUITE
from onejob_contract.target import UsageError, known_requirement
from onejob_contract.verdict import Exit

_NEEDS = {
    "update_status": "an /update_status that the kit can reach",
    "upload_root": "upload_root in the target file",
    "live_worker": "a worker of the server's own",
}


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--excluded",
    "show_excluded",
    is_flag=True,
    help="What the document says and is not judged, and why.",
)
def explain(ids: tuple[str, ...], show_excluded: bool) -> None:
    """Explain requirements; without an ID, list them all."""
    try:
        chosen = [requirements()[known_requirement(id_.upper(), "the command")] for id_ in ids]
    except UsageError as error:
        click.echo(f"onejob explain: {error}", err=True)
        sys.exit(Exit.USAGE)
    if show_excluded:
        for entry in excluded():
            click.echo(f"{entry.section}: {entry.sentence}\n  {entry.reason}")
    elif not chosen:
        width = max(len(id_) for id_ in requirements())
        for requirement in requirements().values():
            click.echo(f"{requirement.id:<{width}}  {requirement.level:<6}  {requirement.title}")
    for requirement in chosen:
        click.echo("\n".join(_lines(requirement)))


def _lines(requirement: Requirement) -> Iterator[str]:
    since = f"since version {requirement.since} of the requirements"
    yield f"{requirement.id} ({requirement.level}, {since})"
    yield f"  {requirement.title}"
    yield f"  document:     {requirement.section}"
    yield f"  why:          {requirement.why}"
    yield f"  passes:       {requirement.passes}"
    yield f"  fails:        {requirement.fails}"
    for need in requirement.needs:
        words = _NEEDS.get(need, f"[faults.{need.partition(':')[2]}] in the target file")
        yield f"  needs:        {words.replace('[faults.any]', 'a [faults.NAME]')}"
    yield "  how it is checked:"
    for check in checks_of(requirement.id):
        yield f"    {check.module}::{check.name}"
        yield f"      {check.story}"
    yield f"  judge it alone: onejob check URL --select {requirement.id}"


@dataclass(frozen=True, slots=True)
class CheckStory:
    """A check as its source tells it."""

    module: str
    name: str
    story: str


def checks_of(id_: str) -> Iterator[CheckStory]:
    """The checks bound to a requirement, read from the suite's source without running it."""
    for path in sorted(SUITE.glob("test_*.py")):
        for node in _functions(path):
            if id_ in _proved(node):
                story = inspect.cleandoc(ast.get_docstring(node) or "").partition("\n\n")[0]
                yield CheckStory(path.name, node.name, " ".join(story.split()))


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def _proved(function: ast.FunctionDef) -> set[str]:
    return {
        argument.value
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "proves"
        for argument in decorator.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
