"""Serve the application with gunicorn: threads, keep-alive, graceful stop."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from onejob_reference import logs
from onejob_reference.app import create_app
from onejob_reference.database import Database
from onejob_reference.gateway import GatewayWorker
from onejob_reference.schema import create_tables
from onejob_reference.settings import Settings

_KEEP_ALIVE_S = 75
_GRACE_S = 10


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """The gunicorn arbiter for one `Settings`; `run()` returns when it was told to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.max_upload = settings.max_upload
        self._announced = mmap.mmap(-1, 1)  # shared with the server processes
        self._counts = ""  # folder of the processes' counts
        if settings.metrics_port is not None:
            self._counts = tempfile.mkdtemp(prefix="onejob-metrics-")
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = self._counts
        super().__init__()

    def load_config(self) -> None:
        """Translate our settings into gunicorn's."""
        settings = self._settings
        chosen = {
            "bind": self._addresses(),
            "workers": settings.processes,
            "threads": settings.threads,
            "worker_class": "onejob_reference.gateway.GatewayWorker",
            "keepalive": _KEEP_ALIVE_S,
            "graceful_timeout": _GRACE_S,
            "limit_request_line": 8190,
            "certfile": settings.certificate and str(settings.certificate),
            "keyfile": settings.private_key and str(settings.private_key),
            "control_socket_disable": True,
            "proc_name": "onejob serve",
            "logger_class": "onejob_reference.gateway.GatewayLogger",
            "post_worker_init": self._announce,
            "child_exit": self._forget,
            "on_exit": self._clean_up,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application in a server process, after the fork."""
        logs.configure()
        app = create_app(self._settings)
        if self._settings.metrics_port is not None:
            from onejob_reference import metrics  # noqa: PLC0415 - reads the environment

            metrics.count_requests(app)
            app.wsgi_app = metrics.MetricsPort(  # type: ignore[method-assign]
                app.wsgi_app, self._settings.metrics_port
            )
        return app

    def _addresses(self) -> list[str]:
        if self._settings.metrics_port is None:
            return [self._settings.bind]
        host = self._settings.bind.rpartition(":")[0]
        return [self._settings.bind, f"{host}:{self._settings.metrics_port}"]

    def _announce(self, worker: GatewayWorker) -> None:
        """Tell whoever started us where we listen, once the first process takes requests."""
        if self._announced[0] == 0:
            self._announced[0] = 1
            print(f"listening on {worker.sockets[0]}", flush=True)  # noqa: T201 - the parent reads

    def _forget(self, _arbiter: object, worker: GatewayWorker) -> None:
        if self._settings.metrics_port is not None:
            from onejob_reference import metrics  # noqa: PLC0415 - reads the environment

            metrics.forget_process(worker.pid)

    def _clean_up(self, _arbiter: object) -> None:
        if self._counts:
            shutil.rmtree(self._counts, ignore_errors=True)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.configure()
    database = Database(settings.database)
    create_tables(database)
    database.close()
    create_app(settings)  # a setting that cannot work is told here, not by a server process
    Server(settings).run()
