"""Write all files of a report into one folder."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from onejob_contract.history import write_history
from onejob_contract.report.document import document
from onejob_contract.report.html import page
from onejob_contract.report.junit import junit
from onejob_contract.report.markdown import summary
from onejob_contract.session import Session


def write_report(session: Session, started_at: datetime.datetime, folder: Path) -> None:
    """Write report.json, report.html, junit.xml, summary.md and history.jsonl. Raises OSError."""
    report = document(session, started_at)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(page(report), "utf-8")
    for entry in report["requirements"]:
        for evidence in entry["evidence"]:
            del evidence["picture"]  # for eyes only
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False), "utf-8")
    (folder / "junit.xml").write_text(junit(report), "utf-8")
    (folder / "summary.md").write_text(summary(report), "utf-8")
    with (folder / "history.jsonl").open("w", encoding="utf-8") as stream:
        write_history(session.client.history, stream)
