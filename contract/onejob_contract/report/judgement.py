"""The report on judged histories: a page with the picture, JSON, and a summary in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from onejob_contract.history import Operation, operation_to_json
from onejob_contract.linearizability import Judgement, Verdict
from onejob_contract.timeline import timeline

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
td, th { text-align: left; padding: .3rem .6rem; } code { overflow-wrap: anywhere; }
.violation { color: light-dark(#c62828, #ff8a80); }
.linearizable { color: light-dark(#2e7d32, #81c784); }
.undecided { color: light-dark(#b26a00, #ffb74d); }
"""


@dataclass(frozen=True, slots=True)
class JudgedHistory:
    """One history file, what was found of it, and the operations it holds."""

    file: str
    judgement: Judgement
    operations: tuple[Operation, ...]
    live_worker: bool

    def to_json(self) -> dict[str, Any]:
        """Give the line that `onejob judge --json` prints."""
        found = self.judgement
        return {
            "file": self.file,
            "verdict": str(found.verdict),
            "operations": found.operations,
            "seconds": round(found.seconds, 6),
            "witness": [operation_to_json(operation) for operation in found.witness],
            "explanation": found.explanation,
        }

    def sentence(self) -> str:
        """Say the verdict, and why, to a person at a terminal."""
        found = self.judgement
        count = f"{found.operations} operation{'' if found.operations == 1 else 's'}"
        verdict = {
            Verdict.LINEARIZABLE: "linearizable",
            Verdict.VIOLATION: "not linearizable",
            Verdict.UNDECIDED: "undecided",
        }[found.verdict]
        why = f"\n  {found.explanation}" if found.explanation else ""
        return f"{self.file}: {verdict} ({count}, {found.seconds:.3f} s){why}"

    def picture(self) -> str:
        """Draw the history around its witness as an SVG element."""
        found = self.judgement
        return timeline(
            self.operations, found.witness, session=found.session, live_worker=self.live_worker
        )


def write_judgements(histories: Sequence[JudgedHistory], folder: Path) -> None:
    """Write report.html, report.json and summary.md into the folder; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {"schema": 1, "histories": [history.to_json() for history in histories]}
    (folder / "report.html").write_text(_page(histories), "utf-8")
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False), "utf-8")
    (folder / "summary.md").write_text(_summary(histories), "utf-8")


def _page(histories: Iterable[JudgedHistory]) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>onejob judge</title><style>{_STYLE}</style><h1>Judged histories</h1>",
    ]
    for history in histories:
        found = history.judgement
        parts.append(
            f"<section><h2><span class={found.verdict}>{found.verdict}</span> "
            f"<code>{escape(history.file)}</code></h2>"
            f"<p>{found.operations} operations, judged in {found.seconds:.3f} s.</p>"
            f"<p>{escape(found.explanation)}</p>{history.picture()}"
        )
        if found.witness:
            parts.append(_witness_table(found.witness))
        parts.append("</section>")
    return "\n".join([*parts, "</html>"])


def _witness_table(witness: Iterable[Operation]) -> str:
    columns = ("client", "operation", "job", "url", "outcome", "invoked_ns", "returned_ns")
    rows = [
        "".join(f"<td>{escape(str(operation_to_json(operation)[name]))}" for name in columns)
        for operation in witness
    ]
    head = "".join(f"<th>{name}" for name in columns)
    return f"<h3>Witness</h3><table><tr>{head}" + "".join(f"<tr>{r}" for r in rows) + "</table>"


def _summary(histories: Iterable[JudgedHistory]) -> str:
    lines = ["| history | verdict | operations | why |", "|---|---|---|---|"]
    for history in histories:
        found = history.judgement
        cells = (history.file, found.verdict, str(found.operations), found.explanation)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return escape(text, quote=False).replace("|", "\\|").replace("\n", " ")
