"""The report directory: report.json, report.html, summary.md and history.jsonl."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from onejob_load.page.render import report_page
from onejob_load.report.text import markdown


def write_report(snapshot: dict[str, Any], history: Path, directory: Path) -> None:
    """Write a finished run; `history` is copied. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(json.dumps(snapshot, indent=1) + "\n", "utf-8")
    (directory / "report.html").write_text(report_page(snapshot), "utf-8")
    (directory / "summary.md").write_text(markdown(snapshot), "utf-8")
    shutil.copyfile(history, directory / "history.jsonl")
