"""Both bills at the user's own traffic: who is cheaper, by how much, and is that sure?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.decisions import cost
from harness.decisions.question import Draws
from harness.decisions.simulated_fleet import FleetDay
from harness.decisions.staircase import Scaling, Staircase, demand, replicas
from harness.estimate import Estimate

IntArray = npt.NDArray[np.int64]
Bill = tuple[float, npt.NDArray[np.float64]]  # USD/h at the point, and of each draw
Choice = Literal["on_demand", "serverless", "too_close"]
_DEAR = {"tok": "usd_per_mtok", "audio_min": "usd_per_audio_min", "req": "usd_per_1k_req"}


@dataclass(frozen=True, slots=True)
class AtTraffic:
    """Both bills at the user's mean traffic, USD/h. saving: what serverless saves; below 0
    on-demand does.  fleets: on-demand bill by scaling.  replicas: at the point capacity.

    units_per_h: of the question's unit (traffic_unit.py), tokens nearly always.
    used: share of the paid capacity in use.  usd_per_priced: of as many units as a price is for
    (a million tokens), by tariff; `on_demand_good` where the
    twin says which requests keep their limits.  day: of the autoscaled fleet at just this traffic,
    None where no twin was asked.
    """

    units_per_h: float
    serverless: Estimate
    fleets: dict[str, Estimate]
    saving: Estimate
    choice: Choice
    mean_replicas: float
    most_replicas: int
    used: Estimate
    usd_per_priced: dict[str, Estimate]
    commitment: Commitment | None = None
    zero: Zero | None = None
    day: FleetDay | None = None


@dataclass(frozen=True, slots=True)
class Commitment:
    """The cheapest number of replicas to commit to, and the bill with it, USD/h."""

    discount: float
    replicas: int
    usd_per_h: float


@dataclass(frozen=True, slots=True)
class Zero:
    """Scale to zero at the user's traffic: the bill, and what it does to good requests."""

    usd_per_h: float
    up_share: float
    wakes_per_h: float
    miss_share: float


def at_traffic(draws: Draws, steps: dict[Scaling, Staircase], req_per_s: float) -> AtTraffic:
    """req_per_s: the mean of the user's traffic."""
    question, fleet = draws.question, draws.question.fleet
    unit = question.unit
    units_per_h = req_per_s * 3600 * question.units_per_req
    serverless = draws.serverless(req_per_s)
    bills = {s: draws.on_demand(own, req_per_s) for s, own in steps.items()}
    point, many = bills[fleet.scaling]
    saving = draws.estimate("saving", "USD/h", (point - serverless[0], many - serverless[1]))
    needed = _needed(draws, fleet.scaling, req_per_s) + fleet.spare
    per_priced, priced = unit.in_price / units_per_h, f"USD/{unit.price_unit}"
    day = _day(draws, req_per_s, is_asleep=False)
    dear = {
        "serverless": draws.estimate(_DEAR[unit.id], priced, serverless, per_priced),
        "on_demand": draws.estimate(_DEAR[unit.id], priced, (point, many), per_priced),
    }
    is_known = question.simulated is not None and question.simulated.how == "twin"
    if day is not None and is_known and day.good_ratio > 0:
        dear["on_demand_good"] = draws.estimate(
            _DEAR[unit.id].replace("per_", "per_good_"),
            priced,
            bills["autoscaled"],
            per_priced / day.good_ratio,
        )
    mean, used = _use(draws, steps, req_per_s)
    return AtTraffic(
        units_per_h=units_per_h,
        serverless=draws.estimate("serverless", "USD/h", serverless),
        fleets={s: draws.estimate(s, "USD/h", bill) for s, bill in bills.items()},
        saving=saving,
        choice=_choice(saving),
        mean_replicas=mean,
        most_replicas=int(needed.max()),
        used=used,
        usd_per_priced=dear,
        commitment=_commitment(draws, needed, bills),
        zero=_zero(draws, req_per_s, bills),
        day=day,
    )


def _use(draws: Draws, steps: dict[Scaling, Staircase], req_per_s: float) -> tuple[float, Estimate]:
    """Replicas up on average, and the share of what they can that the traffic uses. A commitment
    changes prices, not replicas."""
    fleet = draws.question.fleet
    own = steps["autoscaled" if fleet.scaling == "committed" else fleet.scaling]
    point, many = draws.on_demand(own, req_per_s)
    egress = 3600 * req_per_s * fleet.egress_usd_per_req
    mean = (point - egress) / draws.group_usd_per_h
    with np.errstate(divide="ignore", invalid="ignore"):
        paid = draws.capacities * ((many - egress) / draws.groups_usd_per_h)
        used = np.where(paid > 0, req_per_s / paid, 0.0)
    value = float(cost.utilisation(req_per_s, draws.capacity, mean))
    return mean, draws.estimate("utilisation", "ratio", (value, used))


def _day(draws: Draws, req_per_s: float, *, is_asleep: bool) -> FleetDay | None:
    """The simulated day at this traffic."""
    twin = draws.question.simulated
    days = () if twin is None else twin.to_zero if is_asleep else twin.days
    return next((d for d in days if math.isclose(d.req_per_s, req_per_s, rel_tol=1e-6)), None)


def _needed(draws: Draws, scaling: Scaling, req_per_s: float) -> IntArray:
    """[n] replicas of each window at the point capacity, spares apart."""
    question = draws.question
    load = req_per_s / (question.fleet.load_target * draws.capacity)
    return replicas(demand(question.traffic.shape, scaling), load)


def _choice(saving: Estimate) -> Choice:
    assert saving.low is not None
    assert saving.high is not None
    if saving.low > 0:
        return "serverless"
    return "on_demand" if saving.high < 0 else "too_close"


def _commitment(draws: Draws, needed: IntArray, bills: dict[Scaling, Bill]) -> Commitment | None:
    off = draws.question.fleet.commitment_discount
    if "committed" not in bills:
        return None
    return Commitment(off, cost.best_commitment(needed, off), bills["committed"][0])


def _zero(draws: Draws, req_per_s: float, bills: dict[Scaling, Bill]) -> Zero | None:
    """Of the simulated day, or by the Poisson formula of each window with one replica."""
    question, fleet = draws.question, draws.question.fleet
    if fleet.idle_s is None:
        return None
    bill, day = bills["to_zero"][0], _day(draws, req_per_s, is_asleep=True)
    if day is not None:
        up = min(1.0, day.paid / day.by_stairs)
        return Zero(bill, up, day.starts_per_day / 24, day.late_ratio)
    needed = _needed(draws, "autoscaled", req_per_s)
    each = [
        cost.scale_to_zero(rate, fleet.idle_s, fleet.cold_start_s, question.capacity.limit_s)
        for rate in (question.traffic.shape * req_per_s).tolist()
    ]
    is_last = needed == 1
    up_shares = np.where(is_last, [z.up_share for z in each], 1.0)
    wakes = np.where(is_last, [z.wakes_per_h for z in each], 0.0)
    misses = np.where(is_last, [z.misses_per_h for z in each], 0.0)
    return Zero(
        usd_per_h=bill,
        up_share=float(up_shares.mean()),
        wakes_per_h=float(wakes.mean()),
        miss_share=float(misses.mean() / (req_per_s * 3600)),
    )
