"""Locust's events, each led to the part that answers it."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import click
import gevent
from flask import Response, jsonify, request
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner
from locust.web import WebUI

from onejob_contract.target import Target, UsageError
from onejob_contract.verdict import Exit
from onejob_load.batch import Batch, batch_to_json
from onejob_load.generator import preparing
from onejob_load.generator.generating import Generating
from onejob_load.generator.observer_process import ObserverDied, ObserverProcess
from onejob_load.generator.preparing import NotReady
from onejob_load.generator.roll import Roll
from onejob_load.generator.shapes import PlannedShape
from onejob_load.generator.users import USERS
from onejob_load.page.blueprint import page_blueprint, with_link
from onejob_load.plan import SHAPES, Plan
from onejob_load.report.files import write_report
from onejob_load.report.text import summary_lines
from onejob_load.settings import Settings, SettingsError

_BATCH: Final = "onejob-batch"
_STOP: Final = "onejob-stop"
_SHAPE_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


def wire(events: Any) -> None:
    """Lead Locust's events to a load test of the session lock; called by the locustfile."""
    events.init_command_line_parser.add_listener(_on_parser)
    events.init.add_listener(_on_init)


def _on_parser(parser: LocustArgumentParser, **_: Any) -> None:
    preparing.add_arguments(parser)


def _on_init(environment: Environment, web_ui: WebUI | None = None, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        _Worker(environment, environment.runner)
        return
    leader = _Leader(environment)
    if web_ui is not None:
        leader.serve(web_ui)
    if _options(environment).headless:
        error = leader.prepare({})
        if error is not None:
            click.echo(f"onejob load: {error}", err=True)
            leader.close()
            not_ready = isinstance(error, NotReady)
            sys.exit(Exit.NOT_JUDGED if not_ready else Exit.USAGE)


class _Worker:
    """A Locust worker: generates, and hands everything to the master."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        self._environment = environment
        self._runner = runner
        self._generating = Generating(environment, self._hand_on)
        runner.register_message(_STOP, self._stop, concurrent=True)
        events: Any = environment.events
        events.test_start.add_listener(self._begin)
        events.test_stop.add_listener(self._end)

    def _begin(self, **_: Any) -> None:
        options = _options(self._environment)
        target = preparing.handed_target(options, self._environment.host)
        self._generating.begin(preparing.handed_settings(options), target, options.run_token)

    def _hand_on(self, batch: Batch) -> None:
        self._runner.send_message(_BATCH, batch_to_json(batch))

    def _stop(self, **_: Any) -> None:
        self._runner.stop()

    def _end(self, **_: Any) -> None:
        self._generating.end()


class _Leader:
    """The master, or the only process: prepares runs, feeds the observer, keeps its verdict."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._observer = ObserverProcess()
        self._files = contextlib.ExitStack()
        self._history = Path()
        self._ready: tuple[Settings, Target] | None = None
        self._exit: Exit | None = None
        self._running = False
        self._roll = Roll()
        self._held: list[dict[str, Any]] = []
        self._generating: Generating | None = None
        runner = environment.runner
        if isinstance(runner, LocalRunner):
            self._generating = Generating(environment, self._take)
        elif isinstance(runner, MasterRunner):
            runner.register_message(_BATCH, self._on_batch)
            gevent.spawn(self._watch)
        events: Any = environment.events
        events.worker_connect.add_listener(self._expect)
        events.test_start.add_listener(self._begin)
        events.test_stop.add_listener(self._end)
        events.quitting.add_listener(self._quit)

    def serve(self, web_ui: WebUI) -> None:
        """Add the contention page to the web UI, and look at its form before a run starts."""
        base = _options(self._environment).web_base_path or ""
        guard = web_ui.auth_required_if_enabled
        assert web_ui.app is not None  # noqa: S101 (Locust fires init after making it)
        web_ui.app.register_blueprint(
            page_blueprint(lambda: self._observer.latest, guard), url_prefix=f"{base}/contention"
        )
        web_ui.app.after_request(lambda response: with_link(response, request.path, base))

        @web_ui.app.before_request
        def look_at_form() -> Response | None:
            if request.method != "POST" or request.path != f"{base}/swarm":
                return None
            error = self.prepare(request.form)
            if error is None:
                return None
            return jsonify(
                {"success": False, "message": str(error), "host": request.form.get("host")}
            )

    def prepare(self, form: Mapping[str, str]) -> Exception | None:
        """Get ready for the run that options and form ask for; give what speaks against it."""
        environment, options = self._environment, _options(self._environment)
        try:
            settings = preparing.settings_of(options, form)
            target = preparing.target_of(options, form.get("host") or environment.host)
            plan = _plan(settings, options, form)
            settings = replace(settings, job_worker=preparing.who_completes(target, settings))
        except (SettingsError, UsageError, NotReady) as error:
            return error
        environment.host = str(target.origin)
        environment.shape_class = None
        if plan is not None:
            environment.shape_class = PlannedShape(plan)
            environment.shape_class.runner = environment.runner
        weights = settings.weights()
        if settings.job_worker == "live":
            weights.pop("late_repeats", None)
        for user in USERS:
            user.weight = weights.get(user.scenario, 0)
        environment.user_classes = [user for user in USERS if user.weight]
        preparing.hand_to_workers(options, target, settings)
        self._ready = settings, target
        return None

    def close(self) -> None:
        """End the observer and remove what nobody asked to keep."""
        self._observer.close()
        self._files.close()

    def _begin(self, **_: Any) -> None:
        if self._ready is None:
            raise RuntimeError("a run starts only after prepare")
        settings, target = self._ready
        self._running = True
        self._roll, self._held = Roll(_workers(self._environment)), []
        self._files.close()
        folder = self._files.enter_context(tempfile.TemporaryDirectory(prefix="onejob-load-"))
        self._history = Path(folder) / "history.jsonl"
        now = datetime.datetime.now(datetime.UTC)
        run = {
            "url": str(target.origin),
            "settings": settings.as_json(),
            "started_at": now.isoformat(timespec="seconds"),
            "live_worker": settings.job_worker == "live",
            "history": str(self._history),
        }
        self._observer.tell("start", run)
        if self._generating is not None:
            self._generating.begin(settings, target, _options(self._environment).run_token)

    def _expect(self, client_id: str, **_: Any) -> None:
        """Wait for the first word of a worker that connects in mid-run."""
        if self._running:
            self._roll.expect(client_id)

    def _on_batch(self, msg: Any, **_: Any) -> None:
        self._roll.hear(msg.node_id, msg.data["generator"], last=msg.data["last"])
        self._held.append(msg.data)
        self._hand_on()

    def _take(self, batch: Batch) -> None:
        self._observer.tell("batch", batch_to_json(batch))

    def _hand_on(self) -> None:
        if self._roll.is_complete:
            for batch in self._held:
                self._observer.tell("batch", batch)
            self._held = []

    def _watch(self) -> None:
        while True:
            gevent.sleep(1.0)
            for name in self._roll.lost():
                logger.error("the Locust worker %s was lost", name)
                self._observer.tell("lost", name)
            self._hand_on()

    def _end(self, **_: Any) -> None:
        if not self._running:
            return  # Locust stops once more when it quits, whether or not anything ran.
        self._running = False
        if self._generating is not None:
            self._generating.end()
        else:
            self._await_workers()
        try:
            snapshot = self._observer.finish()
        except ObserverDied as error:
            click.echo(f"onejob load: {error}", err=True)
            self._exit = Exit.KIT_FAULT
            return
        self._exit = Exit(snapshot["exit_code"])
        for line in summary_lines(snapshot):
            click.echo(line)
        report = _options(self._environment).report
        if report:
            try:
                write_report(snapshot, self._history, Path(report))
                click.echo(f"report in {report}")
            except OSError as error:
                click.echo(f"onejob load: cannot write the report: {error}", err=True)
                self._exit = Exit.KIT_FAULT

    def _await_workers(self) -> None:
        """Have all workers stop and wait for their last batch; `_watch` gives up on lost ones."""
        runner = self._environment.runner
        if isinstance(runner, MasterRunner):
            runner.send_message(_STOP)
        while not self._roll.is_over:
            gevent.sleep(0.05)

    def _quit(self, **_: Any) -> None:
        if self._running and self._environment.runner is not None:
            # A signal ends Locust in mid-run; what was recorded is judged all the same.
            self._environment.runner.stop()
        self._environment.process_exit_code = 0 if self._exit is None else int(self._exit)
        self.close()


def _options(environment: Environment) -> argparse.Namespace:
    """Give what the command line asks for; Locust has parsed it before it fires any event."""
    return cast("argparse.Namespace", environment.parsed_options)


def _workers(environment: Environment) -> list[str]:
    """Give the Locust workers that a run begins with."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        return []
    clients = runner.clients
    return [one.id for one in (*clients.ready, *clients.spawning, *clients.running)]


def _plan(settings: Settings, options: Any, form: Mapping[str, str]) -> Plan | None:
    if settings.load_shape == "constant":
        return None
    try:
        users = int(form.get("user_count") or options.num_users or 1)
        rate = float(form.get("spawn_rate") or options.spawn_rate or 1)
    except ValueError as error:
        raise SettingsError(f"users and spawn rate must be numbers: {error}") from None
    seconds = float(options.run_time or _SHAPE_SECONDS)
    return Plan(SHAPES[settings.load_shape], users, seconds, rate)
