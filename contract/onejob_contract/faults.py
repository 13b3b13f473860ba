"""Break and mend what the owner of the target says how to break and mend."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from onejob_contract.client import Client
from onejob_contract.findings import Unobservable
from onejob_contract.target import Fault
from onejob_contract.wire import Connection, Origin, Request, WireError


class HealFailed(Exception):
    """A fault could not be mended: the run must stop and say how to clean up."""


@contextmanager
def injected(fault: Fault, client: Client) -> Iterator[None]:
    """Inject a fault for the body and heal it for sure. Raises Unobservable, HealFailed."""
    try:
        _do(fault.inject, fault.timeout_s, client)
    except _Failed as failed:
        _heal(fault, client)
        raise Unobservable(f"the fault {fault.name} could not be injected: {failed}") from None
    except BaseException:
        _heal(fault, client)
        raise
    try:
        yield
    finally:
        _heal(fault, client)


class _Failed(Exception):
    pass


def _heal(fault: Fault, client: Client) -> None:
    try:
        _do(fault.heal, fault.timeout_s, client)
    except _Failed as failed:
        raise HealFailed(
            f"the fault {fault.name} could not be healed: {failed}. Heal it by hand: {fault.heal}"
        ) from None


def _do(action: str, timeout_s: float, client: Client) -> None:
    """Run a command, or POST to a URL. Raises _Failed with its output."""
    if action.startswith(("http://", "https://")):
        _post(action, timeout_s, client)
        return
    try:
        done = subprocess.run(  # noqa: S602 (the owner's own command)
            action, shell=True, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise _Failed(f"{action!r} did not end within {timeout_s:g} s") from None
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-500:]
        raise _Failed(f"{action!r} ended with {done.returncode}: {output or 'no output'}")


def _post(url: str, timeout_s: float, client: Client) -> None:
    origin = Origin.parse(url)
    deadline = time.monotonic() + timeout_s
    try:
        connection = Connection(Origin(origin.scheme, origin.host, origin.port), deadline)
        try:
            connection.send(Request("POST", origin.prefix, client.target.headers), deadline)
            response = connection.receive(deadline)
        finally:
            connection.close()
    except WireError as error:
        raise _Failed(f"POST {url}: {error.detail}") from None
    if response.status >= 300:
        raise _Failed(f"POST {url} answered {response.status}: {response.body[:200]!r}")
