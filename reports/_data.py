"""The run as data: what summary.json holds and what the page embeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.analysis import PointSummary, pooled_uptime, repeats
from harness.decisions.uptime_facts import uptime_facts
from harness.estimate import Outcome, Verdict
from reports import _tables as tables
from reports._cost import price_data
from reports._what_if import Ladder, what_if_data
from reports.facts import RunFacts


def run_data(
    facts: RunFacts,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    rates: Sequence[Ladder],
) -> dict[str, Any]:
    """The embedded JSON: estimates and verdicts, no curves (the charts carry those)."""
    return {
        "run_id": facts.run_id,
        "outcome": outcome.value,
        "status": facts.status,
        "points": [
            {
                "name": s.meta.name,
                "load": tables.load_text(s),
                "window_s": s.meta.window_s,
                "validity": s.validity.value,
                "counts": s.counts,
                "client_against_server": [asdict(c) for c in s.server.comparisons],
                "rate_limits": [asdict(r) for r in s.server.rate_limits],
                "estimates": [e.to_json() for e in s.estimates],
            }
            for s in summaries
        ],
        "verdicts": [v.to_json() for v in verdicts],
        **({"uptime": uptime} if (uptime := _uptime(summaries)) else {}),
        **({"what_if": what_if} if (what_if := _what_if(facts, rates)) else {}),
        **({"costs": [c.to_json() for c in facts.costs]} if facts.costs else {}),
        **({"client_check": facts.client_check.to_json()} if facts.client_check else {}),
    }


def _what_if(facts: RunFacts, rates: Sequence[Ladder]) -> dict[str, Any]:
    return what_if_data(rates) | price_data(facts.crossover)


def _uptime(summaries: Sequence[PointSummary]) -> list[dict[str, Any]]:
    """Of every load whose SLO names uptime, all its parts together."""
    return [
        uptime_facts(pooled_uptime(parts), parts[0].meta.slo.uptime).to_json()
        for parts in repeats(summaries)
        if parts[0].meta.slo.uptime is not None and any(s.uptime_windows for s in parts)
    ]
