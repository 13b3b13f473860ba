"""How figures are written for people."""

from __future__ import annotations

from typing import Final

_SHARES: Final = ("granted.rate", "busy.rate", "utilisation", "races.overlap", "generator.cpu")
_SECONDS: Final = (".p50", ".p90", ".p95", ".p99", ".max", ".mean", ".spread", ".lag")


def figure_text(metric: str, value: float | None) -> str:
    """Give a figure with its unit."""
    if value is None:
        return "-"
    if metric in _SHARES:
        return f"{value * 100:.1f} %"
    if metric == "fairness.jain":
        return f"{value:.3f}"
    if metric.endswith(_SECONDS) or metric == "fairness.starvation":
        return seconds_text(value)
    if metric == "requests.rate":
        return f"{value:,.0f}/s"
    return f"{value:,.0f}"


def seconds_text(seconds: float) -> str:
    """Give a duration in the unit that fits."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.{1 if seconds >= 0.01 else 2}f} ms"
