"""The requirement catalogue: every sentence of the document that the kit judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

Level = Literal["must", "should", "open"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement: `title` is its sentence, `section` where the document says it.

    `needs` names what must be declared or found before it can be observed: `update_status`,
    `upload_root`, `live_worker`, `fault:NAME`.
    """

    id: str
    level: Level
    since: int
    operation: str
    section: str
    title: str
    why: str
    passes: str
    fails: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Excluded:
    """A sentence of the document that is not judged, and the reason."""

    section: str
    sentence: str
    reason: str


@cache
def spec() -> Mapping[str, Any]:
    """The OpenAPI document, from `onejob_spec/` of an installed wheel or `spec/` of a checkout."""
    here = Path(__file__).parent
    installed = here.with_name("onejob_spec") / "openapi.yaml"
    path = installed if installed.is_file() else here.parents[1] / "spec" / "openapi.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=loader)  # noqa: S506
    return MappingProxyType(document)


@cache
def requirements() -> Mapping[str, Requirement]:
    """All requirements by id, in the order of the document."""
    entries = (
        Requirement(**{**entry, "needs": tuple(entry.get("needs", ()))})
        for entry in spec()["x-requirements"]
    )
    return MappingProxyType({entry.id: entry for entry in entries})


@cache
def requirements_version() -> int:
    """The version of the requirement set."""
    return int(spec()["x-requirements-version"])


@cache
def excluded() -> tuple[Excluded, ...]:
    """What the document says and the kit does not judge."""
    return tuple(Excluded(**entry) for entry in spec()["x-excluded"])
