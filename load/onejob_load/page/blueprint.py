"""The page's routes in Locust's web UI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from onejob_load.page.render import live_page

Guard = Callable[[Callable[[], Response]], Callable[..., Any]]
"""Locust's decorator for routes that need a login where one is set up."""


def page_blueprint(latest: Callable[[], bytes], guard: Guard) -> Blueprint:
    """Give the page at `/`, and its data at `/data`: the newest snapshot as JSON."""
    blueprint = Blueprint("contention", __name__)

    @blueprint.route("/")
    @guard
    def show() -> Response:
        return Response(live_page(), mimetype="text/html")

    @blueprint.route("/data")
    @guard
    def data() -> Response:
        return Response(latest(), mimetype="application/json")

    return blueprint


def with_link(response: Response, path: str, base: str) -> Response:
    """Let Locust's own page lead to ours."""
    if path == f"{base}/" and response.status_code == 200 and response.mimetype == "text/html":
        link = (
            f'<a href="{base}/contention/" style="position:fixed;left:1rem;bottom:1rem;z-index:99;'
            "padding:.5rem 1rem;border-radius:.5rem;background:#15803d;color:#fff;"
            'font:600 14px system-ui;text-decoration:none">Contention: did the lock hold?</a>'
        )
        response.set_data(response.get_data(as_text=True).replace("</body>", f"{link}</body>"))
    return response
