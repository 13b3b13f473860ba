"""What a load test does: one table of options for the command line, the web form and the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, Final

from onejob_load.thresholds import ThresholdError, parse_thresholds

SCENARIOS: Final = (
    "stampede",
    "hot_sessions",
    "many_sessions",
    "life_cycle",
    "late_repeats",
    "slow_uploads",
)
"""Every scenario, by the name of the option that weighs it."""


class SettingsError(ValueError):
    """An option that cannot be: one sentence that names it and says what it must be."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name, default, explanation, and the values it may have."""

    name: str
    default: int | float | str
    help: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Give the option as it is written on the command line."""
        return "--" + self.name.replace("_", "-")

    def parse(self, value: object) -> int | float | str:
        """Give a value from a command line or a form. Raises SettingsError."""
        kind = type(self.default)
        try:
            parsed = kind(str(value).strip())
        except ValueError:
            noun = "whole number" if kind is int else "number"
            raise SettingsError(f"{self.flag} must be a {noun}, not {value!r}") from None
        if isinstance(parsed, str):
            if self.choices and parsed not in self.choices:
                raise SettingsError(
                    f"{self.flag} must be one of {', '.join(self.choices)}, not {parsed!r}"
                )
        elif not self.low <= parsed <= self.high:
            raise SettingsError(
                f"{self.flag} must be from {self.low:g} to {self.high:g}, not {parsed:g}"
            )
        return parsed


def _number(default: float, low: float, high: float, help_: str) -> Any:
    return field(default=default, metadata={"help": help_, "low": low, "high": high})


def _choice(default: str, choices: tuple[str, ...], help_: str) -> Any:
    return field(default=default, metadata={"help": help_, "choices": choices})


def _weight(default: int, scenario: str) -> Any:
    return _number(default, 0, 1000, f"Weight of the scenario {scenario} (0 leaves it out).")


@dataclass(frozen=True, slots=True)
class Settings:
    """A load test. Times are seconds unless a name says otherwise."""

    stampede: int = _weight(1, "stampede: publishes released together on one session")
    hot_sessions: int = _weight(3, "hot sessions: many users on few sessions, Zipf-distributed")
    many_sessions: int = _weight(3, "many sessions: little contention")
    life_cycle: int = _weight(2, "life cycle: publish, poll, complete, read the result")
    late_repeats: int = _weight(1, "late and repeated updates of finished jobs")
    slow_uploads: int = _weight(1, "slow and aborted uploads")
    sessions: int = _number(100, 1, 100_000, "Sessions of the scenario many sessions.")
    hot: int = _number(5, 1, 10_000, "Sessions of the scenario hot sessions.")
    zipf: float = _number(1.1, 0.0, 5.0, "Exponent of the choice among hot sessions (0: uniform).")
    racers: int = _number(8, 2, 256, "Publishes released together in one round of a stampede.")
    image_kib: int = _number(1, 1, 1024, "Size of each image in KiB.")
    hold: float = _number(0.05, 0.0, 3600.0, "Seconds from a grant to the completion of the job.")
    poll: float = _number(0.05, 0.001, 60.0, "Seconds between two polls of a job.")
    think: float = _number(0.05, 0.0, 3600.0, "Seconds a user waits between two tasks.")
    upload_s: float = _number(1.0, 0.0, 600.0, "Seconds a slow upload takes.")
    arrival: str = _choice(
        "closed",
        ("closed", "open"),
        "closed: a user waits for its answer, then thinks; open: tasks are due at --rate whatever "
        "the server does, and their latency counts from the time they were due.",
    )
    rate: float = _number(1.0, 0.001, 10_000.0, "Tasks a second and user with open arrival.")
    load_shape: str = _choice(
        "constant",
        ("constant", "ramp", "spike", "stairs", "soak"),
        "How the number of users changes over the run time.",
    )
    job_worker: str = field(
        default="auto",
        metadata={
            "help": "Who completes jobs: we (harness), the server's own worker (live), or whoever "
            "is seen to (auto).",
            "choices": ("auto", "harness", "live"),
        },
    )
    response_timeout: float = _number(10.0, 0.1, 600.0, "Seconds to wait for an answer.")
    job_timeout: float = _number(30.0, 0.1, 3600.0, "Seconds to wait for the server's own worker.")
    seed: int = _number(1, 0, 2**31 - 1, "Seed of every random choice.")
    thresholds: str = field(
        default="violations==0, stuck==0, unexpected==0",
        metadata={"help": "What the run must meet, such as granted.p95<500ms, busy.rate<0.9."},
    )

    def weights(self) -> dict[str, int]:
        """Give the weight of each scenario, without those that are left out."""
        return {name: weight for name in SCENARIOS if (weight := getattr(self, name))}

    def as_json(self) -> dict[str, Any]:
        """Give the settings as a JSON object."""
        return asdict(self)


def _option(one: Field[Any]) -> Option:
    if one.default is MISSING:
        raise TypeError(f"the option {one.name} needs a default")
    return Option(one.name, one.default, **one.metadata)


OPTIONS: Final = tuple(_option(one) for one in fields(Settings))
"""The options in the order of the form and of `--help`."""


def settings_from(values: Mapping[str, object]) -> Settings:
    """Give settings from raw values by option name; absent ones keep their default.

    Raises SettingsError at the first that cannot be.
    """
    chosen = {
        option.name: option.parse(values[option.name])
        for option in OPTIONS
        if values.get(option.name) is not None
    }
    settings = Settings(**chosen)  # type: ignore[arg-type]
    if not settings.weights():
        raise SettingsError("every scenario has the weight 0; give at least one a weight")
    try:
        parse_thresholds(settings.thresholds)
    except ThresholdError as error:
        raise SettingsError(f"--thresholds: {error}") from None
    return settings
