"""Replicas over a day: sizes by hand, the simulated day behind them, verdict, document, sheet."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from harness.decisions import replicas as replicas_module
from harness.decisions.hinge import Hinge
from harness.decisions.plan_document import empty_plan, plan_schema, with_part
from harness.decisions.replica_document import hours_csv, replica_document
from harness.decisions.replica_words import headline_of, verdict_of
from harness.decisions.replicas import Fleet, ReplicaPlan, arrivals_of, plan_replicas
from harness.decisions.step_fit import HeldOut, StepFit
from harness.decisions.swept_hull import SweptHull
from harness.decisions.twin import Deployment
from harness.decisions.twin_capacity import Mix, Objective, TwinCapacity, doubt_of
from harness.estimate import Estimate, Outcome

FLAT = Hinge(a0=0.1, b=0.1, a1=0.0, d=0.0, c=0.0, e=0.0, o=0.0, loss=0.0, corner=1)
FIT = StepFit(
    FLAT, (FLAT,), 0.0, 0.0, HeldOut(20, 0.02, 0.04, 0.05),
    SweptHull(((1.0, 4000.0), (64.0, 60000.0)), 4000), 512, 1.0, 20, 8,
)  # fmt: skip
ALONE = Deployment(1, 512, 100_000)  # a request of 3 tokens takes 0.3 s: at most 3.33 requests/s
MIX = Mix("short", np.array([10, 20]), np.array([3, 3]))
OBJECTIVE = Objective(ttft_s=2.0, attainment=0.95)
RATES = np.array([1.0, 5.0, 9.0, 3.0])


def capacity(extrapolated: tuple[str, ...] = ()) -> TwinCapacity:
    estimate = Estimate("max_goodput", "rate", "req/s", 2.5, 2.0, 3.0)
    return TwinCapacity(estimate, (2.0, 3.0), "TTFT: steps grow", extrapolated, (), 18.0)


def plan(fleet: Fleet | None = None) -> ReplicaPlan:
    given = fleet or Fleet(spare=1, cold_start_s=30.0)
    return plan_replicas(FIT, ALONE, capacity(), MIX, OBJECTIVE, RATES, 1800.0, given)


def test_sizes_by_hand() -> None:
    """Peaks of 5 and 9 over 2 (surely), 2.5 (likely) and 3 requests/s of one replica."""
    found = plan()
    assert [(h.fewest, h.likely, h.needed) for h in found.hours] == [(2, 2, 3), (3, 4, 5)]
    assert [(h.mean_req_per_s, h.peak_req_per_s) for h in found.hours] == [(3, 5), (6, 9)]
    fixed = found.fixed
    assert (fixed.at_lower_bound, fixed.replicas, fixed.likely) == (5, 6, 4)
    assert fixed.replica_hours == 12
    assert plan(Fleet(spare=0)).fixed.replicas == 5


def test_the_day_is_simulated_on_both_fleets() -> None:
    found = plan()
    assert found.num_requests == pytest.approx(RATES.sum() * 1800, rel=0.03)
    assert found.fixed.good > 0.99
    assert found.fixed.good_without_one > 0.9
    scaled = found.autoscaled
    assert scaled.is_simulated
    assert 1 <= scaled.mean_replicas < found.fixed.replicas
    assert scaled.replica_hours == pytest.approx(scaled.mean_replicas * 2, rel=0.05)
    assert scaled.cold_starts >= 3
    # ramps of 4 requests/s at once outrun a fleet that needs 30 s to see and 30 s to start
    assert scaled.good < found.fixed.good
    assert found.hours[1].autoscaled > found.hours[0].autoscaled


def test_a_fleet_too_small_shows_in_the_simulated_day() -> None:
    """A capacity twice the true one: the quotient is fine, the simulated day is not."""
    wrong = replace(capacity(), estimate=replace(capacity().estimate, value=9.0, low=8.9, high=9.1))
    found = plan_replicas(FIT, ALONE, wrong, MIX, OBJECTIVE, RATES, 1800.0, Fleet(spare=0))
    assert found.fixed.replicas == 2
    assert found.fixed.good < 0.7
    outcome, reason = verdict_of(wrong, found, OBJECTIVE)
    assert outcome is Outcome.FAIL
    assert "not 95%" in reason


def test_too_many_requests_are_cut_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autoscaled by arithmetic then: ceil(rate / 1.6) is 1, 4, 6, 2; with the window before 1, 4,
    6, 6."""
    monkeypatch.setattr(replicas_module, "MOST_REQUESTS", 3240)
    found = plan()
    assert found.cut == pytest.approx(0.1)
    assert found.num_requests == pytest.approx(3240, rel=0.1)
    scaled = found.autoscaled
    assert not scaled.is_simulated
    assert math.isnan(scaled.good)
    assert (scaled.mean_replicas, scaled.most_replicas, scaled.replica_hours) == (4.25, 6, 8.5)
    assert [h.autoscaled for h in found.hours] == [2.5, 6]
    assert found.fixed.good > 0.98


def test_arrivals_follow_the_windows() -> None:
    """Counts of a Poisson process within 5 sigma: one false alarm in a million."""
    rates = np.array([2.0, 0.0, 10.0, 1.0])
    requests = arrivals_of(MIX, rates, 500.0, np.random.default_rng(1))
    counts = np.histogram(requests.arrival_s, np.arange(5) * 500.0)[0]
    assert np.all(np.abs(counts - rates * 500) <= 5 * np.sqrt(rates * 500))
    assert set(requests.n_in.tolist()) == {10, 20}


def test_a_capacity_that_is_none_makes_no_plan() -> None:
    nothing = replace(capacity(), estimate=replace(capacity().estimate, value=0.0, low=0.0))
    with pytest.raises(ValueError, match="lower end"):
        plan_replicas(FIT, ALONE, nothing, MIX, OBJECTIVE, RATES, 1800.0, Fleet())
    with pytest.raises(ValueError, match="at most"):
        plan_replicas(FIT, ALONE, capacity(), MIX, OBJECTIVE, RATES * 1e4, 1800.0, Fleet())


def test_the_sentence() -> None:
    found = plan()
    line = headline_of(capacity(), found, OBJECTIVE, 1)
    assert line.answer == "The peak of 9.00 req/s needs 6 replicas"
    assert line.detail.startswith(
        "(5 at the lower bound, 1 spare). One replica sustains 2.50 req/s (95% CI 2.00 to 3.00)"
        " with 95% of requests good [TTFT ≤ 2.00 s]. First limit reached: TTFT: steps grow."
    )
    assert line.outcome == "pass"


def test_what_leaves_the_sweep_is_never_a_pass() -> None:
    guess = capacity(("9 sequences at once, 4 were swept",))
    line = headline_of(guess, plan(), OBJECTIVE, 1)
    assert line.outcome == "inconclusive"
    assert line.answer.startswith("EXTRAPOLATED")
    assert "9 sequences at once" in line.detail
    none = headline_of(capacity(), None, OBJECTIVE, 1)
    assert (none.outcome, none.answer) == ("fail", "No number of replicas keeps this SLO")


def test_a_calibration_that_misses_its_own_points_decides_nothing() -> None:
    noisy = replace(FIT, held_out=HeldOut(20, 0.5, 0.9, 2.0))
    assert doubt_of(FIT) == ""
    line = headline_of(replace(capacity(), doubt=doubt_of(noisy)), plan(), OBJECTIVE, 1)
    assert line.outcome == "inconclusive"
    assert line.answer.startswith("TOO NOISY A CALIBRATION")
    assert "missed by more than 50%" in line.detail


@pytest.mark.parametrize("is_possible", [True, False])
def test_document_and_sheet(is_possible: bool) -> None:
    found = plan() if is_possible else None
    part = document(found)
    whole = with_part(empty_plan("run"), "replicas", part)
    jsonschema.validate(json.loads(json.dumps(whole, allow_nan=False)), plan_schema())
    if found is None:
        assert (part["fixed"], part["hours"]) == (None, [])
        return
    rows = list(csv.DictReader(io.StringIO(hours_csv(part))))
    assert [int(row["needed"]) for row in rows] == [3, 5]
    assert [float(row["autoscaled"]) for row in rows] == pytest.approx(
        [h.autoscaled for h in found.hours], rel=1e-4
    )
    assert {row["fixed"] for row in rows} == {"6"}


def document(found: ReplicaPlan | None) -> dict[str, Any]:
    return replica_document(
        fit=FIT, deployment=ALONE, assumed=("x",), capacity=capacity(), mix=MIX,
        objective=OBJECTIVE, forecast={"name": "f", "source": "s", "window_s": 1800.0},
        fleet=Fleet(), plan=found, headline=headline_of(capacity(), found, OBJECTIVE, 1), reason="",
    )  # fmt: skip
