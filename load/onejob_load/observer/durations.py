"""Many durations in little memory: a histogram whose buckets grow by two per cent."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_GROWTH: Final = 1.02
_SCALE: Final = 1.0 / math.log(_GROWTH)
_SMALLEST_S: Final = 1e-6


@dataclass(slots=True)
class Durations:
    """Durations in seconds; percentiles are right within one per cent."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    _buckets: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        """Note one duration; a negative one counts as none at all."""
        seconds = max(seconds, 0.0)
        self.count += 1
        self.total_s += seconds
        self.longest_s = max(self.longest_s, seconds)
        self._buckets[int(math.log(max(seconds, _SMALLEST_S) / _SMALLEST_S) * _SCALE)] += 1

    def percentile(self, percent: float) -> float | None:
        """Give the duration that this share of all durations does not exceed; None without any."""
        if not self.count:
            return None
        rank = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                middle: float = _SMALLEST_S * _GROWTH ** (bucket + 0.5)
                return middle if middle < self.longest_s else self.longest_s
        return self.longest_s

    def statistics(self) -> dict[str, float | None]:
        """Count, mean, percentiles and maximum, in seconds."""
        return {
            "count": self.count,
            "mean": self.total_s / self.count if self.count else None,
            "p50": self.percentile(50),
            "p90": self.percentile(90),
            "p95": self.percentile(95),
            "p99": self.percentile(99),
            "max": self.longest_s if self.count else None,
        }
