"""The implementation under test, as its owner describes it: options and the target file."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from onejob_contract.catalogue import requirements
from onejob_contract.wire import Origin


class UsageError(Exception):
    """The kit was asked for something it cannot do: one sentence with the way out (exit 2)."""


class WorkerMode(StrEnum):
    """Who completes jobs: the kit, the server's own worker, or whoever turns out to."""

    AUTO = "auto"
    HARNESS = "harness"
    LIVE = "live"


FAULTS: Final = (
    "job_dir",
    "save_files",
    "database",
    "broker",
    "lock_backend",
    "server_restart",
    "worker_stop",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """How to break and mend one thing: shell commands or URLs that are POSTed to; seconds."""

    name: str
    inject: str
    heal: str
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of the implementation under test before the first request.

    `update_status` is None until it was tried. `accepted` maps requirement ids that may stay
    unobserved to the owner's reason. Timeouts are seconds. `thresholds` is for load tests.
    """

    origin: Origin
    headers: tuple[tuple[str, str], ...] = ()
    worker: WorkerMode = WorkerMode.AUTO
    update_status: bool | None = None
    upload_root: Path | None = None
    response_timeout_s: float = 10.0
    job_timeout_s: float = 30.0
    accepted: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, Fault] = field(default_factory=dict)
    thresholds: str = ""


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, section 5.6.2)."""

_KEYS: Final = {
    "url": str,
    "worker": str,
    "headers": dict,
    "capabilities": dict,
    "timeouts": dict,
    "accept": dict,
    "faults": dict,
    "thresholds": str,
}


def parse_url(url: str) -> Origin:
    """An origin from a URL a person typed. Raises UsageError."""
    try:
        return Origin.parse(url)
    except ValueError as error:
        raise UsageError(f"{error}.") from None


def load_target(path: Path, url: str | None) -> Target:
    """Read a target file; `url` from the command line wins over the file's. Raises UsageError."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the target file {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the target file {path} is not valid TOML: {error}.") from None
    where = f"the target file {path}"
    _check_keys(data, _KEYS, where)
    chosen = url or data.get("url")
    if not chosen:
        raise UsageError(
            f'{where} has no url; add url = "http://127.0.0.1:5000" or name it on the command line.'
        )
    capabilities = _section(
        data, "capabilities", {"update_status": bool, "upload_root": str}, where
    )
    timeouts = _section(data, "timeouts", {"response": (int, float), "job": (int, float)}, where)
    for name, seconds in timeouts.items():
        if seconds <= 0:
            raise UsageError(f"{where}: timeouts.{name} must be a positive number of seconds.")
    base = Target(parse_url(chosen))
    return replace(
        base,
        headers=_texts(data.get("headers", {}), "headers", where),
        worker=worker_mode(data.get("worker", "auto")),
        update_status=capabilities.get("update_status"),
        upload_root=Path(capabilities["upload_root"]) if "upload_root" in capabilities else None,
        response_timeout_s=float(timeouts.get("response", base.response_timeout_s)),
        job_timeout_s=float(timeouts.get("job", base.job_timeout_s)),
        accepted=_accepted(data.get("accept", {}), where),
        faults=_faults(data.get("faults", {}), where),
        thresholds=data.get("thresholds", ""),
    )


def worker_mode(text: str) -> WorkerMode:
    """A worker mode from its name. Raises UsageError."""
    try:
        return WorkerMode(text)
    except ValueError:
        raise UsageError(f"worker {text!r} is unknown; use {', '.join(WorkerMode)}.") from None


def known_requirement(id_: str, where: str) -> str:
    """The id itself if the catalogue has it. Raises UsageError with the nearest ids."""
    if id_ not in requirements():
        near = difflib.get_close_matches(id_.upper(), requirements(), n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(
            f"{where} names {id_!r}, which is no requirement.{hint} "
            "`onejob explain` lists them all."
        )
    return id_


def _check_keys(data: Mapping[str, Any], allowed: Mapping[str, Any], where: str) -> None:
    for key, value in data.items():
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(allowed)}."
            raise UsageError(f"{where} has an unknown key {key!r}.{hint}")
        kind = allowed[key]
        wrong_bool = isinstance(value, bool) and kind is not bool
        if wrong_bool or not isinstance(value, kind):
            wanted = getattr(kind, "__name__", "number")
            raise UsageError(f"{where}: {key} must be a {wanted}, not {value!r}.")


def _section(
    data: Mapping[str, Any], name: str, allowed: Mapping[str, Any], where: str
) -> dict[str, Any]:
    section: dict[str, Any] = data.get(name, {})
    _check_keys(section, allowed, f"{where}, [{name}],")
    return section


def _texts(section: Mapping[str, Any], name: str, where: str) -> tuple[tuple[str, str], ...]:
    for key, value in section.items():
        if not _TOKEN.fullmatch(key):
            raise UsageError(f"{where}: {name}.{key} is no name a header can have.")
        if not isinstance(value, str) or not value.isprintable() or not value.isascii():
            raise UsageError(f"{where}: {name}.{key} must be printable ASCII text on one line.")
    return tuple(section.items())


def _accepted(section: Mapping[str, Any], where: str) -> dict[str, str]:
    for id_, reason in section.items():
        known_requirement(id_, f"{where}, [accept],")
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f"{where}: accept.{id_} needs a reason.")
    return dict(section)


def _faults(section: Mapping[str, Any], where: str) -> dict[str, Fault]:
    _check_keys(section, dict.fromkeys(FAULTS, dict), f"{where}, [faults],")
    faults = {}
    for name, entry in section.items():
        allowed = {"inject": str, "heal": str, "timeout": (int, float)}
        _check_keys(entry, allowed, f"{where}, [faults.{name}],")
        if not entry.get("inject") or not entry.get("heal"):
            raise UsageError(
                f"{where}: faults.{name} needs both inject and heal, a command or a URL."
            )
        faults[name] = Fault(
            name, entry["inject"], entry["heal"], float(entry.get("timeout", 30.0))
        )
    return faults
