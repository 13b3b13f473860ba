"""`onejob judge`: whether a recorded history is one that a right lock can have given."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, cast

import click

from onejob_contract import linearizability
from onejob_contract.history import MalformedHistory, Operation, read_history
from onejob_contract.linearizability import DEFAULT_BUDGET_S, Judgement, Verdict
from onejob_contract.report.judgement import JudgedHistory, write_judgements
from onejob_contract.verdict import Exit

_GZIP_MAGIC = b"\x1f\x8b"

_EXITS = {
    Verdict.LINEARIZABLE: Exit.CONFORMANT,
    Verdict.VIOLATION: Exit.NONCONFORMANT,
    Verdict.UNDECIDED: Exit.NOT_JUDGED,
}
_GRAVEST_FIRST = (Exit.USAGE, Exit.NONCONFORMANT, Exit.NOT_JUDGED)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a file.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write report.html, report.json and summary.md to DIR.",
)
@click.option(
    "--live-worker",
    is_flag=True,
    help="The server's own worker may also have completed each job, at a moment not recorded.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=DEFAULT_BUDGET_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to search before a history is given up as undecided.",
)
def judge(
    files: tuple[str, ...],
    *,
    as_json: bool,
    report: Path | None,
    live_worker: bool,
    budget: float,
) -> None:
    """Say of each history FILE whether it is linearizable, and if not, why.

    A history holds one JSON object a line, may be gzipped, and - is standard input.

    \b
    Exit codes: 0 every history is linearizable, 1 one is not, 2 one could not be read,
    3 one could not be decided.
    """  # noqa: D301 (click reads the \b)
    judged: list[JudgedHistory] = []
    exits: set[Exit] = set()
    for file in files:
        try:
            operations = load(file)
        except (OSError, MalformedHistory) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            click.echo(f"onejob judge: {file}: {reason or error}", err=True)
            exits.add(Exit.USAGE)
            continue
        judgement = _judge(operations, live_worker=live_worker, budget_s=budget)
        history = JudgedHistory(file, judgement, tuple(operations), live_worker)
        click.echo(json.dumps(history.to_json()) if as_json else history.sentence())
        exits.add(_EXITS[judgement.verdict])
        if report is not None:
            judged.append(history)
    if report is not None:
        try:
            write_judgements(judged, report)
        except OSError as error:
            click.echo(f"onejob judge: cannot write the report: {error}", err=True)
            exits.add(Exit.USAGE)
    sys.exit(next((grave for grave in _GRAVEST_FIRST if grave in exits), Exit.CONFORMANT))


def load(file: str) -> list[Operation]:
    """Read a history from a file, plain or gzipped, or from standard input if it is ``-``.

    Raises OSError if it cannot be read and `MalformedHistory` if it is no history.
    """
    with _opened(file) as stream:
        return list(read_history(_lines(stream)))


def _judge(operations: list[Operation], *, live_worker: bool, budget_s: float) -> Judgement:
    if not operations:
        nothing = "the history holds no operations, so nothing was observed"
        return Judgement(Verdict.UNDECIDED, 0, 0.0, (), nothing, None)
    return linearizability.judge(operations, live_worker=live_worker, budget_s=budget_s)


@contextmanager
def _opened(file: str) -> Iterator[Iterable[bytes]]:
    if file == "-":
        # Whatever stands in for standard input may not be able to peek.
        yield _unzipped(BufferedReader(cast("RawIOBase", sys.stdin.buffer)))
    else:
        with Path(file).open("rb") as stream:
            yield _unzipped(stream)


def _unzipped(stream: BufferedReader) -> Iterable[bytes]:
    if stream.peek(2)[:2] == _GZIP_MAGIC:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    return stream


def _lines(stream: Iterable[bytes]) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(stream, start=1):  # noqa: B007 (told in the errors below)
            yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedHistory(number, f"not UTF-8: {error.reason}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise MalformedHistory(number + 1, f"the gzip stream is damaged: {error}") from None
