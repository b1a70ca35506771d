"""The capacity twin: a deployment and a traffic in, every request's times out. Pure and exact.

An event-skipping simulator of continuous batching: equal to a naive stepper, at the cost of
requests, not of tokens. The compiled part loads at the first simulation.
"""

from __future__ import annotations

from .model import Deployment, StepModel
from .outcome import Outcome, Totals
from .requests import Requests
from .simulate import simulate

__all__ = ["Deployment", "Outcome", "Requests", "StepModel", "Totals", "simulate"]
