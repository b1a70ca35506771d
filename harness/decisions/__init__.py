"""Metrics in, answers out: pass, fail, inconclusive or invalid, each with its reason. Pure."""

from __future__ import annotations

from harness.decisions.capacity import Capacity, find_capacity, sustained
from harness.decisions.comparison import Comparison
from harness.decisions.headline import Headline
from harness.decisions.headlines import headlines
from harness.decisions.slo import judge_slo
from harness.decisions.uptime import judge_uptime
from harness.decisions.verdict import exit_code, verdict_of_run

__all__ = [
    "Capacity", "Comparison", "Headline", "exit_code", "find_capacity", "headlines", "judge_slo",
    "judge_uptime", "sustained", "verdict_of_run",
]  # fmt: skip
