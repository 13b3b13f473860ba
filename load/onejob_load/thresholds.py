"""Thresholds: `granted.p95<500ms, unexpected==0` as a person writes and a run is judged by."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

LATENCIES: Final = ("granted", "busy", "update", "status", "hold", "gap")
"""What is measured in seconds and has `.p50`, `.p90`, `.p95`, `.p99`, `.max`, `.mean`, `.count`."""

METRICS: Final = (
    "violations",
    "stuck",
    "unexpected",
    "unanswered",
    "failed",
    "refused",
    "requests.count",
    "requests.rate",
    "granted.rate",
    "busy.rate",
    "fairness.jain",
    "fairness.starvation",
    "races.count",
    "races.spread",
    "generator.lag",
    "generator.cpu",
    *(
        f"{name}.{statistic}"
        for name in LATENCIES
        for statistic in ("p50", "p90", "p95", "p99", "max", "mean", "count")
    ),
)
"""Every name a threshold may use. Times are seconds, rates and shares plain numbers."""

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_UNITS: Final = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "%": 1e-2}
_FORM: Final = re.compile(
    r"\s*(?P<metric>[a-z0-9.]+)\s*(?P<compare><=|>=|==|!=|<|>)\s*"
    r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|us|s|%|)\s*"
)


class ThresholdError(ValueError):
    """A threshold nobody can judge by: one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One condition: `metric compare limit`; the limit is in the metric's own unit."""

    text: str
    metric: str
    compare: str
    limit: float

    def judge(self, figures: Mapping[str, float | None]) -> ThresholdResult:
        """Judge a run by its figures; what was never measured does not meet a threshold."""
        actual = figures.get(self.metric)
        met = actual is not None and _COMPARE[self.compare](actual, self.limit)
        return ThresholdResult(self.text, actual, met)


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """A threshold with what was measured (None: nothing) and whether it was met."""

    text: str
    actual: float | None
    met: bool


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Read thresholds separated by commas; empty text has none. Raises ThresholdError."""
    return tuple(_parse(one) for one in text.split(",") if one.strip())


def _parse(text: str) -> Threshold:
    found = _FORM.fullmatch(text)
    if found is None:
        raise ThresholdError(
            f"{text.strip()!r} is no threshold; write for example granted.p95<500ms"
        )
    metric = found["metric"]
    if metric not in METRICS:
        near = difflib.get_close_matches(metric, METRICS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(METRICS)}"
        raise ThresholdError(f"{metric!r} is not measured{hint}")
    limit = float(found["number"]) * _UNITS[found["unit"]]
    return Threshold(text.strip(), metric, found["compare"], limit)
