"""The on-demand fleets that are compared, each as replicas paid for over mean load.

    autoscaled   follows the traffic; played on the twin where one was calibrated, else as a fluid
                 of its rates; steady traffic by the staircase
    fixed        sized for the peak
    committed    the cheapest share of the autoscaled one paid always, at the discount
    to_zero      autoscaled, and the last replica goes when nobody asked for a while

By the staircase alone an autoscaler needs no time: a window has what it or the one before it needs.
Days that were played through have its delays and cold starts; sleep is then arithmetic on the
windows (Poisson within each), unless the twin has it in its days.
"""

from __future__ import annotations

import numpy as np

from harness.decisions.cost import best_commitment
from harness.decisions.question import Question
from harness.decisions.staircase import FloatArray, Scaling, Staircase, demand, replicas

LOADS = np.geomspace(1e-6, 1e3, 600)  # where what is no staircase is worked out


def fleets_of(question: Question) -> dict[Scaling, Staircase]:
    """Those that the question describes; the asked one is among them."""
    fleet, twin = question.fleet, question.simulated
    need, spare = demand(question.traffic.shape, "autoscaled"), fleet.spare
    plain, discount = Staircase.of(need, spare), fleet.commitment_discount
    loads, counts = _loads(question), twin is None and fleet.bill_cold_start

    def with_starts(steps: Staircase, off: float) -> Staircase:
        return steps.adjusted(loads, offset=_starting(question, loads, off)) if counts else steps

    found: dict[Scaling, Staircase] = {
        "autoscaled": twin.autoscaled(plain) if twin is not None else with_starts(plain, 0.0),
        "fixed": Staircase.of(demand(question.traffic.shape, "fixed"), spare),
    }
    if discount > 0:
        own = Staircase.committed(need, discount, spare)
        found["committed"] = twin.committed(own) if twin is not None else with_starts(own, discount)
    if fleet.idle_s is not None:
        if twin is not None and twin.to_zero:
            found["to_zero"] = twin.asleep(plain)
        else:
            sleep = _sleeping(question, loads, fleet.idle_s)
            found["to_zero"] = found["autoscaled"].adjusted(loads, offset=sleep)
    return found


def _loads(question: Question) -> FloatArray:
    """Rising; the user's own among them, so that it is worked out there and not between."""
    rate, value = question.traffic.mean_req_per_s, question.capacity.estimate.value
    own = [] if rate is None or not value else [rate / (question.fleet.load_target * value)]
    return np.union1d(LOADS, own)


def _starting(question: Question, loads: FloatArray, discount: float) -> FloatArray:
    """[len(loads)] replicas that are paid while they load, on average over the windows."""
    traffic, cold_s = question.traffic, question.fleet.cold_start_s
    need = demand(traffic.shape, "autoscaled")
    span_s = len(need) * traffic.window_s
    found = np.empty(len(loads))
    for i, load in enumerate(loads.tolist()):
        own = replicas(need, load)
        over = np.maximum(own - (best_commitment(own, discount) if discount else 0), 0)
        found[i] = np.maximum(np.diff(over), 0).sum() * cold_s / span_s
    return found


def _sleeping(question: Question, loads: FloatArray, idle_s: float) -> FloatArray:
    """[len(loads)] replicas not paid, below 0: windows with one replica are up 1 - e^(-lambda w) of
    the time, and wake lambda e^(-lambda w) times a second."""
    fleet, shape = question.fleet, question.traffic.shape
    value = question.capacity.estimate.value or 0.0
    need = demand(shape, "autoscaled")
    rates = loads[:, None] * (shape * value * fleet.load_target)[None, :]
    asleep = np.exp(-rates * idle_s)
    paid_wakes = rates * asleep * (fleet.cold_start_s if fleet.bill_cold_start else 0.0)
    is_last = need[None, :] * loads[:, None] <= 1
    return np.asarray(np.where(is_last, paid_wakes - asleep, 0.0).mean(axis=1), np.float64)
