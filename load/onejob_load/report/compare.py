"""Two saved runs side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from onejob_load.observer.observing import SCHEMA_VERSION
from onejob_load.report.words import figure_text

_COMPARED: Final = (
    "violations",
    "unexpected",
    "unanswered",
    "requests.rate",
    "granted.count",
    "granted.p50",
    "granted.p95",
    "granted.p99",
    "busy.rate",
    "busy.p95",
    "update.p95",
    "status.p95",
    "hold.p50",
    "gap.p50",
    "gap.p95",
    "utilisation",
    "fairness.jain",
    "fairness.starvation",
    "races.count",
    "races.spread",
)


class NotAReport(Exception):
    """A file that is no saved run: one sentence that says why."""


def comparison_lines(before: Path, after: Path) -> Iterator[str]:
    """Give the figures of both runs and how they changed. Raises NotAReport."""
    first, second = _read(before), _read(after)
    yield f"before  {first['verdict']:13} {first['url']}  {first['started_at']}"
    yield f"after   {second['verdict']:13} {second['url']}  {second['started_at']}"
    changed = sorted(
        name
        for name in first["settings"].keys() | second["settings"].keys()
        if first["settings"].get(name) != second["settings"].get(name)
    )
    for name in changed:
        yield (
            f"        {name}: {first['settings'].get(name)} before, "
            f"{second['settings'].get(name)} after: the runs differ in more than the server"
        )
    yield ""
    yield f"{'':22}{'before':>14}{'after':>14}{'change':>12}"
    for metric in _COMPARED:
        old, new = first["figures"].get(metric), second["figures"].get(metric)
        cells = figure_text(metric, old), figure_text(metric, new), _change(old, new)
        yield f"{metric:22}{cells[0]:>14}{cells[1]:>14}{cells[2]:>12}"


def _change(old: float | None, new: float | None) -> str:
    if old is None or new is None:
        return "-"
    if old == new:
        return "="
    return f"{(new - old) / old * 100:+.1f} %" if old else "new"


def _read(path: Path) -> dict[str, Any]:
    file = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise NotAReport(f"cannot read {file}: {error.strerror}.") from None
    except ValueError:
        raise NotAReport(f"{file} is no JSON; give the report.json of a saved run.") from None
    if not isinstance(report, dict) or "figures" not in report or "settings" not in report:
        raise NotAReport(f"{file} is no report of `onejob load`.")
    if report.get("schema") != SCHEMA_VERSION:
        raise NotAReport(f"{file} has the schema {report.get('schema')}, not {SCHEMA_VERSION}.")
    return report
