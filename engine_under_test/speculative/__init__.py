"""Speculation: drafters, the judging of drafts, and how many are worth a trial."""

from .adaptive import AdaptiveLength, FixedLength
from .base import Drafter, Proposals
from .cost import StepCost
from .draft_model import DraftModel
from .judge import Judge
from .ngram import NgramDrafter, NgramIndex
from .setup import Speculation, set_up
from .synthetic import SyntheticDrafter
from .verify import Judged, match_length, verify_ratio

__all__ = [
    "AdaptiveLength",
    "DraftModel",
    "Drafter",
    "FixedLength",
    "Judge",
    "Judged",
    "NgramDrafter",
    "NgramIndex",
    "Proposals",
    "Speculation",
    "StepCost",
    "SyntheticDrafter",
    "match_length",
    "set_up",
    "verify_ratio",
]
