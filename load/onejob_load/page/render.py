"""The page as one self-contained HTML file: style, script and perhaps data are put inside."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def live_page() -> str:
    """Give the page that asks for data again and again."""
    return _page("null")


def report_page(snapshot: dict[str, Any]) -> str:
    """Give the page with the data of a finished run inside."""
    # A closing tag inside a string of the data would end the script.
    return _page(json.dumps(snapshot).replace("</", "<\\/"))


def _page(data: str) -> str:
    folder = files("onejob_load.page")
    page, style, script = (
        folder.joinpath(name).read_text("utf-8") for name in ("page.html", "page.css", "page.js")
    )
    return (
        page.replace("/* style */", style)
        .replace("/* data */", data)
        .replace("/* script */", script)
    )
