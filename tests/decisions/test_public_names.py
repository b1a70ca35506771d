"""What the two rooms offer; a change here is a change of the seam."""

from __future__ import annotations

import harness.analysis
import harness.decisions
import harness.decisions.twin


def test_analysis_offers_these_names():
    assert set(harness.analysis.__all__) == {
        "GLOSSARY", "Check", "ClassRow", "Curve", "Entry", "ErrorRow", "PointMeta", "PointSummary",
        "Series", "UptimeWindow", "analyse_point", "effective_slo", "needed_requests",
        "Outage", "Uptime", "pooled_uptime", "repeats", "request_limits",
    }  # fmt: skip
    assert all(getattr(harness.analysis, name) for name in harness.analysis.__all__)


def test_decisions_offers_these_names():
    assert set(harness.decisions.__all__) == {
        "Capacity", "Comparison", "Headline", "exit_code", "find_capacity", "headlines",
        "judge_slo", "judge_uptime", "sustained", "verdict_of_run",
    }  # fmt: skip
    assert all(getattr(harness.decisions, name) for name in harness.decisions.__all__)


def test_the_twin_offers_these_names():
    assert set(harness.decisions.twin.__all__) == {
        "Autoscaled", "Blocks", "Deployment", "Outcome", "ReplicaLife", "Requests", "Router",
        "StepModel", "Totals", "simulate", "simulate_autoscaled", "simulate_fleet",
    }  # fmt: skip
    assert all(getattr(harness.decisions.twin, name) for name in harness.decisions.twin.__all__)
