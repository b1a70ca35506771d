"""What is asked of a price comparison: the mix, both tariffs, the capacity, the traffic; and its
draws, which carry the uncertainty of capacity and prices into every answer.

Traffic is in requests/s here; answers speak of tokens an hour, input and output together, or of the
unit that the row asks for (traffic_unit.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.decisions import cost
from harness.decisions.prices import Mix, Tariff, Usd, usd_per_request
from harness.decisions.simulated_fleet import SimulatedFleet
from harness.decisions.staircase import Scaling, Staircase, win_ratio
from harness.decisions.traffic_unit import TrafficUnit, unit_of
from harness.estimate import Estimate
from harness.units import Price

FloatArray = npt.NDArray[np.float64]
Band = tuple[float, float, float]  # low, point, high

NUM_DRAWS = 2000
METHOD = "solved for 2,000 draws of capacity and prices; the middle 95 % of them"
_Z = 1.959963984540054  # standard normal quantile of .975
_OPEN = 1.645  # beyond it lie 5 % of the draws: 2.5 %, the interval's end, are surely among them


@dataclass(frozen=True, slots=True)
class Fleet:
    """On-demand as it is meant to run. price: of one GPU-hour. load_target: 0..1 of the capacity.

    idle_s: of scale to zero; None: one replica is always up.  cold_start_s: from asked for to
    ready; paid where bill_cold_start.  egress_usd_per_req: of what a request's answer weighs.
    """

    gpu: str
    price: Price
    gpus_per_replica: int = 1
    spare: int = 0
    load_target: float = 0.8
    scaling: Scaling = "autoscaled"
    commitment_discount: float = 0.0
    idle_s: float | None = None
    cold_start_s: float = 0.0
    bill_cold_start: bool = False
    egress_usd_per_req: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """A shape, and its mean where the user has one. shape: [n] windows over their mean."""

    name: str
    shape: FloatArray
    mean_req_per_s: float | None = None
    window_s: float = 600.0


STEADY = Traffic("steady", np.ones(1))


@dataclass(frozen=True, slots=True)
class Capacity:
    """req/s that one replica sustains within the SLO. limit_s: how long a request may wait for
    its first token, inf where nothing limits that.

    draws: of the same, where whoever found it has them; else they are made from the interval.
    source: in words.  doubts: why it may be another; with one no answer is sure.
    """

    estimate: Estimate
    limit_s: float = 0.0
    draws: tuple[float, ...] = ()
    source: str = "measured by this run"
    is_measured: bool = True
    doubts: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """All that the answer is made from. simulated: the autoscaled fleet on a twin; None: the
    staircase stands for it.

    Raises ValueError where the capacity has no value, the mix nothing that the row asks for, a
    tariff asks nothing, or the asked fleet lacks what makes it one.
    """

    mix: Mix
    tariff: Tariff
    fleet: Fleet
    capacity: Capacity
    traffic: Traffic = STEADY
    simulated: SimulatedFleet | None = None

    @property
    def unit(self) -> TrafficUnit:
        """What traffic is counted in."""
        return unit_of(self.mix, self.tariff.prices)

    @property
    def units_per_req(self) -> float:
        return self.unit.per_request(self.mix)

    def __post_init__(self) -> None:
        found = self.capacity.estimate
        if found.value is None or not found.value > 0:
            raise ValueError(f"no capacity: {found.reason or 'it was not measured'}")
        if not usd_per_request(self.mix, self.tariff.point()) > 0:
            if self.mix.tok <= 0 and self.mix.audio_min <= 0:
                raise ValueError("the mix has no tokens")
            raise ValueError(f"row {self.tariff.row} asks nothing for these requests")
        if not self.fleet.price.low > 0:
            raise ValueError(f"{self.fleet.gpu} costs nothing")
        if self.fleet.scaling == "committed" and not self.fleet.commitment_discount > 0:
            raise ValueError("no commitment_discount, in the sheet or in cost.on_demand")
        if self.fleet.scaling == "to_zero" and self.fleet.idle_s is None:
            raise ValueError("cost.on_demand.scale_to_zero does not say when the last replica goes")


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Point values, and [NUM_DRAWS] of each. Capacity in req/s, prices in USD."""

    question: Question
    capacity: float
    capacities: FloatArray
    usd_per_req: float
    usds_per_req: FloatArray
    group_usd_per_h: float
    groups_usd_per_h: FloatArray

    @classmethod
    def of(cls, question: Question) -> Draws:
        capacity = question.capacity
        rng = np.random.default_rng([capacity.seed, 2417])
        fleet, num = question.fleet, NUM_DRAWS
        low, high = fleet.price.low, fleet.price.high
        gpu = rng.uniform(low, high, num) if fleet.price.is_range else np.full(num, low)
        bills = usd_per_request(question.mix, question.tariff.draws(num, rng))
        assert capacity.estimate.value is not None
        drawn = (
            rng.choice(np.asarray(capacity.draws), num)
            if capacity.draws
            else capacity_draws(capacity.estimate, num, rng)
        )
        return cls(
            question=question,
            capacity=capacity.estimate.value,
            capacities=drawn,
            usd_per_req=float(usd_per_request(question.mix, question.tariff.point())),
            usds_per_req=np.broadcast_to(np.asarray(bills, np.float64), (num,)),
            group_usd_per_h=fleet.price.point * fleet.gpus_per_replica,
            groups_usd_per_h=gpu * fleet.gpus_per_replica,
        )

    def required(self, ratio: float = 1.0, tok: float = 1.0) -> tuple[float, FloatArray]:
        """u_required at the point, and of every draw; inf where egress alone is dearer. GPU prices
        times ratio, serverless ones times tok."""
        fleet = self.question.fleet
        always = 1 - fleet.commitment_discount if fleet.scaling == "committed" else 1.0

        def need(c: Usd, p: Usd, g: Usd) -> Usd:
            gain = self._gain(np.multiply(p, tok))
            return _over(np.multiply(g, ratio * always), 3600 * np.multiply(c, gain))

        return self._each(need)

    def one_replica(self) -> tuple[float, FloatArray]:
        """T1 in requests/s."""
        return self._each(lambda c, p, g: _over(g, 3600 * self._gain(p)))

    def crossing(
        self, steps: Staircase, ratio: float = 1.0, tok: float = 1.0
    ) -> tuple[float, FloatArray]:
        """T* in requests/s with GPU prices times ratio, serverless ones times tok; inf where none
        lasts."""
        target = self.question.fleet.load_target

        def solve(c: Usd, p: Usd, g: Usd) -> Usd:
            gain = self._gain(np.multiply(p, tok))
            load = steps.crossing(win_ratio(gain, c, np.multiply(g, ratio), target))
            with np.errstate(invalid="ignore"):
                return np.where(np.isinf(load), math.inf, load * target * np.asarray(c))

        return self._each(solve)

    def serverless(self, req_per_s: float) -> tuple[float, FloatArray]:
        """S in USD/h."""
        return self._each(lambda c, p, g: 3600 * req_per_s * p)

    def on_demand(
        self, steps: Staircase, req_per_s: float, ratio: float = 1.0
    ) -> tuple[float, FloatArray]:
        """D in USD/h, GPU prices times ratio. Beyond the staircase it grows by its mean slope."""
        target = self.question.fleet.load_target
        egress = 3600 * req_per_s * self.question.fleet.egress_usd_per_req

        def bill(c: Usd, p: Usd, g: Usd) -> Usd:
            load = req_per_s / (target * np.asarray(c, np.float64))
            inside = steps.mean_replicas(np.minimum(load, steps.end))
            beyond = np.maximum(load - steps.end, 0.0) * steps.slope
            return cost.on_demand_usd_per_h(np.multiply(g, ratio), inside + beyond) + egress

        return self._each(bill)

    def _gain(self, usd_per_req: Usd) -> FloatArray:
        """What a request served on demand saves: its price less its egress."""
        return np.asarray(usd_per_req, np.float64) - self.question.fleet.egress_usd_per_req

    def _each(self, formula: Callable[[Usd, Usd, Usd], Usd]) -> tuple[float, FloatArray]:
        """formula(capacity, USD a request, USD/h a group) at the point and of the draws."""
        with np.errstate(divide="ignore"):
            point = formula(self.capacity, self.usd_per_req, self.group_usd_per_h)
            many = formula(self.capacities, self.usds_per_req, self.groups_usd_per_h)
        drawn = np.broadcast_to(np.asarray(many, np.float64), (NUM_DRAWS,))
        return float(np.asarray(point).reshape(-1)[0]), drawn

    def estimate(
        self, metric: str, unit: str, found: tuple[float, FloatArray], factor: float = 1.0
    ) -> Estimate:
        """value and the middle 95 % of the draws, each times factor."""
        low, value, high = band(found)
        reason = "" if math.isfinite(value) else "no traffic keeps on-demand the cheaper for good"
        capacity = self.question.capacity.estimate
        return Estimate(
            metric, "point", unit, value * factor, low * factor, high * factor, n=capacity.n,
            n_eff=capacity.n_eff, method=METHOD, reason=reason, population="model",
        )  # fmt: skip


def _over(above: Usd, below: Usd) -> FloatArray:
    """above / below, inf where below is not above 0."""
    below = np.asarray(below, np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), math.inf))


def band(found: tuple[float, FloatArray]) -> Band:
    """low, point, high; by order, since infinities are as large as any. The point is inside."""
    value, draws = found
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    return min(float(low), value), value, max(float(high), value)


def capacity_draws(capacity: Estimate, num: int, rng: np.random.Generator) -> FloatArray:
    """[num] draws whose middle 95 % is the estimate's interval, half on each side of the value.

    Lognormal with a spread of its own on each side. A side without an end is open: its outermost
    draws are 0, or so much that one replica serves everything.
    """
    value = capacity.value or 0.0
    z = rng.standard_normal(num)
    if capacity.low is None:
        below = np.where(z < -_OPEN, 0.0, value)
    else:
        below = value * np.exp(z * math.log(value / min(capacity.low, value)) / _Z)
    if capacity.high is None or math.isinf(capacity.high):
        above = np.where(z > _OPEN, value * 1e9, value)
    else:
        above = value * np.exp(z * math.log(max(capacity.high, value) / value) / _Z)
    return np.asarray(np.where(z < 0, below, above), np.float64)
