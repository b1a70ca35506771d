"""Tables of the cost section about fleets: from where each is the cheaper one, and its days."""

from __future__ import annotations

import math

from harness.decisions.at_traffic import AtTraffic
from harness.decisions.cost_answer import CostAnswer
from harness.decisions.crossover_words import FLEET_NAMES, crossing_span, per_day
from harness.decisions.traffic_unit import UNITS
from harness.decisions.wording import amount
from harness.units import brief, format_seconds
from reports.view import Cell, Row, Table


def fleet_told(name: str, own: AtTraffic) -> str:
    """The fleet, with what is particular about it at this traffic."""
    told = FLEET_NAMES[name]
    if name == "committed" and own.commitment is not None:
        c = own.commitment
        return (
            f"{c.replicas} committed at {amount(c.discount, 'ratio')} off, the others by the hour"
        )
    if name == "to_zero" and own.zero is not None:
        z = own.zero
        return (
            f"{told}: up {amount(z.up_share, 'ratio')} of the time, {brief(z.wakes_per_h, 2)} cold"
            f" starts/h, {amount(z.miss_share, 'ratio')} of requests late for one"
        )
    return told


def crossing_table(answer: CostAnswer) -> Table:
    """Of every fleet that the cost block describes."""
    rows = []
    for name, e in answer.crossover.crossing.items():
        value, span = crossing_span(e, answer.crossover.unit)
        rows.append(Row((
            Cell(f"on demand, {FLEET_NAMES[name]}"), Cell(value, raw(e.value)),
            Cell(span.strip(" ()").removeprefix("95% CI ")),
        )))  # fmt: skip
    return Table(
        "crossings", "From which traffic on each fleet is the cheaper one for good",
        (("fleet", "left"), ("above", "right"), ("95% interval", "right")), tuple(rows),
    )  # fmt: skip


def day_table(answer: CostAnswer) -> Table | None:
    """What the twin simulated, a row a scale."""
    twin, own = answer.crossover.simulated, answer.crossover.at_traffic
    unit = answer.crossover.unit
    if twin is None:
        return None
    scale = own.units_per_h / own.day.req_per_s if own is not None and own.day else None
    rows = []
    for kind, days in (("one always up", twin.days), ("the last may sleep", twin.to_zero)):
        rows += [
            Row((
                Cell(kind), Cell(f"{brief(d.req_per_s)} req/s", d.req_per_s),
                Cell(format_seconds(d.span_s), d.span_s),
                Cell(per_day(d.req_per_s * scale, unit) if scale else ""),
                Cell(brief(d.paid), d.paid), Cell(brief(d.by_stairs), d.by_stairs),
                Cell(brief(d.starts_per_day), d.starts_per_day),
                Cell(amount(d.good_ratio, "ratio"), d.good_ratio),
                Cell(amount(d.late_ratio, "ratio"), d.late_ratio),
            ))
            for d in days
        ]  # fmt: skip
    is_fluid = twin.how == "fluid"
    how = (
        "A day of the forecast's shape at each scale: the policy on its rates alone, which flow"
        " evenly. Late: the fleet is too small, and the wait longer than a first token may take;"
        " what bursts of single requests miss is left out, so at most the others are good."
        if is_fluid else
        "A day of the forecast's shape at each scale, or a stretch of it, request by request, on"
        " the twin that this run calibrated."
    )  # fmt: skip
    return Table(
        "fleet-days", f"The autoscaled fleet, {'on the rates alone' if is_fluid else 'simulated'}",
        (("fleet", "left"), ("mean traffic", "right"), ("simulated", "right"),
         (UNITS[unit].noun, "right"),
         ("replicas paid", "right"), ("without delays", "right"), ("cold starts a day", "right"),
         ("good" if not is_fluid else "good, at most", "right"),
         ("late for a cold start" if not is_fluid else "late for a replica", "right")),
        tuple(rows),
        f"{how} Spares apart. Without delays: each window has what it or the last one needs."
        f" {amount(twin.attainment, 'ratio')} good are asked.",
    )  # fmt: skip


def raw(value: float | None) -> float | None:
    """What a table is sorted by."""
    return value if value is not None and math.isfinite(value) else None
