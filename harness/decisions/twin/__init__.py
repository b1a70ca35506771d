"""The capacity twin: a deployment and a traffic in, every request's times out. Pure and exact.

An event-skipping simulator of continuous batching: equal to a naive stepper, at the cost of
requests, not of tokens. The compiled part loads at the first simulation.
"""

from __future__ import annotations

from .autoscaled import Autoscaled, ReplicaLife, simulate_autoscaled
from .fleet import Router, simulate, simulate_fleet
from .model import Deployment, StepModel
from .outcome import Outcome, Totals
from .requests import Blocks, Requests

__all__ = [
    "Autoscaled", "Blocks", "Deployment", "Outcome", "ReplicaLife", "Requests", "Router",
    "StepModel", "Totals", "simulate", "simulate_autoscaled", "simulate_fleet",
]  # fmt: skip
