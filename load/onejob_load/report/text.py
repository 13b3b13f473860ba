"""The end of a run as a few lines of text, and as Markdown for a CI summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from onejob_load.report.words import figure_text

_TIMED: Final = ("granted", "busy", "update", "status", "hold", "gap")
_STATISTICS: Final = ("count", "p50", "p95", "p99", "max")


def summary_lines(snapshot: dict[str, Any]) -> Iterator[str]:
    """Give the verdict first, then thresholds, latencies and what was odd."""
    figures = snapshot["figures"]
    yield ""
    yield f"{snapshot['verdict'].upper()}  {snapshot['url']}"
    yield f"  {snapshot['because']}"
    for note in (*snapshot["notes"], *_limit(snapshot)):
        yield f"  note: {note}"
    yield ""
    for result in snapshot["thresholds"]:
        metric = _metric(result["text"])
        mark = "met   " if result["met"] else "MISSED"
        yield f"  {mark} {result['text']:28} {figure_text(metric, result['actual'])}"
    yield ""
    yield f"  {'':10}" + "".join(f"{name:>12}" for name in _STATISTICS)
    for name in _TIMED:
        cells = (figure_text(f"{name}.{one}", figures[f"{name}.{one}"]) for one in _STATISTICS)
        yield f"  {name:10}" + "".join(f"{cell:>12}" for cell in cells)
    yield ""
    for name, value in _others(figures):
        yield f"  {name:22} {value}"
    for kind, entries in snapshot["incidents"].items():
        yield ""
        yield f"  {kind}:"
        for entry in entries[:5]:
            yield f"    {entry['count']:6,} x {entry['text'][:160]}"
    for example in snapshot["violations"]["examples"]:
        yield ""
        yield f"  {example['kind']} in session {example['session']}"
        yield f"    {example['explanation']}"


def markdown(snapshot: dict[str, Any]) -> str:
    """Give the run for a pull request or a CI summary."""
    figures = snapshot["figures"]
    lines = [
        f"## {snapshot['verdict']}: {snapshot['url']}",
        "",
        f"{snapshot['because']}.",
        *(f"\n> {note}" for note in (*snapshot["notes"], *_limit(snapshot))),
        "",
        "| threshold | measured | |",
        "|---|---|---|",
        *(
            f"| `{one['text']}` | {figure_text(_metric(one['text']), one['actual'])} "
            f"| {'met' if one['met'] else '**missed**'} |"
            for one in snapshot["thresholds"]
        ),
        "",
        "| | " + " | ".join(_STATISTICS) + " |",
        "|---" * (len(_STATISTICS) + 1) + "|",
        *(
            f"| {name} | "
            + " | ".join(
                figure_text(f"{name}.{one}", figures[f"{name}.{one}"]) for one in _STATISTICS
            )
            + " |"
            for name in _TIMED
        ),
        "",
        *(f"- {name}: {value}" for name, value in _others(figures)),
    ]
    for example in snapshot["violations"]["examples"]:
        lines += ["", f"**{example['kind']}** in `{example['session']}`: {example['explanation']}"]
    return "\n".join(lines) + "\n"


def _others(figures: dict[str, float | None]) -> Iterator[tuple[str, str]]:
    for metric in (
        "requests.rate",
        "busy.rate",
        "sessions",
        "utilisation",
        "fairness.jain",
        "fairness.starvation",
        "races.count",
        "races.spread",
        "races.overlap",
        "stuck",
        "unanswered",
        "refused",
        "failed",
        "generator.lag",
        "generator.cpu",
    ):
        yield metric, figure_text(metric, figures[metric])


def _limit(snapshot: dict[str, Any]) -> Iterator[str]:
    if snapshot["limit"]:
        yield f"the generator, not the server, is the limit: {snapshot['limit']}"


def _metric(text: str) -> str:
    return text.rstrip("0123456789.ms u%").rstrip("<>=! ")
