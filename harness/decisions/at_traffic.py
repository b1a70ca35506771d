"""Both bills at the user's own traffic: who is cheaper, by how much, and is that sure?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.decisions import cost
from harness.decisions.question import Draws
from harness.decisions.staircase import Scaling, Staircase, demand, replicas
from harness.estimate import Estimate

IntArray = npt.NDArray[np.int64]
Choice = Literal["on_demand", "serverless", "too_close"]


@dataclass(frozen=True, slots=True)
class AtTraffic:
    """Both bills at the user's mean traffic, USD/h. saving: what serverless saves; below 0
    on-demand does.  fleets: on-demand bill by scaling.  replicas: at the point capacity.

    used: share of the paid capacity in use.  usd_per_mtok: by tariff.
    """

    tok_per_h: float
    serverless: Estimate
    fleets: dict[str, Estimate]
    saving: Estimate
    choice: Choice
    mean_replicas: float
    most_replicas: int
    used: Estimate
    usd_per_mtok: dict[str, Estimate]
    commitment: Commitment | None = None
    zero: Zero | None = None


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
    tok_per_h = req_per_s * 3600 * question.mix.tok
    serverless = draws.serverless(req_per_s)
    bills = {s: draws.on_demand(own, req_per_s) for s, own in steps.items()}
    point, many = bills[fleet.scaling]
    saving = draws.estimate("saving", "USD/h", (point - serverless[0], many - serverless[1]))
    mean = point / draws.group_usd_per_h
    with np.errstate(divide="ignore", invalid="ignore"):
        paid = draws.capacities * (many / draws.groups_usd_per_h)
        used = np.where(paid > 0, req_per_s / paid, 0.0)
    needed = _needed(draws, fleet.scaling, req_per_s) + fleet.spare
    per_mtok = 1e6 / tok_per_h
    return AtTraffic(
        tok_per_h=tok_per_h,
        serverless=draws.estimate("serverless", "USD/h", serverless),
        fleets={s: draws.estimate(s, "USD/h", bill) for s, bill in bills.items()},
        saving=saving,
        choice=_choice(saving),
        mean_replicas=mean,
        most_replicas=int(needed.max()),
        used=draws.estimate(
            "utilisation", "ratio",
            (float(cost.utilisation(req_per_s, draws.capacity, mean)), used),
        ),
        usd_per_mtok={
            "serverless": draws.estimate("usd_per_mtok", "USD/Mtok", serverless, per_mtok),
            "on_demand": draws.estimate("usd_per_mtok", "USD/Mtok", (point, many), per_mtok),
        },
        commitment=_commitment(draws, needed),
        zero=_zero(draws, req_per_s),
    )  # fmt: skip


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


def _commitment(draws: Draws, needed: IntArray) -> Commitment | None:
    off = draws.question.fleet.commitment_discount
    if off <= 0:
        return None
    best = cost.best_commitment(needed, off)
    bill = cost.committed_usd_per_h(needed, draws.group_usd_per_h, off, best)
    return Commitment(off, best, bill)


def _zero(draws: Draws, req_per_s: float) -> Zero | None:
    """The last replica sleeps by the Poisson formula of each window; others as they are."""
    question, fleet = draws.question, draws.question.fleet
    if fleet.idle_s is None:
        return None
    needed = _needed(draws, "autoscaled", req_per_s)
    each = [
        cost.scale_to_zero(rate, fleet.idle_s, fleet.cold_start_s, question.capacity.limit_s)
        for rate in (question.traffic.shape * req_per_s).tolist()
    ]
    is_last = needed == 1
    up = np.where(is_last, [z.up_share for z in each], 1.0)
    wakes = np.where(is_last, [z.wakes_per_h for z in each], 0.0)
    misses = np.where(is_last, [z.misses_per_h for z in each], 0.0)
    return Zero(
        usd_per_h=draws.group_usd_per_h * (float((needed - 1 + up).mean()) + fleet.spare),
        up_share=float(up.mean()),
        wakes_per_h=float(wakes.mean()),
        miss_share=float(misses.mean() / (req_per_s * 3600)),
    )
