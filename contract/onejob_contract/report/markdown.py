"""summary.md: the verdict for a pull request or a chat."""

from __future__ import annotations

from html import escape
from typing import Any


def summary(report: dict[str, Any]) -> str:
    """The report in Markdown, what is broken first."""
    counts: dict[str, int] = {}
    for entry in report["requirements"]:
        counts[entry["verdict"]] = counts.get(entry["verdict"], 0) + 1
    lines = [
        f"# {report['target']['url']}: {report['verdict']}",
        "",
        f"{report['because']}. Profile {report['profile']}, seed {report['seed']}, "
        f"{report['profile_of_target']['requests']} requests in {report['duration_s']:.1f} s; "
        + ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        + ".",
        "",
    ]
    for verdict in ("fail", "inconclusive"):
        entries = [e for e in report["requirements"] if e["verdict"] == verdict]
        if not entries:
            continue
        lines += [
            f"## {verdict}",
            "",
            "| requirement | sentence | what was seen |",
            "|---|---|---|",
        ]
        lines += [
            f"| {e['id']}{_mark(e)} | {_cell(e['title'])} | {_cell(e['reason'])} |" for e in entries
        ]
        lines.append("")
    return "\n".join(lines)


def _mark(entry: dict[str, Any]) -> str:
    if entry["known_failure"]:
        return f" (known: {_cell(entry['known_failure'])})"
    return f" (accepted: {_cell(entry['accepted'])})" if entry["accepted"] else ""


def _cell(text: str) -> str:
    return " ".join(escape(text, quote=False).replace("|", "\\|").split())
