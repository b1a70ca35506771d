"""The replicas section: the sentence, replicas over the day, headroom, and what they rest on.

Reads the `replicas` part of plan.json. What leaves the swept region is said before any figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.estimate import Outcome
from harness.units import format_seconds, significant
from reports._bound import BOUND_NOTE, bound_words
from reports._text import percent, plain_time
from reports.view import (
    Align,
    Block,
    Cell,
    Chart,
    Limit,
    Line,
    Panel,
    Row,
    Section,
    Sentence,
    Table,
    folded,
)

Part = Mapping[str, Any]
MOST_ROWS = 48  # hours of the table; the sheet has all
MOST_MS = 10_000  # of an axis: beyond it is told in seconds
_HOURS: tuple[tuple[str, Align], ...] = (
    ("hour", "right"), ("mean req/s", "right"), ("peak req/s", "right"), ("needed", "right"),
    ("if each sustains the upper end", "right"), ("autoscaled", "right"),
    ("good, fixed", "right"), ("good, autoscaled", "right"),
)  # fmt: skip
_FLEETS: tuple[tuple[str, Align], ...] = (
    ("fleet", "left"), ("replicas, mean", "right"), ("most", "right"), ("replica-hours", "right"),
    ("good", "right"), ("good, one down", "right"),
)  # fmt: skip
_NAMES = {
    "a0": "shortest step", "b": "step, at the corner's line", "a1": "a token of a step",
    "d": "a decoding sequence", "c": "a token of context", "e": "a prompt token squared",
    "o": "outside the engine", "r": "a request that others wait for",
    "g": "a prompt token just before",
    "h": "first step after a pause",
}  # fmt: skip


def replica_sentence(part: Part | None) -> tuple[Sentence, ...]:
    """First in the report: who plans reads it first."""
    if part is None:
        return ()
    return (Sentence(part["answer"], part["detail"], part["verdict"]),)


def planned_outcome(part: Part | None) -> tuple[Outcome, ...]:
    """What the plan came to; nothing where nothing was planned."""
    return () if part is None else (Outcome(part["verdict"]),)


def replicas_section(part: Part | None) -> Section | None:
    """None where nothing was planned."""
    if part is None:
        return None
    blocks: list[Block | None] = [
        _day(part), _headroom(part), *folded(_hour_table(part)), _ground(part)
    ]  # fmt: skip
    reason = part["reason"]
    lead = f"{reason[0].upper()}{reason[1:]}." if reason else ""
    return Section("replicas", "Replicas", lead, tuple(b for b in blocks if b))


def _day(part: Part) -> Chart | None:
    hours = part["hours"]
    if len(hours) < 2:
        return None
    x = tuple(float(h["hour"]) for h in hours)
    fixed = float(part["fixed"]["replicas"])

    def row(name: str) -> tuple[float, ...]:
        return tuple(float(h[name]) for h in hours)

    lines = (
        Line(
            "needed at the hour's peak",
            x,
            row("likely"),
            row("fewest"),
            row("needed"),
            is_step=True,
            width=1.0,
        ),
        Line("autoscaled", x, row("autoscaled"), is_step=True, width=1.0),
    )
    rates = (
        Line("busiest window", x, row("peak_req_per_s"), is_step=True, width=1.0),
        Line("mean", x, row("mean_req_per_s"), is_guide=True, is_step=True, width=1.0),
    )
    busiest = max(hours, key=lambda h: h["peak_req_per_s"])
    quietest = min(hours, key=lambda h: h["peak_req_per_s"])
    caption = (
        f"{busiest['needed']} replicas carry hour {busiest['hour']}"
        f" ({significant(busiest['peak_req_per_s'])} req/s), {quietest['needed']} hour"
        f" {quietest['hour']} ({significant(quietest['peak_req_per_s'])} req/s); a fixed fleet has"
        f" {fixed:.0f} all day."
    )
    return Chart(
        "chart-replicas", "Replicas over the day", caption,
        "Needed: the busiest window of an hour over what one replica sustains; the band is its 95%"
        " interval, over the draws of the step fit, of the server's pace and of the arrivals."
        f"{_PLAYED * _is_played(part)} Autoscaled: ready replicas, mean of the hour, in the"
        " simulated day.",
        caption, "hour of the forecast",
        (Panel("replicas", lines, limits=(Limit(fixed, f"fixed fleet {fixed:.0f}"),)),
         Panel("requests/s", rates)),
        is_wide=True,
    )  # fmt: skip


_PLAYED = (
    " An hour of the trace whose own arrivals, played on so many, keep fewer good than asked has as"
    " many as they need."
)


def _is_played(part: Part) -> bool:
    return bool(part.get("arrivals", {}).get("how") == "trace")


def _headroom(part: Part) -> Chart | None:
    rows = part["capacity"]["headroom"]
    if len(rows) < 2:
        return None
    x = tuple(row["load_ratio"] * 100 for row in rows)
    good = tuple(row["good_ratio"] * 100 for row in rows)
    low, high = (tuple(row[k] * 100 for row in rows) for k in ("good_low", "good_high"))
    asked = part["objective"]["attainment"]
    late = [(row["load_ratio"] * 100, row["ttft_p95_s"]) for row in rows]
    reached = [(a, b * 1e3) for a, b in late if isinstance(b, float) and math.isfinite(b)]
    limit_s = part["objective"]["ttft_s"]
    limits = (Limit(limit_s * 1e3, f"TTFT limit {format_seconds(limit_s)}"),) if limit_s else ()
    first = next((row for row in rows if row["good_ratio"] < asked), None)
    told = (
        f"good requests fall below {asked * 100:.4g}% between"
        f" {_before(rows, first) * 100:.0f}% and {first['load_ratio'] * 100:.0f}% of the sustained"
        " rate" if first else "every load shown keeps the share asked for"
    )  # fmt: skip
    breaks = part["capacity"]["breaks_first"]
    caption = f"{told[0].upper()}{told[1:]}." + (
        f" First limit reached: {breaks}." if breaks else ""
    )
    is_long = any(b >= MOST_MS for _, b in reached)
    unit, factor = ("seconds", 1e-3) if is_long else ("milliseconds", 1.0)
    panels = [
        Panel("% good requests", (Line("good", x, good, low, high, has_marks=True),),
              limits=(Limit(asked * 100, f"asked for {asked * 100:.4g}%"),)),
    ]  # fmt: skip
    if len(reached) > 1:
        xs, ys = (tuple(column) for column in zip(*reached, strict=True))
        tail = Line("TTFT p95", xs, tuple(y * factor for y in ys), has_marks=True)
        scaled = tuple(one._replace(value=one.value * factor) for one in limits)
        panels.append(Panel(unit, (tail,), "log", limits=scaled))
    return Chart(
        "chart-headroom", "Headroom of one replica", caption,
        "Simulated, one replica, by the calibrated twin; load is a share of the sustained rate."
        " The band is that of 20 draws of the step fit and of the server's pace, at the same"
        " arrivals.",
        caption, "% of the sustained rate", tuple(panels),
    )  # fmt: skip


def _before(rows: Sequence[Part], first: Part) -> float:
    """The last load before the first that misses; 0 where that is the first of all."""
    index = list(rows).index(first)
    return float(rows[index - 1]["load_ratio"]) if index else 0.0


def fleets_table(part: Part | None) -> Table | None:
    """The answer in figures; None where nothing was planned, or nothing sustains the SLO."""
    if part is None:
        return None
    fixed, scaled = part["fixed"], part["autoscaled"]
    if fixed is None or scaled is None:
        return None
    spare = part["fleet"]["spare"]
    rows = (
        Row((Cell(f"fixed: {fixed['at_lower_bound']} and {spare} spare"),
             _count(fixed["replicas"]), _count(fixed["replicas"]), _hours_of(fixed),
             _share(fixed["good"]), _share(fixed["good_without_one"]))),
        Row((Cell(f"autoscaled to {part['fleet']['load_target']:.0%} load"),
             _count(scaled["mean_replicas"], 1), _count(scaled["most_replicas"]),
             _hours_of(scaled), _share(scaled["good"], scaled["is_simulated"]), Cell(""))),
    )  # fmt: skip
    cold = (
        f" {scaled['cold_starts']} cold starts of"
        f" {plain_time(part['fleet']['cold_start_s'])}." if scaled["is_simulated"] else
        " Autoscaled by arithmetic: the day has too many requests to simulate its delays."
    )  # fmt: skip
    return Table(
        "fleets", "Two fleets for this traffic", _FLEETS, rows,
        "Every request of the forecast was simulated on either fleet"
        f" ({part['num_requests']:,}; least loaded replica first); one down: at the peak."
        f"{cold}",
    )  # fmt: skip


def _hour_table(part: Part) -> Table | None:
    if not part["hours"]:
        return None
    is_simulated = part["autoscaled"]["is_simulated"]
    rows = tuple(
        Row((
            _count(h["hour"]), _number(h["mean_req_per_s"]), _number(h["peak_req_per_s"]),
            _count(h["needed"]), _count(h["fewest"]), _count(h["autoscaled"], 1),
            _share(h["good_fixed"]), _share(h["good_autoscaled"], is_simulated),
        ))
        for h in part["hours"][:MOST_ROWS]
    )  # fmt: skip
    more = len(part["hours"]) - len(rows)
    rest = f" {more} hours more are in plan-replicas.csv." if more > 0 else ""
    return Table(
        "replica-hours", "Hour by hour", _HOURS, rows,
        "Needed: if each replica sustains only the lower end of its interval."
        f"{_PLAYED * _is_played(part)}{rest}",
    )  # fmt: skip


def law_rows(calibration: Part) -> list[Row]:
    """The law's parameters with their intervals, its error, where it was measured."""
    rows = [
        Row((Cell(f"{_NAMES[name]} ({name})"), Cell(_parameter(e), e["value"])))
        for name, e in calibration["parameters"].items()
        if e["value"]
    ]
    held = calibration["held_out"]
    corners = ", ".join(f"{n:.0f} x {k:,.0f}" for n, k in calibration["swept"]["envelope"])
    told = [
        ("points held out of the fit", f"within {percent(held['median_ratio'])} (median),"
         f" {percent(held['p90_ratio'])} (nine of ten), {percent(held['worst_ratio'])} (worst)"),
        ("swept", f"sequences x context {corners}; prompts up to"
         f" {calibration['swept']['max_prompt_tok']:,} tokens"),
    ]  # fmt: skip
    return [*rows, *(Row((Cell(name), Cell(text))) for name, text in told)]


def _ground(part: Part) -> Table:
    """The parameters with their intervals, and everything else the plan assumes."""
    calibration, mix, forecast = part["calibration"], part["mix"], part["forecast"]
    bound = bound_words(part)
    told = [
        *([("at most, by step times alone (fluid bound)", bound)] if bound else []),
        ("traffic", f"{mix['name']}: {mix['mean_in_tok']:.0f} tokens in,"
         f" {mix['mean_out_tok']:.0f} out on average"),
        ("arrivals", part["arrivals"]["told"] if "arrivals" in part else
         f"gaps of CV {mix['cv']:.3g}"),  # a plan stored before traces were played
        ("forecast", f"{forecast['name']}: {forecast['source']}"),
        *(("assumed, not told by the endpoint", text) for text in part["assumed"]),
        *(("outside what was swept", text) for text in part["capacity"]["extrapolated"]),
    ]  # fmt: skip
    rows = [*law_rows(calibration), *(Row((Cell(name), Cell(text))) for name, text in told)]
    return Table(
        "replica-ground", "What the plan rests on", (("quantity", "left"), ("value", "left")),
        tuple(rows), law_note(calibration) + BOUND_NOTE * bool(bound),
    )  # fmt: skip


def law_note(calibration: Part) -> str:
    """The law's formula."""
    return (
        "A step takes max(a0, b + a1 n) + d D + c K + e sum p (x + p/2) + r N: n tokens in it, D"
        " decoding sequences with context K, chunks p of prompts after x earlier tokens, N requests"
        " that it admits. Intervals are 95%,"
        f" of {calibration['num_draws']} bootstrap draws."
    )


_UNITS = {"s": (1e3, "ms"), "s/tok": (1e6, "us"), "s/seq": (1e6, "us"), "s/tok2": (1e9, "ns"),
          "s/req": (1e3, "ms")}  # fmt: skip


def _parameter(e: Part) -> str:
    factor, unit = _UNITS[e["unit"]]
    low, value, high = (significant(e[k] * factor) for k in ("low", "value", "high"))
    return f"{value} {unit} ({low} to {high})"


def _number(value: float) -> Cell:
    return Cell(significant(value), value)


def _count(value: float, digits: int = 0) -> Cell:
    return Cell(f"{value:,.{digits}f}", float(value))


def _hours_of(fleet: Part) -> Cell:
    return _count(fleet["replica_hours"])


def _share(value: float | None, is_simulated: bool = True) -> Cell:
    if value is None:
        return Cell("no request" if is_simulated else "not simulated")
    return Cell(f"{value * 100:.4g}%", value)
