"""The API's documentation in the browser: Swagger UI on the project's own specification.

Everything comes from installed packages; the page needs no network beyond this server.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory
from flask.typing import ResponseReturnValue
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

_HERE = Path(__file__)
_INSTALLED = _HERE.parents[1] / "onejob_spec" / "openapi.yaml"
_IN_THE_REPOSITORY = _HERE.parents[2] / "spec" / "openapi.yaml"
_DEFAULT_SERVER = "url: http://127.0.0.1:5000\n    description: The document's default port."
_THIS_SERVER = "url: ..\n    description: This server."
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>onejob: API documentation</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "docs/openapi.yaml", dom_id: "#swagger-ui"})</script>
</html>
"""


def documentation() -> Blueprint:
    """Return the routes `/docs` and `/openapi.yaml`."""
    specification = (_INSTALLED if _INSTALLED.exists() else _IN_THE_REPOSITORY).read_text("utf-8")
    routes = Blueprint("documentation", __name__)

    @routes.get("/docs")
    def page() -> ResponseReturnValue:
        return Response(_PAGE, mimetype="text/html")

    @routes.get("/openapi.yaml")
    def contract() -> ResponseReturnValue:
        return Response(specification, mimetype="application/yaml")

    @routes.get("/docs/openapi.yaml")
    def contract_for_the_page() -> ResponseReturnValue:
        # The packaged Swagger UI shows nothing that calls itself 3.1, and shows this as 3.0 well.
        shown = specification.replace("openapi: 3.1.0", "openapi: 3.0.3", 1)
        # What is tried out on the page goes to this server, not to the document's default port.
        shown = shown.replace(_DEFAULT_SERVER, _THIS_SERVER, 1)
        return Response(shown, mimetype="application/yaml")

    @routes.get("/docs/<name>")
    def asset(name: str) -> ResponseReturnValue:
        return send_from_directory(swagger_ui_path, name)

    return routes
