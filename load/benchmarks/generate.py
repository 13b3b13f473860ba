"""One run of one generator in this process; prints what it did as one JSON object.

python load/benchmarks/generate.py bare|ours|stampede URL USERS SECONDS
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import gevent
from locust import FastHttpUser, constant, task
from locust.env import Environment

from onejob_contract.target import Target, parse_url
from onejob_fixtures.forms import encode, publish_parts
from onejob_load.batch import Batch, batch_to_json
from onejob_load.generator.generating import Generating
from onejob_load.generator.observer_process import ObserverProcess
from onejob_load.generator.requests import picture
from onejob_load.generator.users import HotSessions, ManySessions, Stampede
from onejob_load.settings import Settings

_FORM: Final = encode(publish_parts("bare", picture(1, 1), picture(2, 1)))
_HEADERS: Final = {"Content-Type": _FORM.content_type}
_OURS: Final[dict[str, tuple[Any, Settings]]] = {
    # Everybody but the first is refused: publish after publish, as the bare user does.
    "ours": (HotSessions, Settings(hot=1, hold=3600.0, think=0.0)),
    "crowd": (ManySessions, Settings(sessions=1000, hold=0.5, think=1.0)),
    "stampede": (Stampede, Settings(racers=32, hold=0.01, think=0.01)),
}


class Bare(FastHttpUser):
    """Posts one prebuilt body again and again."""

    wait_time = constant(0)

    @task
    def publish(self) -> None:
        """Post it."""
        self.client.post("/publish", data=_FORM.body, headers=_HEADERS)


def main(kind: str, url: str, users: int, seconds: float) -> dict[str, Any]:
    """Generate for some seconds."""
    user, settings = _OURS.get(kind, (Bare, Settings()))
    environment = Environment(user_classes=[user], host=url)
    runner = environment.create_local_runner()
    observer = ObserverProcess() if kind in _OURS else None
    _keep_to_one_core()

    def deliver(batch: Batch) -> None:
        if observer is not None:
            observer.tell("batch", batch_to_json(batch))

    generating = Generating(environment, deliver)
    with tempfile.TemporaryDirectory() as folder:
        if observer is not None:
            about = {
                "url": url,
                "settings": settings.as_json(),
                "started_at": "",
                "live_worker": False,
                "history": str(Path(folder) / "history.jsonl"),
            }
            observer.tell("start", about)
            generating.begin(settings, Target(parse_url(url)), f"b{time.monotonic_ns():x}")
        used, began = time.process_time(), time.monotonic()
        runner.start(users, 10_000)
        gevent.sleep(seconds)
        used, wall = time.process_time() - used, time.monotonic() - began
        requests, failures = runner.stats.total.num_requests, runner.stats.total.num_failures
        at_once = runner.user_count
        runner.stop()
        snapshot = {}
        if observer is not None:
            generating.end()
            snapshot = observer.finish()
            observer.close()
    return {
        "requests": requests,
        "failures": failures,
        "users": at_once,
        "seconds": wall,
        "cpu_seconds": used,
        "verdict": snapshot.get("verdict"),
        "because": snapshot.get("because"),
        "figures": snapshot.get("figures"),
    }


def _keep_to_one_core() -> None:
    """Leave the other cores to the server and to the observer, where the system knows how."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    kind_, url_, users_, seconds_ = sys.argv[1:]
    print(json.dumps(main(kind_, url_, int(users_), float(seconds_))))  # noqa: T201
