"""Serverless or on-demand: the traffic from which a fleet paid by the hour is the cheaper one.

The answer is drawn, not computed once: capacity from its interval, prices from their ranges; each
draw is solved exactly on the staircase of the fleet. Point values are those of the point inputs,
intervals the middle 95 % of the draws. Traffic is in tokens an hour, input and output together.

It says nothing of latency: the capacity already is the rate within the SLO. Cold starts are not
billed, egress is not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.decisions.at_traffic import AtTraffic, at_traffic
from harness.decisions.cost_curve import Cell, Curve, cost_curve, price_cells
from harness.decisions.question import Draws, Question
from harness.decisions.staircase import Regime, Scaling, Staircase, win_ratio
from harness.estimate import Estimate, Outcome

Feasibility = Literal["feasible", "infeasible", "uncertain"]
SCALINGS: tuple[Scaling, ...] = ("autoscaled", "fixed")
MOST_REGIMES = 12


@dataclass(frozen=True, slots=True)
class Crossover:
    """The answer. crossing: by scaling, tokens/h, inf where none lasts.  one_replica: T1, tokens/h.

    reach: the most of what it pays for that the asked fleet can use with this traffic, 0..1.
    regimes: of the asked scaling at point values, tokens/h.  outcome: pass where the answer is
    sure, inconclusive where intervals leave it open.
    """

    required: Estimate
    feasibility: Feasibility
    one_replica: Estimate
    crossing: dict[str, Estimate]
    reach: float
    regimes: tuple[Regime, ...]
    scaling: Scaling
    load_target: float
    serverless_usd_per_mtok: float
    group_usd_per_h: float
    at_traffic: AtTraffic | None
    outcome: Outcome
    curve: Curve
    cells: tuple[Cell, ...]

    @property
    def asked(self) -> Estimate:
        return self.crossing[self.scaling]


def find_crossover(question: Question) -> Crossover:
    """Feasibility, the lasting crossing by scaling, and who is cheaper at the user's traffic."""
    draws = Draws.of(question)
    steps = {s: draws.staircase(s) for s in SCALINGS}
    scaling, rate = question.fleet.scaling, question.traffic.mean_req_per_s
    per_req = question.mix.tok * 3600  # tokens/h of one request/s
    required = draws.estimate("required_utilisation", "ratio", draws.required())
    one = draws.estimate("one_replica_crossing", "tok/h", draws.one_replica(), per_req)
    crossing: dict[str, Estimate] = {
        s: draws.estimate("crossover", "tok/h", draws.crossing(own), per_req)
        for s, own in steps.items()
    }
    own = at_traffic(draws, steps, rate) if rate is not None else None
    feasibility, asked = _feasibility(required), crossing[scaling]
    ends = [one.value, asked.value, asked.low, asked.high, own.tok_per_h if own else None]
    return Crossover(
        required=required,
        feasibility=feasibility,
        one_replica=one,
        crossing=crossing,
        reach=question.fleet.load_target / steps[scaling].slope,
        regimes=_regimes(draws, steps[scaling]),
        scaling=scaling,
        load_target=question.fleet.load_target,
        serverless_usd_per_mtok=draws.usd_per_req / question.mix.tok * 1e6,
        group_usd_per_h=draws.group_usd_per_h,
        at_traffic=own,
        outcome=_outcome(feasibility, asked, own, bool(question.capacity.doubts)),
        curve=cost_curve(draws, steps[scaling], [t for t in ends if t is not None]),
        cells=price_cells(draws, steps[scaling], rate),
    )


def _regimes(draws: Draws, steps: Staircase) -> tuple[Regime, ...]:
    """Which tariff is the cheaper between which tokens/h, at the point values."""
    target = draws.question.fleet.load_target
    kappa = float(win_ratio(draws.usd_per_req, draws.capacity, draws.group_usd_per_h, target))
    unit = draws.capacity * target * draws.question.mix.tok * 3600
    return tuple(
        Regime(r.low * unit, r.high * unit, r.is_on_demand)
        for r in steps.regimes(kappa, most=MOST_REGIMES)
    )


def _feasibility(required: Estimate) -> Feasibility:
    """Whether on-demand can win at all: a replica in full use must cost less than its tokens do."""
    assert required.low is not None
    assert required.high is not None
    if required.low > 1:
        return "infeasible"
    return "feasible" if required.high <= 1 else "uncertain"


def _outcome(
    feasibility: Feasibility, crossing: Estimate, own: AtTraffic | None, is_doubtful: bool
) -> Outcome:
    """With a traffic of the user's the question is who is cheaper there; else where they cross."""
    if is_doubtful:
        return Outcome.INCONCLUSIVE
    if own is not None:
        return Outcome.INCONCLUSIVE if own.choice == "too_close" else Outcome.PASS
    is_known = math.isfinite(crossing.low or 0.0) == math.isfinite(crossing.high or 0.0)
    is_open = feasibility == "uncertain" or not is_known
    return Outcome.INCONCLUSIVE if is_open else Outcome.PASS
