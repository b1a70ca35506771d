"""Records in, metrics with intervals out. Pure: no clock, no file, no global randomness.

Names load on first use, so that importing the room costs no scipy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.analysis.glossary import GLOSSARY, Entry
    from harness.analysis.goodput import effective_slo, request_limits
    from harness.analysis.point import analyse_point
    from harness.analysis.point_meta import PointMeta
    from harness.analysis.quantiles import needed_requests
    from harness.analysis.summary import (
        Check,
        ClassRow,
        Curve,
        ErrorRow,
        PointSummary,
        Series,
        UptimeWindow,
    )
    from harness.analysis.uptime import Outage, Uptime, pooled_uptime, repeats

_HOMES = {
    "GLOSSARY": "glossary",
    "Entry": "glossary",
    "effective_slo": "goodput",
    "needed_requests": "quantiles",
    "request_limits": "goodput",
    "analyse_point": "point",
    "Check": "summary",
    "ClassRow": "summary",
    "Curve": "summary",
    "ErrorRow": "summary",
    "PointMeta": "point_meta",
    "PointSummary": "summary",
    "Series": "summary",
    "UptimeWindow": "summary",
    "Outage": "uptime",
    "Uptime": "uptime",
    "pooled_uptime": "uptime",
    "repeats": "uptime",
}

__all__ = [
    "GLOSSARY",
    "Check",
    "ClassRow",
    "Curve",
    "Entry",
    "ErrorRow",
    "Outage",
    "PointMeta",
    "PointSummary",
    "Series",
    "Uptime",
    "UptimeWindow",
    "analyse_point",
    "effective_slo",
    "needed_requests",
    "pooled_uptime",
    "repeats",
    "request_limits",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
