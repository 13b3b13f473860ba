"""`onejob doctor`: whether this target can be judged, and what to change so that it can."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import click

from onejob_contract import faults
from onejob_contract.client import Client
from onejob_contract.findings import HealFailed
from onejob_contract.preflight import (
    NotJudgeable,
    Preflight,
    left_injected,
    look,
    must_be_whole,
    watch_for_worker,
)
from onejob_contract.run import Surroundings
from onejob_contract.target import Target, UsageError, load_target, parse_url
from onejob_contract.verdict import Exit
from onejob_contract.wire import Response

_SLOW_S = 0.5
_CLOCK_S = 5.0
_PATIENCE_S = 5.0
_WATCHED = "LOCK-HELD-OVER-TIME"


@click.command()
@click.argument("url", required=False)
@click.option(
    "--target",
    "target_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Target file (onejob.toml).",
)
@click.option("--heal", is_flag=True, help="First heal the faults that a run has left injected.")
def doctor(url: str | None, target_file: Path | None, *, heal: bool) -> None:
    """Look at the server at URL with a handful of requests and say whether it can be judged.

    \b
    Exit codes: 0 everything can be judged, 2 usage error, 3 something cannot.
    """  # noqa: D301 (click's mark for a block that keeps its lines)
    try:
        if url is None and target_file is None:
            raise UsageError("name a URL, for example http://127.0.0.1:5000, or a --target file.")
        target = load_target(target_file, url) if target_file else Target(parse_url(url or ""))
    except UsageError as error:
        click.echo(f"onejob doctor: {error}", err=True)
        sys.exit(Exit.USAGE)
    client = Client(target)
    try:
        if heal:
            _heal(client)
        must_be_whole(target)
        patience_s = min(_PATIENCE_S, target.job_timeout_s)
        seen = look(client, patience_s)
        skew_s = _clock_skew(seen.first_steps[0].exchange.response)
        took_s = watch_for_worker(client, patience_s) if seen.surroundings.update_status else None
    except (NotJudgeable, HealFailed) as error:
        click.echo(f"no   {error}")
        sys.exit(Exit.NOT_JUDGED)
    finally:
        client.close()
    troubled = False
    for mark, finding, advice in _findings(target, seen, took_s, skew_s):
        troubled |= mark == "no"
        click.echo(f"{mark:<4} {finding}")
        if advice:
            click.echo(f"     -> {advice}")
    hurried = seen.surroundings.live_worker or took_s is not None
    if troubled:
        click.echo("a run would be inconclusive")
    elif hurried and "worker_stop" not in target.faults:
        click.echo("what the server's own worker leaves time for can be judged")
    else:
        click.echo("everything can be judged")
    sys.exit(Exit.NOT_JUDGED if troubled else Exit.CONFORMANT)


def _heal(client: Client) -> None:
    """Heal what a run that died left injected. Raises NotJudgeable, HealFailed."""
    target = client.target
    for left in left_injected(target):
        if left.is_in_use:
            continue
        # The target file may have been corrected since.
        faults.heal(target.faults.get(left.fault.name, left.fault), client)
        click.echo(f"ok   healed: {left.told()}")


def _findings(
    target: Target, seen: Preflight, worker_took_s: float | None, skew_s: float | None
) -> Iterator[tuple[str, str, str]]:
    """Mark (ok, note, no), finding, advice."""
    around = seen.surroundings
    yield "ok", f"{target.origin} is reachable and speaks this API (server {seen.server})", ""
    for step in seen.first_steps:
        request = step.exchange.request
        if step.answer is None:
            yield (
                "note",
                f"{request.method} {request.target} -> {step.reading.actual}",
                "this is not as documented; a run will say more",
            )
    slow = around.latency_s > _SLOW_S
    yield (
        "note" if slow else "ok",
        f"a request takes {around.latency_s * 1000:.1f} ms",
        "use --profile standard or thorough: quick may be cut short" if slow else "",
    )
    if seen.one_at_a_time:
        yield "note", "an open connection keeps others waiting: the kit closes each one", ""
    yield from _who_completes(target, around, worker_took_s)
    for fault in target.faults.values():
        yield "ok", f"the fault {fault.name} is declared", ""
    if not target.faults:
        yield (
            "note",
            "no faults are declared",
            "four documented failures of publish stay not-applicable; see docs/faults.md",
        )
    if skew_s is not None and abs(skew_s) > _CLOCK_S:
        yield (
            "note",
            f"the server's clock is {skew_s:+.0f} s from ours",
            "mind it when you look for requests in its log",
        )
    if target.upload_root is not None and not target.upload_root.is_dir():
        yield (
            "no",
            f"upload_root {target.upload_root} is no folder here",
            "correct it in the target file, or take it out",
        )


def _who_completes(
    target: Target, around: Surroundings, worker_took_s: float | None
) -> Iterator[tuple[str, str, str]]:
    """As `_findings`: what was seen of /update_status and of the server's own worker."""
    if around.update_status:
        yield "ok", f"/update_status can be used: {around.update_status_reason}", ""
    elif around.live_worker and target.update_status is False:
        yield "ok", "/update_status is out of reach, as the target file declares", ""
    elif around.live_worker:
        yield (
            "no",
            f"/update_status is out of reach: {around.update_status_reason}",
            (
                "let the kit reach it, or declare update_status = false under [capabilities] "
                "in a target file"
            ),
        )
    else:
        yield (
            "no",
            (
                "nobody completes jobs: /update_status is out of reach "
                f"({around.update_status_reason}) and no worker was seen"
            ),
            "let the kit reach /update_status, or start the worker",
        )
    if around.live_worker or worker_took_s is not None:
        took = "" if worker_took_s is None else f" (one within {worker_took_s:.1f} s)"
        yield (
            "note" if _WATCHED in target.accepted or "worker_stop" in target.faults else "no",
            f"the server's own worker completes jobs{took}",
            (
                "the kit stops it by the fault worker_stop, once it has seen it work"
                if "worker_stop" in target.faults
                else "some locks end before they can be watched: stop it while the kit runs, "
                f"declare the fault worker_stop in a target file, or accept {_WATCHED} there"
            ),
        )
    elif around.update_status:
        yield "ok", "no live worker was seen: the kit completes jobs through /update_status", ""


def _clock_skew(response: Response | None) -> float | None:
    """Give how many seconds the clock of a server that has just answered is ahead of ours."""
    date = response.header("Date") if response else None
    if date is None:
        return None
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=datetime.UTC)
    return (theirs - datetime.datetime.now(datetime.UTC)).total_seconds()
