"""junit.xml: one test case per requirement, for CI systems."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: dict[str, Any]) -> str:
    """The report as JUnit XML. Inconclusive counts as an error, never as a pass or a skip."""
    entries = report["requirements"]
    suite = ET.Element(
        "testsuite",
        name=f"onejob {report['target']['url']}",
        tests=str(len(entries)),
        failures=str(sum(e["verdict"] == "fail" and not e["known_failure"] for e in entries)),
        errors=str(sum(e["verdict"] == "inconclusive" and not e["accepted"] for e in entries)),
        skipped=str(sum(_skipped(e) != "" for e in entries)),
        time=str(report["duration_s"]),
        timestamp=report["started_at"],
    )
    for entry in entries:
        case = ET.SubElement(suite, "testcase", classname=entry["operation"], name=entry["id"])
        if _skipped(entry):
            ET.SubElement(case, "skipped", message=_clean(_skipped(entry)))
        elif entry["verdict"] == "fail":
            failure = ET.SubElement(case, "failure", message=_clean(entry["reason"]))
            failure.text = _clean("\n".join(_lines(entry)))
        elif entry["verdict"] == "inconclusive":
            ET.SubElement(case, "error", message=_clean(entry["reason"]))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _skipped(entry: dict[str, Any]) -> str:
    if entry["verdict"] == "not-applicable":
        return str(entry["reason"])
    if entry["verdict"] == "fail" and entry["known_failure"]:
        return f"known failure: {entry['known_failure']}"
    if entry["verdict"] == "inconclusive" and entry["accepted"]:
        return f"accepted as unobserved: {entry['accepted']}"
    return ""


def _lines(entry: dict[str, Any]) -> list[str]:
    lines = [entry["title"]]
    for evidence in entry["evidence"]:
        lines += [f"expected: {evidence['expected']}", f"actual: {evidence['actual']}"]
        for step in evidence["steps"]:
            lines += [f"{step['request']} -> {step['response']}", step["curl"]]
    return lines


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
