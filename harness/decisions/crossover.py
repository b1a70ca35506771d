"""Serverless or on-demand: the traffic from which a fleet paid by the hour is the cheaper one.

The answer is drawn, not computed once: capacity from its interval, prices from their ranges; each
draw is solved exactly on the staircase of the fleet. Point values are those of the point inputs,
intervals the middle 95 % of the draws. Traffic is in tokens an hour, input and output
together, or in what the serverless row asks for instead (traffic_unit.py).

The capacity already is the rate within the SLO; a fleet simulated by the twin adds what its delays
and cold starts do to requests, and then each crossing of it is also worked out a good request. A
fluid of the rates (no twin) tells how many are late for a replica, and no cost of a good one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.decisions.at_traffic import AtTraffic, at_traffic
from harness.decisions.cost_curve import Cell, Curve, cost_curve, price_cells
from harness.decisions.fleets import fleets_of
from harness.decisions.question import Draws, Question
from harness.decisions.simulated_fleet import SimulatedFleet
from harness.decisions.staircase import Regime, Scaling, Staircase, demand, win_ratio
from harness.decisions.traffic_unit import UnitId
from harness.estimate import Estimate, Outcome

Feasibility = Literal["feasible", "infeasible", "uncertain"]
PER_GOOD = "autoscaled_good"  # the autoscaled fleet's crossing for each good request
MOST_REGIMES = 12


@dataclass(frozen=True, slots=True)
class Crossover:
    """The answer. unit: what traffic is counted in, tokens nearly always.  crossing: by fleet,
    units/h, inf where none lasts, 0 where any traffic will do;
    `autoscaled_good`: where it is the cheaper for each good request too.  one_replica: T1.

    reach: the most of what it pays for that the asked fleet can use with this traffic, 0..1.
    regimes: of the asked scaling at point values, units/h.  outcome: pass where the answer is
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
    serverless_usd_per_priced: float
    group_usd_per_h: float
    at_traffic: AtTraffic | None
    outcome: Outcome
    curve: Curve
    cells: tuple[Cell, ...]
    simulated: SimulatedFleet | None = None
    unit: UnitId = "tok"

    @property
    def asked(self) -> Estimate:
        return self.crossing[self.scaling]


def find_crossover(question: Question) -> Crossover:
    """Feasibility, the lasting crossing by scaling, and who is cheaper at the user's traffic."""
    draws = Draws.of(question)
    steps, twin = fleets_of(question), question.simulated
    scaling, rate = question.fleet.scaling, question.traffic.mean_req_per_s
    unit = question.unit
    per_req, rate_unit = question.units_per_req * 3600, f"{unit.id}/h"  # of one request/s
    required = draws.estimate("required_utilisation", "ratio", draws.required())
    one = draws.estimate("one_replica_crossing", rate_unit, draws.one_replica(), per_req)
    crossing: dict[str, Estimate] = {
        s: draws.estimate("crossover", rate_unit, draws.crossing(own), per_req)
        for s, own in steps.items()
    }
    if twin is not None and twin.how == "twin":
        good = twin.per_good(Staircase.of(demand(question.traffic.shape, "autoscaled"),
                                          question.fleet.spare))  # fmt: skip
        crossing[PER_GOOD] = draws.estimate("crossover", rate_unit, draws.crossing(good), per_req)
    own = at_traffic(draws, steps, rate) if rate is not None else None
    feasibility, asked = _feasibility(required), crossing[scaling]
    ends = [one.value, asked.value, asked.low, asked.high, own.units_per_h if own else None]
    return Crossover(
        required=required,
        feasibility=feasibility,
        one_replica=one,
        crossing=crossing,
        reach=min(1.0, question.fleet.load_target / steps[scaling].slope),
        regimes=_regimes(draws, steps[scaling]),
        scaling=scaling,
        load_target=question.fleet.load_target,
        serverless_usd_per_priced=draws.usd_per_req / question.units_per_req * unit.in_price,
        group_usd_per_h=draws.group_usd_per_h,
        at_traffic=own,
        outcome=_outcome(
            feasibility, asked, own, bool(question.capacity.doubts) or _is_late(question, own)
        ),
        curve=cost_curve(draws, steps, [t for t in ends if t is not None]),
        cells=price_cells(draws, steps[scaling], rate),
        simulated=twin,
        unit=unit.id,
    )


def _regimes(draws: Draws, steps: Staircase) -> tuple[Regime, ...]:
    """Which tariff is the cheaper between which units/h, at the point values."""
    target = draws.question.fleet.load_target
    gain = draws.usd_per_req - draws.question.fleet.egress_usd_per_req
    kappa = float(win_ratio(gain, draws.capacity, draws.group_usd_per_h, target))
    one = draws.capacity * target * draws.question.units_per_req * 3600  # a replica's load
    return tuple(
        Regime(r.low * one, r.high * one, r.is_on_demand)
        for r in steps.regimes(kappa, most=MOST_REGIMES)
    )


def _feasibility(required: Estimate) -> Feasibility:
    """Whether on-demand can win: a replica in full use has to cost less than what it serves."""
    assert required.low is not None
    assert required.high is not None
    if required.low > 1:
        return "infeasible"
    return "feasible" if required.high <= 1 else "uncertain"


def _is_late(question: Question, own: AtTraffic | None) -> bool:
    """The fleet that comes out cheaper keeps fewer requests good than the SLO asks: no like for
    like. (Where serverless is the cheaper, it is so all the more.)"""
    twin = question.simulated
    if own is None or own.day is None or twin is None or own.choice != "on_demand":
        return False
    if question.fleet.scaling == "to_zero" and own.zero is not None:
        return 1 - own.zero.miss_share < twin.attainment
    return question.fleet.scaling != "fixed" and own.day.good_ratio < twin.attainment


def _outcome(
    feasibility: Feasibility, crossing: Estimate, own: AtTraffic | None, is_doubtful: bool
) -> Outcome:
    """With a traffic of the user's the question is who is cheaper there; else where they cross."""
    if is_doubtful:
        return Outcome.INCONCLUSIVE
    if own is not None:
        return Outcome.INCONCLUSIVE if own.choice == "too_close" else Outcome.PASS
    if crossing.low == math.inf:  # in every draw: never is an answer, whatever one replica could
        return Outcome.PASS
    is_open = feasibility == "uncertain" or crossing.high == math.inf
    return Outcome.INCONCLUSIVE if is_open else Outcome.PASS
