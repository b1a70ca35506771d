"""What is sent and when: a pure room. A point and its materials become a Schedule and texts."""

from __future__ import annotations

from ._speech import short_clip
from .build import build_schedule
from .content import Content, ContentMaker
from .realised import RealisedClass, RealisedStage, realised
from .salt import run_salt, salt
from .schedule import ArrivalLaw, Schedule, StageSchedule
from .span import Span
from .token_plan import TokenPlan
from .vocabulary import SALT_MARK, probe_words

__all__ = [
    "SALT_MARK",
    "ArrivalLaw",
    "Content",
    "ContentMaker",
    "RealisedClass",
    "RealisedStage",
    "Schedule",
    "Span",
    "StageSchedule",
    "TokenPlan",
    "build_schedule",
    "probe_words",
    "realised",
    "run_salt",
    "salt",
    "short_clip",
]
