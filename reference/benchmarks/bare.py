"""The yardstick: a handler that parses the form, saves two files, inserts one row and answers.

No lock, no rules, no log: the least any server of this API has to do for a publish. Run as
`python bare.py FOLDER`; prints 'listening on URL' and serves until SIGTERM.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

_local = threading.local()


def bare_app(folder: Path) -> Flask:
    """Build the application; rows go to a SQLite file in `folder`, uploads beside it."""
    app = Flask("bare")

    @app.post("/publish")
    def publish() -> ResponseReturnValue:
        job_id = str(uuid.uuid4())
        (folder / job_id).mkdir()
        for name in ("image1", "image2"):
            request.files[name].save(folder / job_id / name)
        if not hasattr(_local, "connection"):
            _local.connection = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
            _local.connection.execute("PRAGMA journal_mode = WAL")
            _local.connection.execute("PRAGMA synchronous = NORMAL")
            _local.connection.execute("CREATE TABLE IF NOT EXISTS jobs (job_id, session)")
        _local.connection.execute(
            "INSERT INTO jobs VALUES (?, ?)", (job_id, request.form["sessionId"])
        )
        return {"status": "processing", "jobId": job_id}

    return app


class BareServer(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn with the same worker class, threads and keep-alive as `onejob serve`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__()

    def load_config(self) -> None:
        """Choose what `onejob serve` chooses."""
        chosen = {
            "bind": "127.0.0.1:0",
            "worker_class": "gthread",
            "threads": 16,
            "keepalive": 75,
            "control_socket_disable": True,
            "post_worker_init": lambda worker: print(  # noqa: T201
                f"listening on {worker.sockets[0]}",
                flush=True,
            ),
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the application after the fork."""
        return bare_app(self._folder)


if __name__ == "__main__":
    BareServer(Path(sys.argv[1])).run()
