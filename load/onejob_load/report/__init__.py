"""A finished run as files and as text: report.json, report.html, summary.md, history.jsonl."""
