"""Break and mend what the owner of the target says how to break and mend."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from onejob_contract import leftovers
from onejob_contract.client import Client
from onejob_contract.findings import HealFailed, Unobservable
from onejob_contract.target import Fault
from onejob_contract.wire import Connection, Origin, Request, WireError

_WHO: Final = "faults"
_PAUSE_S: Final = 0.05
_SHOWN: Final = 500
"""So many characters of what a command said are told, the last ones."""


@contextmanager
def injected(fault: Fault, client: Client) -> Iterator[str]:
    """Inject a fault for the body, which gets what inject said, and heal it for sure.

    Raises Unobservable if it cannot be injected, HealFailed.
    """
    _note(fault, client)
    try:
        try:
            said = _do(fault.inject, fault.timeout_s, client)
        except _Failed as failed:
            raise Unobservable(f"the fault {fault.name} could not be injected: {failed}") from None
        yield said
    finally:
        with _undisturbed():
            heal(fault, client)


def heal(fault: Fault, client: Client) -> None:
    """Mend a fault and wait until the server answers again. Raises HealFailed."""
    deadline = time.monotonic() + fault.timeout_s
    try:
        _healed(fault, client, deadline)
        while client.send(Request("GET", "/health"), _WHO).response is None:
            if time.monotonic() > deadline:
                raise _Failed(f"the server did not answer /health within {fault.timeout_s:g} s")
            time.sleep(_PAUSE_S)
    except _Failed as failed:
        raise HealFailed(
            f"the fault {fault.name} could not be healed: {failed}. The server may still be "
            f"broken. Heal it by hand ({fault.heal}), then tell the kit with `onejob doctor "
            f"{client.target.origin} --heal`"
        ) from None
    leftovers.forget(str(client.target.origin), fault.name)


class _Failed(Exception):
    pass


def _note(fault: Fault, client: Client) -> None:
    """Note the fault before it is injected; another run that has it injected is waited for."""
    target = str(client.target.origin)
    deadline = time.monotonic() + fault.timeout_s
    while True:
        try:
            leftovers.note(target, fault)
        except FileExistsError:
            others = [one for one in leftovers.leftovers(target) if one.fault.name == fault.name]
            if others and (not others[0].is_in_use or time.monotonic() > deadline):
                raise Unobservable(f"{others[0].told()}") from None
            time.sleep(_PAUSE_S)
        except OSError as error:
            raise Unobservable(
                f"the fault {fault.name} was not injected: a kit that is killed could not tell of "
                f"it, since {leftovers.folder()} cannot be written ({error.strerror}); set "
                "XDG_STATE_HOME to a folder that can"
            ) from None
        else:
            return


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM to the end of the body; only the main thread gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    put_off: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: put_off.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if put_off:
        raise KeyboardInterrupt


def _healed(fault: Fault, client: Client, deadline: float) -> None:
    """Heal once; a URL again while it cannot be reached: its server may be starting."""
    while True:
        try:
            _do(fault.heal, max(_PAUSE_S, deadline - time.monotonic()), client)
        except _Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


class _Unreachable(_Failed):
    pass


def _do(action: str, timeout_s: float, client: Client) -> str:
    """Run a command, or POST to a URL; give what it said. Raises _Failed with that."""
    if action.startswith(("http://", "https://")):
        return _post(action, timeout_s, client)
    # What it leaves running keeps its output, so a pipe might never end.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S602 (the owner's own command)
            action,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        said = output.read().decode("utf-8", "replace").strip()[-_SHOWN:]
    if code is None:
        raise _Failed(
            f"{action!r} did not end within {timeout_s:g} s; it said: {said or 'nothing'}"
        )
    if code:
        raise _Failed(f"{action!r} ended with {code}; it said: {said or 'nothing'}")
    return said


def _post(url: str, timeout_s: float, client: Client) -> str:
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
        raise _Unreachable(f"POST {url}: {error.detail}") from None
    said = response.body.decode("utf-8", "replace")[:_SHOWN]
    if response.status >= 300:
        raise _Failed(f"POST {url} answered {response.status}: {said}")
    return said
