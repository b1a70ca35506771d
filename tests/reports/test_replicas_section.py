"""The replicas section: what is drawn is what plan.json holds, and guesses say so first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.estimate import Outcome
from reports._replicas import (
    fleets_table,
    planned_outcome,
    replica_sentence,
    replicas_section,
)
from reports.view import Chart, Table
from tests.reports import sample


def part(**more: Any) -> dict[str, Any]:
    hour = {"mean_req_per_s": 2.0, "peak_req_per_s": 3.0, "fewest": 1, "likely": 2, "needed": 2,
            "autoscaled": 1.5, "good_fixed": 1.0, "good_autoscaled": None}  # fmt: skip
    e = {"metric": "step_a0", "unit": "s", "value": 0.002, "low": 0.001, "high": 0.003}
    load = {"good_low": 0.9, "good_high": 1.0, "tpot_p95_s": 0.01, "req_per_s": 1.0}
    return {
        "verdict": "pass", "reason": "", "answer": "The peak needs 4 replicas", "detail": "why",
        "objective": {"attainment": 0.99, "ttft_s": 1.0}, "assumed": [],
        "mix": {"name": "chat", "cv": 1.0, "mean_in_tok": 300.0, "mean_out_tok": 60.0},
        "forecast": {"name": "day", "source": "a file", "window_s": 600.0},
        "calibration": {
            "parameters": {"a0": e, "o": e | {"value": 0.0}}, "num_draws": 60,
            "held_out": {"median_ratio": 0.05, "p90_ratio": 0.2, "worst_ratio": 0.3},
            "swept": {"envelope": [[1, 4000], [64, 28000]], "max_prompt_tok": 4000},
        },
        "capacity": {
            "breaks_first": "TTFT: steps grow", "extrapolated": [],
            "headroom": [
                load | {"load_ratio": 0.5, "good_ratio": 1.0, "ttft_p95_s": 0.1},
                load | {"load_ratio": 1.0, "good_ratio": 0.99, "ttft_p95_s": 0.5},
                load | {"load_ratio": 1.2, "good_ratio": 0.3, "ttft_p95_s": "inf"},
            ],
        },
        "fleet": {"spare": 1, "load_target": 0.8, "cold_start_s": 60.0},
        "fixed": {"replicas": 3, "at_lower_bound": 2, "likely": 2, "good": 1.0,
                  "good_without_one": 0.98, "replica_hours": 9.0},
        "autoscaled": {"mean_replicas": 1.5, "most_replicas": 2, "replica_hours": 4.5,
                       "cold_starts": 1, "good": None, "is_simulated": False},
        "hours": [
            hour | {"hour": 0},
            hour | {"hour": 1, "peak_req_per_s": 7.0, "fewest": 2, "likely": 3, "needed": 4},
            hour | {"hour": 2},
        ],
        "num_requests": 1000,
    } | more  # fmt: skip


def blocks(found: dict[str, Any]) -> dict[str, Any]:
    section = replicas_section(found)
    assert section is not None
    return {b.id: b for b in section.blocks if isinstance(b, Chart | Table)}


def test_the_day_is_drawn_with_its_band() -> None:
    day = blocks(part())["chart-replicas"]
    needed, autoscaled = day.panels[0].lines
    assert (needed.low, needed.y, needed.high) == ((1, 2, 1), (2, 3, 2), (2, 4, 2))
    assert autoscaled.y == (1.5, 1.5, 1.5)
    assert day.panels[0].limits[0].value == 3
    assert day.caption.startswith("4 replicas carry hour 1 (7.00 req/s), 2 hour 0 (3.00 req/s)")


def test_headroom_says_between_which_loads_it_ends() -> None:
    chart = blocks(part())["chart-headroom"]
    assert "between 100% and 120% of the sustained rate" in chart.caption
    assert "First limit reached: TTFT: steps grow." in chart.caption
    assert chart.panels[0].lines[0].y == (100.0, 99.0, 30.0)
    assert chart.panels[1].lines[0].y == (100.0, 500.0)  # what was not reached is not drawn


def test_tables_say_what_was_not_simulated() -> None:
    found = blocks(part())
    fleets = fleets_table(part())
    assert fleets is not None
    assert "by arithmetic" in fleets.note
    assert fleets_table(None) is None
    assert found["replica-hours"].rows[0].cells[-1].text == "not simulated"
    texts = [c.text for row in found["replica-ground"].rows for c in row.cells]
    assert "2.00 ms (1.00 to 3.00)" in texts
    assert not any("(o)" in t for t in texts)  # nothing was fitted there


def test_a_guess_leads_with_its_reason_and_no_plan_has_no_section() -> None:
    beyond = part(reason="extrapolated: prompts", verdict="inconclusive")
    beyond["capacity"]["extrapolated"] = ["prompts of 9,000 tokens, 4,000 were swept"]
    section = replicas_section(beyond)
    assert section is not None
    assert section.lead == "Extrapolated: prompts."
    texts = [c.text for row in blocks(beyond)["replica-ground"].rows for c in row.cells]
    assert "prompts of 9,000 tokens, 4,000 were swept" in texts
    assert replica_sentence(beyond)[0].outcome == "inconclusive"
    assert planned_outcome(beyond) == (Outcome.INCONCLUSIVE,)  # the badge of the page says so too
    assert planned_outcome(None) == ()
    assert replicas_section(None) is None
    assert replica_sentence(None) == ()


def test_where_no_fleet_helps_only_the_ground_is_shown() -> None:
    nothing = part(fixed=None, autoscaled=None, hours=[], verdict="fail")
    nothing["capacity"]["headroom"] = []
    assert set(blocks(nothing)) == {"replica-ground"}


def test_a_plan_s_fleets_are_its_page_s_first_table() -> None:
    fleets = fleets_table(part())
    assert fleets is not None
    view = sample.view(3)
    view = replace(view, headline=(*view.headline, fleets))
    assert [t.id for t in view.first_tables] == ["fleets"]
    assert [t.id for t in view.further_tables] == ["verdicts", "points"]


def test_a_played_trace_says_so_and_an_hour_without_a_request_is_no_failure() -> None:
    played = part(arrivals={"how": "trace", "told": "the trace's own requests, as they came"})
    played["hours"][0] |= {"good_fixed": None}
    found = blocks(played)
    texts = [c.text for row in found["replica-ground"].rows for c in row.cells]
    assert "the trace's own requests, as they came" in texts
    assert found["replica-hours"].rows[0].cells[-2].text == "no request"
    assert "own arrivals, played on so many" in found["replica-hours"].note
    assert "own arrivals, played on so many" in found["chart-replicas"].definition
    drawn = blocks(part())
    assert "played" not in drawn["replica-hours"].note + drawn["chart-replicas"].definition
    assert "gaps of CV 1" in [c.text for r in drawn["replica-ground"].rows for c in r.cells]
