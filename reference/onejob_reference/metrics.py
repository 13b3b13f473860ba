"""Prometheus metrics of all server processes, on a port of their own.

The processes share their counts through files in `PROMETHEUS_MULTIPROC_DIR`, which must be
set before this module is imported; whichever process is asked answers for all.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_requests = Counter("onejob_requests_total", "Requests answered.", ["operation", "status"])
_seconds = Histogram("onejob_request_seconds", "Time to answer a request.", ["operation"])


def count_requests(app: Flask) -> None:
    """Count every answer of the application by operation and status."""

    @app.before_request
    def begin() -> None:
        g.metrics_began = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        operation = (request.endpoint or "none").removeprefix("api.")
        _requests.labels(operation, response.status_code).inc()
        _seconds.labels(operation).observe(time.perf_counter() - g.metrics_began)
        return response


def forget_process(pid: int) -> None:
    """Drop the live values of a server process that ended; its counts stay."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


class MetricsPort:
    """WSGI middleware: requests to `port` get the metrics and nothing else."""

    def __init__(self, application: WSGIApplication, port: int) -> None:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        self._metrics = make_wsgi_app(registry)
        self._application = application
        self._port = str(port)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        is_for_metrics = environ["SERVER_PORT"] == self._port
        return (self._metrics if is_for_metrics else self._application)(environ, start_response)
