"""The planner's sentence of a replica plan, and its verdict: what is a guess is never a pass."""

from __future__ import annotations

from harness.decisions.headline import Headline
from harness.decisions.replicas import ReplicaPlan
from harness.decisions.twin_capacity import Objective, TwinCapacity
from harness.estimate import Outcome
from harness.units import significant


def verdict_of(
    capacity: TwinCapacity, plan: ReplicaPlan | None, objective: Objective
) -> tuple[Outcome, str]:
    """pass: sized inside the swept region, from a fit that meets the points it has not seen, and
    the simulated day keeps the share asked for."""
    if plan is None:
        return Outcome.FAIL, capacity.estimate.reason
    if capacity.doubt:
        return Outcome.INCONCLUSIVE, f"{capacity.doubt}. Calibrate again with the target left alone"
    if capacity.extrapolated:
        return Outcome.INCONCLUSIVE, (
            f"extrapolated: the plan meets {'; '.join(capacity.extrapolated)}. Sweep that far"
        )
    if plan.fixed.good < objective.attainment:
        return Outcome.FAIL, (
            f"the fixed fleet keeps {_percent(plan.fixed.good)} good over the day, not"
            f" {_percent(objective.attainment)}"
        )
    return Outcome.PASS, ""


def headline_of(
    capacity: TwinCapacity, plan: ReplicaPlan | None, objective: Objective, spare: int
) -> Headline:
    """answer - interval - rule in brackets - reason - next step."""
    outcome, reason = verdict_of(capacity, plan, objective)
    rule = f"[{objective.text}]"
    if plan is None:
        detail = f"{rule}: {reason}. Loosen the limits, or plan for another deployment."
        return Headline("No number of replicas keeps this SLO", detail, outcome.value)
    e, fixed = capacity.estimate, plan.fixed
    peak = significant(plan.peak_req_per_s)
    parts = [
        f"({fixed.at_lower_bound} at the lower bound, {spare} spare). One replica sustains"
        f" {rate_text(capacity)} with {_percent(objective.attainment)} of requests good {rule}."
    ]
    if capacity.breaks_first:
        parts.append(f"First limit reached: {capacity.breaks_first}.")
    scaled = plan.autoscaled
    share = f", {_percent(scaled.good)} good" if scaled.is_simulated else ""
    parts.append(
        f"Autoscaled it is {scaled.mean_replicas:.1f} replicas on average{share}:"
        f" {scaled.replica_hours:,.0f} replica-hours instead of {fixed.replica_hours:,.0f}."
    )
    if reason:
        parts.append(f"{reason[0].upper()}{reason[1:]}.")
    answer = f"The peak of {peak} req/s needs {fixed.replicas} replicas"
    if capacity.doubt:
        answer = f"TOO NOISY A CALIBRATION: the peak of {peak} req/s might need {fixed.replicas}"
        answer += " replicas"
    elif outcome is Outcome.INCONCLUSIVE:
        answer = f"EXTRAPOLATED: the peak of {peak} req/s would need {fixed.replicas} replicas"
    assert e.value is not None
    return Headline(answer, " ".join(parts), outcome.value)


def rate_text(capacity: TwinCapacity) -> str:
    """`9.4 req/s (95% CI 9.1 to 9.8)`"""
    e = capacity.estimate
    value, low, high = (significant(x or 0.0) for x in (e.value, e.low, e.high))
    return f"{value} req/s (95% CI {low} to {high})"


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"
