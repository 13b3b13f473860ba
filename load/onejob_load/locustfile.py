"""The load test as Locust runs it: `onejob load URL`, or `locust -f` with this file."""

from locust import events

from onejob_load.generator.users import (
    HotSessions,
    LateRepeats,
    LifeCycle,
    ManySessions,
    SlowUploads,
    Stampede,
)
from onejob_load.generator.wiring import wire

wire(events)

__all__ = [
    "HotSessions",
    "LateRepeats",
    "LifeCycle",
    "ManySessions",
    "SlowUploads",
    "Stampede",
]
