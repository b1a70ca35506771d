"""The planner's sentence of a replica plan, and its verdict: what is a guess is never a pass."""

from __future__ import annotations

import math

from harness.decisions.headline import Headline
from harness.decisions.replicas import ReplicaPlan
from harness.decisions.twin_capacity import Mix, Objective, TwinCapacity
from harness.decisions.wording import amount, counted, interval
from harness.estimate import Outcome
from harness.units import significant


def verdict_of(
    capacity: TwinCapacity, plan: ReplicaPlan | None, objective: Objective
) -> tuple[Outcome, str]:
    """pass: sized inside the swept region, from a fit that meets the points it has not seen, and
    the simulated day keeps the share asked for."""
    if capacity.doubt:
        return Outcome.INCONCLUSIVE, f"{capacity.doubt}. Calibrate again with the target left alone"
    if capacity.extrapolated:
        return Outcome.INCONCLUSIVE, (
            f"extrapolated: the plan meets {'; '.join(capacity.extrapolated)}. Sweep that far"
        )
    e = capacity.estimate
    if plan is None and e.high:
        return Outcome.INCONCLUSIVE, (
            "the calibration leaves open whether even a lone request keeps the limits: one replica"
            f" sustains {rate_text(capacity)}"
        )
    if plan is None:
        return Outcome.FAIL, e.reason
    if math.isnan(plan.fixed.good):
        return Outcome.INCONCLUSIVE, (
            "no request comes in the whole forecast: nothing was simulated. Give more traffic, or a"
            " longer forecast"
        )
    if plan.fixed.good < objective.attainment:
        return Outcome.FAIL, (
            f"the fixed fleet keeps {amount(plan.fixed.good, 'ratio')} good over the day, not"
            f" {amount(objective.attainment, 'ratio')}"
        )
    return Outcome.PASS, ""


def headline_of(
    capacity: TwinCapacity, plan: ReplicaPlan | None, objective: Objective, spare: int, mix: Mix
) -> Headline:
    """answer - interval - rule in brackets - reason - next step."""
    outcome, reason = verdict_of(capacity, plan, objective)
    rule = f"[{objective.text}]"
    if plan is None:
        if outcome is Outcome.FAIL:
            detail = f"{rule}: {reason}. Loosen the limits, or plan for another deployment."
            return Headline("No number of replicas keeps this SLO", detail, outcome.value)
        open_answer = "Whether any number of replicas keeps this SLO is open"
        return Headline(open_answer, f"{rule}: {reason}.", outcome.value)
    fixed = plan.fixed
    peak = significant(plan.peak_req_per_s)
    parts = [
        f"({fixed.at_lower_bound} at the lower bound, {spare} spare). One replica sustains"
        f" {rate_text(capacity)} with {amount(objective.attainment, 'ratio')} of requests good"
        f" {rule}."
    ]
    if capacity.breaks_first:
        parts.append(f"First limit reached: {capacity.breaks_first}.")
    if mix.recorded is not None:
        parts.append(_bursts(plan))
    scaled = plan.autoscaled
    share = (
        f", {amount(scaled.good, 'ratio')} good"
        if scaled.is_simulated and not math.isnan(scaled.good) else ""
    )  # fmt: skip
    parts.append(
        f"Autoscaled it is {scaled.mean_replicas:.1f} replicas on average{share}:"
        f" {scaled.replica_hours:,.0f} replica-hours instead of {fixed.replica_hours:,.0f}."
    )
    if reason:
        parts.append(f"{reason[0].upper()}{reason[1:]}.")
    needed = counted(fixed.replicas, "replica")
    answer = f"The peak of {peak} req/s needs {needed}"
    if capacity.doubt:
        answer = f"TOO NOISY A CALIBRATION: the peak of {peak} req/s might need {needed}"
    elif capacity.extrapolated:
        answer = f"EXTRAPOLATED: the peak of {peak} req/s would need {needed}"
    return Headline(answer, " ".join(parts), outcome.value)


def rate_text(capacity: TwinCapacity) -> str:
    """`9.40 req/s (95% CI 9.10 to 9.80 req/s)`"""
    e = capacity.estimate
    return f"{amount(e.value or 0.0, 'req/s')} ({interval(e.low, e.high, 'req/s')})"


def _bursts(plan: ReplicaPlan) -> str:
    """What playing a trace adds to its rates."""
    more = plan.fixed.at_lower_bound - plan.fixed.by_rates
    played = "The trace's own arrivals were played on this fleet"
    if not more:
        return f"{played}: its bursts need no more than its rates."
    return (
        f"{played}: its bursts need {counted(more, 'replica')} more than the"
        f" {plan.fixed.by_rates} of its rates."
    )
