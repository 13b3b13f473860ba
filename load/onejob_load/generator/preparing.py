"""What must be right before a run starts, whether a command line or the web form asks for it."""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from locust.argument_parser import LocustArgumentParser

from onejob_contract.target import Target, UsageError, load_target, parse_url
from onejob_contract.wire import WireError
from onejob_load.generator.wire import Connection
from onejob_load.settings import OPTIONS, Settings, settings_from


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
    for handed in ("--run-token", "--run-headers"):
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


def hand_to_workers(options: argparse.Namespace, target: Target) -> None:
    """Leave in the options what every worker needs and cannot know."""
    options.run_token = "l" + secrets.token_hex(4)
    options.run_headers = json.dumps(target.headers)


def handed_target(options: argparse.Namespace, host: str | None) -> Target:
    """Give the target as `hand_to_workers` left it; a worker need not have the target file."""
    headers = tuple((name, value) for name, value in json.loads(options.run_headers))
    return replace(Target(parse_url(host or "")), headers=headers)


def must_answer(target: Target) -> None:
    """Ask the target for its health. Raises NotReady when it gives no HTTP answer."""
    origin = target.origin
    headers = "".join(f"{name}: {value}\r\n" for name, value in target.headers)
    request = (
        f"GET {origin.prefix}/health HTTP/1.1\r\nHost: {origin.authority}\r\n{headers}"
        "Connection: close\r\n\r\n"
    )
    try:
        connection = Connection(origin, min(5.0, target.response_timeout_s))
        connection.send(request.encode())
        response, _ = connection.receive()
        connection.close()
    except WireError as error:
        raise NotReady(f"{origin} does not answer: {error.detail}") from None
    if response.status == 404:
        raise NotReady(f"{origin} knows no /health (404): is this the base URL of the API?")
