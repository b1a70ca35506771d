"""What is sent and when: a pure room. A point and its materials become a Schedule and texts."""

from __future__ import annotations

from .build import build_schedule
from .content import Content, ContentMaker
from .salt import run_salt, salt
from .schedule import Schedule, StageSchedule
from .token_plan import TokenPlan
from .vocabulary import SALT_MARK, probe_words

__all__ = [
    "SALT_MARK",
    "Content",
    "ContentMaker",
    "Schedule",
    "StageSchedule",
    "TokenPlan",
    "build_schedule",
    "probe_words",
    "run_salt",
    "salt",
]
