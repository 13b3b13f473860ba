"""report.html: the report as one self-contained page."""

from __future__ import annotations

from html import escape
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; }
:root { --fail: #c62828; --pass: #2e7d32; --open: #b26a00; }
@media (prefers-color-scheme: dark) { :root { --fail: #ff8a80; --pass: #81c784; --open: #ffb74d; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; }
.sentence { min-width: 18rem; }
th, td { border-bottom: 1px solid var(--line); }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
code, pre { overflow-wrap: anywhere; white-space: pre-wrap; }
.fail, .nonconformant { color: var(--fail); } .pass, .conformant { color: var(--pass); }
.inconclusive { color: var(--open); } .not-applicable { opacity: .6; }
details { margin: .4rem 0; } summary { cursor: pointer; }
section.broken { border-left: 4px solid var(--fail); padding-left: 1rem; margin: 1.5rem 0; }
dt { opacity: .7; } dd { margin: 0 0 .4rem 0; }
"""


def page(report: dict[str, Any]) -> str:
    """The report as HTML: verdict first, then what is broken, then everything else."""
    title = f"{report['target']['url']}: {report['verdict']}"
    broken = [entry for entry in report["requirements"] if entry["verdict"] == "fail"]
    run, url = report["target"]["run"], escape(report["target"]["url"])
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1><span class={report['verdict']}>{report['verdict']}</span> {url}</h1>",
        f"<p>{escape(report['because'])}. Profile {escape(report['profile'])},",
        f"seed {report['seed']}, run {escape(run)},",
        f"{report['profile_of_target']['requests']} requests in {report['duration_s']:.1f} s,",
        f"{escape(report['started_at'])}.</p>",
        *(_broken(entry) for entry in broken),
        "<h2>Requirements</h2><table><tr><th>requirement<th>verdict",
        "<th class=sentence>sentence<th>reason</tr>",
        *(_row(entry) for entry in report["requirements"]),
        "</table><h2>Profile of the target</h2><table>",
        *(
            f"<tr><td>{escape(str(key)).replace('_', ' ')}<td>{escape(str(value))}</tr>"
            for key, value in report["profile_of_target"].items()
            if key != "open"
        ),
        "</table>",
        *_open(report["profile_of_target"]["open"]),
        "<h2>Checks</h2><table><tr><th>check<th>ending<th>seconds<th>notes</tr>",
        *(
            f"<tr><td><code>{escape(check['check'])}</code><td>{escape(check['ending'])}"
            f"<td>{check['seconds']:.2f}<td>{escape(check['cut_short'] or check['reason'])}</tr>"
            for check in report["checks"]
        ),
        "</table></html>",
    ]
    return "\n".join(parts)


def _open(answers: dict[str, str]) -> list[str]:
    if not answers:
        return []
    return [
        "<h2>What the document leaves open</h2>",
        "<p>Observed once each, never judged: correct servers differ in it.</p><table>",
        *(
            f"<tr><td>{escape(question)}<td><code>{escape(answer)}</code></tr>"
            for question, answer in answers.items()
        ),
        "</table>",
    ]


def _broken(entry: dict[str, Any]) -> str:
    parts = [
        f"<section class=broken id={escape(entry['id'])}><h2>{escape(entry['id'])}</h2>",
        f"<p>{escape(entry['title'])} ",
        f"<small>({escape(entry['level'])}; {escape(entry['section'])})</small></p>",
    ]
    for evidence in entry["evidence"]:
        parts.append(
            f"<dl><dt>expected<dd><code>{escape(evidence['expected'])}</code>"
            f"<dt>actual<dd><code>{escape(evidence['actual'])}</code>"
            + "".join(
                f"<dt>{what}<dd>{escape(evidence[what])}"
                for what in ("seen", "note")
                if evidence[what]
            )
            + "</dl><ol>"
        )
        parts += [
            f"<li><code>{escape(step['request'])}</code> &rarr; "
            f"<code>{escape(step['response'])}</code>"
            f"<details><summary>curl, request id</summary><pre>{escape(step['curl'])}</pre>"
            f"<code>{escape(step['request_id'])}</code></details></li>"
            for step in evidence["steps"]
        ]
        parts.append("</ol>" + evidence.get("picture", ""))
    return "".join([*parts, "</section>"])


def _row(entry: dict[str, Any]) -> str:
    reason = entry["reason"] or entry["accepted"]
    return (
        f"<tr><td><code>{escape(entry['id'])}</code><td class={entry['verdict']}>{entry['verdict']}"
        f"<td>{escape(entry['title'])}<td>{escape(reason)}</tr>"
    )
