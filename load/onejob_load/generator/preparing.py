"""What must be right before a run starts, whether a command line or the web form asks for it."""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from locust.argument_parser import LocustArgumentParser

from onejob_contract.client import Client
from onejob_contract.documented import Answer
from onejob_contract.preflight import NotJudgeable, look
from onejob_contract.target import Target, UsageError, load_target, parse_url
from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import small_png
from onejob_load.settings import OPTIONS, Settings, settings_from

_WHO: Final = "load-preflight"
_WATCH_S: Final = 1.0
_POLL_S: Final = 0.05


class NotReady(Exception):
    """The target cannot be put to the test now: one sentence with the reason."""


def add_arguments(parser: LocustArgumentParser) -> None:
    """Add the options of the settings, and what a master hands to its workers."""
    for option in OPTIONS:
        parser.add_argument(
            option.flag,
            type=type(option.default),
            default=option.default,
            choices=option.choices or None,
            help=option.help.replace("%", "%%"),
        )
    parser.add_argument("--target-file", default="", include_in_web_ui=False, help="onejob.toml.")
    parser.add_argument("--report", default="", include_in_web_ui=False, help="Report directory.")
    for handed in ("--run-token", "--run-headers", "--run-worker"):
        parser.add_argument(handed, default="", include_in_web_ui=False, help=argparse.SUPPRESS)


def settings_of(options: argparse.Namespace, form: Mapping[str, str]) -> Settings:
    """Give the settings that options and a form ask for; the form wins. Raises SettingsError."""
    return settings_from({**vars(options), **form})


def target_of(options: argparse.Namespace, host: str | None) -> Target:
    """Give the target that options ask for. Raises UsageError."""
    if options.target_file:
        return load_target(Path(options.target_file), host)
    if host:
        return Target(parse_url(host))
    raise UsageError("there is no URL to test; give one, for example http://127.0.0.1:5000")


def hand_to_workers(options: argparse.Namespace, target: Target, settings: Settings) -> None:
    """Leave in the options what every worker needs and cannot know."""
    options.run_worker = settings.job_worker
    options.run_token = "l" + secrets.token_hex(4)
    options.run_headers = json.dumps(target.headers)


def handed_target(options: argparse.Namespace, host: str | None) -> Target:
    """Give the target as `hand_to_workers` left it; a worker need not have the target file."""
    headers = tuple((name, value) for name, value in json.loads(options.run_headers))
    return replace(Target(parse_url(host or "")), headers=headers)


def handed_settings(options: argparse.Namespace) -> Settings:
    """Give the settings as `hand_to_workers` left them."""
    return replace(settings_of(options, {}), job_worker=options.run_worker)


def who_completes(target: Target, settings: Settings) -> str:
    """Look at the target and say who completes jobs in this run: "harness" or "live".

    A live worker that finished a job unseen would look like a broken lock, so a job is watched for
    longer than this run will hold one.  Raises NotReady.
    """
    client = Client(target)
    watch_s = max(_WATCH_S, 2 * settings.hold)
    try:
        found = look(client, watch_s).surroundings
        if settings.job_worker != "auto":
            return settings.job_worker
        if found.live_worker or _finishes_by_itself(client, watch_s):
            return "live"
    except NotJudgeable as error:
        raise NotReady(str(error)) from None
    finally:
        client.close()
    if not found.update_status:
        raise NotReady(
            f"nobody completes jobs: /update_status is out of reach ({found.update_status_reason}) "
            f"and no worker finished a job in {watch_s:g} s; start one, or say --job-worker live"
        )
    return "harness"


def _finishes_by_itself(client: Client, watch_s: float) -> bool:
    session = f"onejob-load-{client.token}"
    form = encode(publish_parts(session, small_png(1), small_png(2)))
    job = client.publish(session, form, _WHO).granted_job
    deadline = time.monotonic() + watch_s
    while job is not None and time.monotonic() < deadline:
        if client.status(job, _WHO).answer is Answer.COMPLETED:
            return True
        time.sleep(_POLL_S)
    return False
