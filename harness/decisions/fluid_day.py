"""A day of the forecast on the autoscaled fleet, at several scales, as a fluid of its rates."""

from __future__ import annotations

import math

from harness.decisions.fleet_scales import (
    DAY_S,
    EVERY_S,
    MOST_REPLICAS,
    SCALES,
    ByStairs,
    DayFleet,
    committed_replicas,
    day_of,
)
from harness.decisions.fluid_fleet import fluid_fleet
from harness.decisions.simulated_fleet import FleetDay, SimulatedFleet
from harness.decisions.staircase import FloatArray


def fluid_days(
    shape: FloatArray, window_s: float, fleet: DayFleet, limit_s: float, attainment: float,
    own_req_per_s: float | None = None,
) -> SimulatedFleet:  # fmt: skip
    """shape: [w] rates over their mean.  limit_s: the first-token latency of a good request.

    own_req_per_s: a mean rate that has to be among the scales, unless its fleet is too large.
    """
    day = day_of(shape, window_s)
    own = [] if own_req_per_s is None else [own_req_per_s / fleet.unit_req_per_s]
    loads = {*SCALES, *(x for x in own if x <= 0.5 * MOST_REPLICAS)}
    days = tuple(_one_day(day, window_s, fleet, x, limit_s) for x in sorted(loads))
    return SimulatedFleet(days, (), attainment, "fluid")


def _one_day(
    day: FloatArray, window_s: float, fleet: DayFleet, load: float, limit_s: float
) -> FleetDay:
    rates = day * load * fleet.unit_req_per_s
    found = fluid_fleet(
        rates, window_s, fleet.policy(), capacity_req_per_s=fleet.capacity_req_per_s,
        cold_start_s=fleet.cold_start_s, bill_cold_start=fleet.bill_cold_start, limit_s=limit_s,
        every_s=EVERY_S, initial=max(1, math.ceil(float(day[0]) * load - 1e-9)),
    )  # fmt: skip
    off, paid = fleet.commitment_discount, found.paid_s / found.span_s
    stairs = ByStairs.of(day, load, off)
    return FleetDay(
        load=load, req_per_s=load * fleet.unit_req_per_s, span_s=found.span_s, paid=paid,
        by_stairs=stairs.plain,
        committed=committed_replicas(found.ready_at, found.span_s, paid, off) if off > 0 else None,
        committed_by_stairs=stairs.committed if off > 0 else None,
        starts_per_day=found.starts * DAY_S / found.span_s,
        good_ratio=1 - found.late_ratio, late_ratio=found.late_ratio,
    )  # fmt: skip
