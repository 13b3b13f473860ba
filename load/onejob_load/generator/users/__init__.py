"""The scenarios, each a Locust user."""

from typing import Final

from onejob_load.generator.users.base import ContentionUser
from onejob_load.generator.users.late_repeats import LateRepeats
from onejob_load.generator.users.life_cycle import LifeCycle
from onejob_load.generator.users.shared import HotSessions, ManySessions
from onejob_load.generator.users.slow_uploads import SlowUploads
from onejob_load.generator.users.stampede import Stampede

USERS: Final[tuple[type[ContentionUser], ...]] = (
    Stampede,
    HotSessions,
    ManySessions,
    LifeCycle,
    LateRepeats,
    SlowUploads,
)
"""One class for each scenario of the settings."""

__all__ = [
    "USERS",
    "ContentionUser",
    "HotSessions",
    "LateRepeats",
    "LifeCycle",
    "ManySessions",
    "SlowUploads",
    "Stampede",
]
