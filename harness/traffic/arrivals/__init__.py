"""Arrival processes: one file each."""

from __future__ import annotations

from harness.scenario import document as doc

from .base import Process, unit_times
from .constant import ConstantProcess
from .gamma import GammaProcess
from .idle import burst_times
from .poisson import PoissonProcess
from .rate import RateProfile, rate_profile
from .trace import TraceArrivals, trace_arrivals

__all__ = [
    "ConstantProcess",
    "GammaProcess",
    "PoissonProcess",
    "Process",
    "RateProfile",
    "TraceArrivals",
    "burst_times",
    "process_of",
    "rate_profile",
    "trace_arrivals",
    "unit_times",
]


def process_of(arrival: doc.Constant | doc.Poisson | doc.Gamma) -> Process:
    """The process a document names."""
    match arrival:
        case doc.Constant():
            return ConstantProcess()
        case doc.Poisson():
            return PoissonProcess()
        case doc.Gamma():
            return GammaProcess(arrival.cv)
