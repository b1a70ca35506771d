"""What a deployment costs an hour, and what a token of it costs: arithmetic, no statistics.

Names: a *group* is the GPUs of one replica at their hourly price, g P; capacity is what one replica
sustains within the SLO, measured, in tokens or requests; utilisation is always computed from
traffic, capacity and replicas, never assumed. Intervals are made in crossover.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.decisions.prices import Mix, Rates, Usd, usd_per_request

IntArray = npt.NDArray[np.int64]


def serverless_usd_per_h(req_per_s: float, mix: Mix, rates: Rates) -> Usd:
    """S: what this traffic costs an hour, paid by use. req_per_s: of the mix, on average."""
    return 3600 * req_per_s * usd_per_request(mix, rates)


def on_demand_usd_per_h(group_usd_per_h: Usd, mean_replicas: Usd) -> Usd:
    """D = g P E[R]: what a fleet costs an hour. mean_replicas: over the traffic, with spares."""
    return group_usd_per_h * mean_replicas


def utilisation(mean_rate: Usd, capacity: Usd, mean_replicas: Usd) -> Usd:
    """u = E[load] / (C E[R]): the share of what is paid for that the traffic uses.

    mean_rate, capacity: in one unit (tokens/h, or requests/s), capacity of one replica.
    """
    return mean_rate / (capacity * mean_replicas)


def usd_per_mtok(group_usd_per_h: Usd, capacity_tok_per_h: Usd, used: Usd) -> Usd:
    """g P / (C u): USD of a million tokens on demand. used: 0..1, from utilisation()."""
    return group_usd_per_h / (capacity_tok_per_h / 1e6 * used)


def required_utilisation(
    group_usd_per_h: Usd, capacity_tok_per_h: Usd, blend_usd_per_mtok: Usd
) -> Usd:
    """u_required = g P / (C p_blend): above 1 on-demand never wins, whatever the traffic."""
    return group_usd_per_h / (capacity_tok_per_h / 1e6 * blend_usd_per_mtok)


def one_replica_crossing(group_usd_per_h: Usd, usd_per_unit: Usd) -> Usd:
    """T1 = g P / p: units an hour at which one replica, always up, costs what serverless does.

    A bound from below on every real crossing; whether one replica sustains that much is another
    question (required_utilisation).
    """
    return group_usd_per_h / usd_per_unit


def committed_usd_per_h(
    replicas: IntArray, group_usd_per_h: float, discount: float, committed: int
) -> float:
    """Mean USD/h with `committed` replicas paid always at 1 - discount, others when they are up.

    replicas: [n] needed in each window.  D = g P (1 - d) R_c + g P E[(R - R_c)+].
    """
    over = np.maximum(replicas - committed, 0).mean()
    return group_usd_per_h * ((1 - discount) * committed + float(over))


def best_commitment(replicas: IntArray, discount: float) -> int:
    """The cheapest number to commit to: the least R_c with P(R <= R_c) >= d, the d-quantile.

    (The newsvendor: one more committed replica saves the full price when it is used, P(R > R_c),
    and costs 1 - d always.) discount 0 commits to nothing.
    """
    if discount <= 0:
        return 0
    ordered = np.sort(replicas)
    rank = math.ceil(discount * len(ordered) - 1e-9)  # a share that is a whole count, as it is
    return int(ordered[min(max(rank, 1), len(ordered)) - 1])


@dataclass(frozen=True, slots=True)
class ScaledToZero:
    """One replica that goes away after an idle window, under Poisson traffic.

    up_share: of time it is paid for, 0..1.  wakes_per_h: cold starts.  misses_per_h: requests that
    wait longer than the limit for one.  miss_share: of all requests.
    """

    up_share: float
    wakes_per_h: float
    misses_per_h: float
    miss_share: float


def scale_to_zero(
    req_per_s: float, idle_s: float, cold_start_s: float = 0.0, limit_s: float = 0.0
) -> ScaledToZero:
    """up share 1 - e^(-lambda w), wakes lambda e^(-lambda w), misses a wake 1 + lambda (t - l)+.

    idle_s: w, from the last request to gone.  cold_start_s: t, from the waking request to ready.
    limit_s: l, the latency a good request may have; a cold start within it misses nothing.
    """
    asleep = math.exp(-req_per_s * idle_s)
    wakes_per_s = req_per_s * asleep
    late_s = max(0.0, cold_start_s - limit_s)
    misses = wakes_per_s * (1 + req_per_s * late_s) if late_s > 0 else 0.0
    misses = min(misses, req_per_s)  # starts longer than the gaps: the formula counts some twice
    share = misses / req_per_s if req_per_s > 0 else 0.0
    return ScaledToZero(1 - asleep, wakes_per_s * 3600, misses * 3600, share)
