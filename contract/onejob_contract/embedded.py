"""The embedded reference: `onejob serve` and `onejob worker` as processes, gone when we are."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from onejob_contract.target import Target, UsageError, WorkerMode, parse_url

_READY_S: Final = 30.0
_STOP_S: Final = 5.0
_LISTENING: Final = "listening on "


@contextmanager
def embedded_reference(mode: WorkerMode) -> Iterator[tuple[Target, Callable[[], None] | None]]:
    """Start the reference on a free port in temporary folders. Raises UsageError.

    Unless the kit is told to play the worker, the reference's own worker runs until the checks
    that watch it are done: the second of the pair ends it.
    """
    if find_spec("flask") is None or find_spec("onejob_reference") is None:
        raise UsageError(
            "without a URL the reference is judged, which is not installed: "
            "pip install 'onejob[reference]', or name a URL."
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onejob-")))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ONEJOB_")},
            "ONEJOB_DATABASE": f"sqlite:///{folder / 'jobs.sqlite3'}",
            "ONEJOB_LOCK": "sql:",
            "ONEJOB_DISPATCH": "local:",
            "ONEJOB_UPLOAD_ROOT": str(folder / "uploads"),
            "ONEJOB_RESULT_ROOT": str(folder / "results"),
            "ONEJOB_BIND": "127.0.0.1:0",
        }
        (folder / "uploads").mkdir()
        line = _start(stack, "serve", environment, folder)[1]
        url = line.removeprefix(_LISTENING)
        end_worker = None
        if mode is not WorkerMode.HARNESS:
            worker, _ = _start(stack, "worker", {**environment, "ONEJOB_URL": url}, folder)
            end_worker = partial(_end, worker)
        target = Target(
            parse_url(url),
            worker=WorkerMode.LIVE if end_worker else WorkerMode.HARNESS,
            update_status=True,
            upload_root=folder / "uploads",
        )
        yield target, end_worker


def _start(
    stack: ExitStack, command: str, environment: Mapping[str, str], folder: Path
) -> tuple[subprocess.Popen[str], str]:
    """Start a subcommand, away from our Ctrl-C so that it reaches us first; its first line."""
    log = folder / f"{command}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "onejob_contract.cli", command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    stack.callback(_end, process)
    assert process.stdout is not None  # noqa: S101
    deadline = time.monotonic() + _READY_S
    ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
    line = process.stdout.readline().strip() if ready else ""
    if not line:
        tail = log.read_text("utf-8", "replace").strip()[-500:]
        raise UsageError(
            f"the embedded `onejob {command}` did not start: {tail or 'it said nothing'}"
        )
    return process, line


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
