"""The cost section: the analyst's sentences, both bills over traffic, what a good token costs at
each load, all that this rests on, and the same at other prices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.decisions.cost_answer import CostAnswer
from harness.decisions.cost_curve import NUM_STOPS, STEP, STOPS, cell_at
from harness.decisions.crossover_words import (
    crossing_words,
    per_day,
    saving_words,
    token_sentence,
    usd,
    usd_span,
)
from harness.decisions.headline import Headline
from harness.decisions.point_cost import QUANTILES, PointCost
from harness.decisions.traffic_unit import UNITS
from harness.decisions.wording import amount
from harness.estimate import Estimate
from harness.units import brief
from reports._cost_fleets import fleet_charts
from reports._cost_tables import crossing_table, day_table, fleet_told, raw
from reports.view import (
    Align,
    Block,
    Cell,
    Chart,
    Input,
    Limit,
    Line,
    Panel,
    Row,
    Section,
    Table,
    WhatIf,
)

_TARIFFS = {"on_demand": "on demand", "serverless": "serverless"}
# what traffic is counted in, of charts by the day
_A_DAY = {"tok": "Mtok", "audio_min": "minutes of audio", "req": "1,000 requests"}
_COUNTED = {
    "tok": "Tokens: input and output together, of this mix.",
    "audio_min": "Minutes of audio as they were sent.", "req": "Requests of this mix.",
}  # fmt: skip
_POINT_TITLES = {True: "What a good token costs", False: "What a minute of audio costs"}
_POINT_COLUMNS: tuple[tuple[str, Align], ...] = (
    ("point", "left"), ("tariff", "left"), ("bill of the window", "right"),
    ("$/Mtok good", "right"), ("95% interval", "right"), ("$/1,000 good requests", "right"),
    ("TTFT", "right"), ("$/min of audio", "right"),
)  # fmt: skip


def cost_section(costs: Sequence[PointCost], answer: CostAnswer | None) -> Section | None:
    """None where the scenario names no price and nothing was planned."""
    blocks: list[Block | None] = []
    if answer is not None:
        blocks += [_crossover_chart(answer), _my_prices(answer), *fleet_charts(answer)]
    blocks += [_token_chart(costs, answer), _point_table(costs)]
    if answer is not None:
        blocks += [crossing_table(answer), _bills(answer), day_table(answer), _regimes(answer),
                   _assumptions(answer)]  # fmt: skip
    kept = tuple(b for b in blocks if b is not None)
    lead = " ".join(f"{h.answer} {h.detail}" for h in cost_sentences(costs, answer))
    return Section("cost", "Cost", lead, kept) if kept else None


def cost_sentences(costs: Sequence[PointCost], answer: CostAnswer | None) -> tuple[Headline, ...]:
    """Of the crossing, of the user's traffic, of a good token."""
    token = token_sentence(costs)
    return (*(answer.headlines if answer else ()), *((token,) if token else ()))


def price_data(answer: CostAnswer | None) -> dict[str, Any]:
    """What report.js answers my-prices from: a text for each ratio of prices (for each pair of them
    where egress follows neither), and for each pair who is cheaper at the user's traffic."""
    if answer is None:
        return {}
    found, stops = answer.crossover, range(NUM_STOPS)
    crossing = [" ".join(crossing_words(found, c.required, c.crossing)) for c in found.cells]
    data: dict[str, Any] = {"stops": NUM_STOPS, "crossing": crossing}
    own = found.at_traffic
    if own is not None:
        saving = []
        for gpu in stops:
            for tok in stops:
                ends = cell_at(found.cells, gpu, tok).saving
                assert ends is not None
                saving.append(" ".join(saving_words(own.units_per_h, ends, found.unit)))
        data["saving"] = saving
    return {"my-prices": data}


def _crossover_chart(answer: CostAnswer) -> Chart:
    found = answer.crossover
    unit = UNITS[found.unit]
    a_day = 24 / unit.in_price
    x = tuple(t * a_day for t in found.curve.units_per_h)
    lines = []
    for name, curve in (
        ("serverless", found.curve.serverless),
        ("on demand", found.curve.on_demand),
    ):
        low, value, high = (tuple(24 * row[k] for row in curve) for k in range(3))
        top = tuple(h if math.isfinite(h) else math.nan for h in high)
        lines.append(Line(name, x, value, low, top))
    least, most = found.asked.low, found.asked.high
    bands: tuple[tuple[float, float, str], ...] = ()
    if least is not None and most is not None and math.isfinite(least):
        left, right = least * a_day, min(most * a_day, x[-1])
        # an interval too narrow to see is still one to find
        wide = max(right, left * 1.02)
        bands = ((left, wide, "crossing"),)
    own = found.at_traffic
    marks = ((own.units_per_h * a_day, "your traffic"),) if own is not None else ()
    first = answer.headlines[0]
    caption = f"{first.answer} {first.detail.partition(' [')[0]}"
    if own is not None:
        caption += f" {answer.headlines[1].answer} {answer.headlines[1].detail}"
    return Chart(
        "chart-crossover", "Cost against traffic", caption,
        f"Both bills, the fleet {found.scaling} in the traffic's shape; bands hold 95% of 2,000"
        " draws of capacity and prices; the shaded traffics are the 95% interval of the crossing"
        f" above which on-demand stays the cheaper. {_COUNTED[found.unit]}"
        f" {answer.headlines[0].detail[answer.headlines[0].detail.find('['):]}",
        caption, f"{_A_DAY[found.unit]} a day",
        (Panel("USD a day", tuple(lines), "log", bands=bands, marks=marks),), "log",
    )  # fmt: skip


def _my_prices(answer: CostAnswer) -> WhatIf:
    found = answer.crossover
    factors = [STEP ** (k - STOPS) for k in range(NUM_STOPS)]
    gpu = tuple(f"{usd(found.group_usd_per_h * f)}/h" for f in factors)
    each = UNITS[found.unit].price_unit
    tok = tuple(f"{usd(found.serverless_usd_per_priced * f)}/{each}" for f in factors)
    cell = cell_at(found.cells, STOPS, STOPS)
    text = " ".join(crossing_words(found, cell.required, cell.crossing))
    if found.at_traffic is not None:
        assert cell.saving is not None
        text += " " + " ".join(saving_words(found.at_traffic.units_per_h, cell.saving, found.unit))
    return WhatIf(
        "my-prices", "My prices",
        (
            Input("gpu", "a replica, GPUs together", STOPS, gpu),
            Input("tok", "serverless, this mix", STOPS, tok),
        ),
        text,
        "Solved for each pair of stops from the same draws; capacity, traffic and fleet stay.",
    )  # fmt: skip


def _stat(costs: Sequence[PointCost]) -> str | None:
    """The highest quantile of TTFT that at least two points report."""
    return next((q for q in QUANTILES if sum(q in c.ttft for c in costs) > 1), None)


def _token_chart(costs: Sequence[PointCost], answer: CostAnswer | None) -> Chart | None:
    stat = _stat(costs)
    if stat is None:
        return None
    places = [
        (c, c.ttft[stat].value or 0.0, c.usd_per_good_mtok)
        for c in costs
        if stat in c.ttft and c.usd_per_good_mtok.is_reached
    ]
    if len(places) < 2:
        return None
    lines = []
    for side, title in _TARIFFS.items():
        own = [p for p in places if p[0].side == side]
        beaten = [p for p in own if any(_beats(q, p) for q in own)]
        for rows, name in ((own, title), (beaten, f"{title}, another load is better in both")):
            kept = sorted(
                (p for p in rows if rows is beaten or p not in beaten), key=lambda p: p[1]
            )
            if kept:
                lines.append(_token_line(kept, name, stat, is_hollow=rows is beaten))
    limits: tuple[Limit, ...] = ()
    is_by_tok = answer is not None and answer.crossover.unit == "tok"
    if answer and is_by_tok and not any(p[0].side == "serverless" for p in places):
        limits = (Limit(answer.crossover.serverless_usd_per_priced, "serverless, all good"),)
    best = min(places, key=lambda p: p[2].value or math.inf)
    caption = (
        f"A million good tokens cost least, {usd(best[2].value or 0.0)}, at {best[0].name}, where"
        f" TTFT {stat} is {amount(best[1], 's')}."
    )
    return Chart(
        "chart-token-cost", "Cost of a good token against latency", caption,
        "Bill over input and output tokens of requests that kept every limit; on demand the bill is"
        f" the GPU time of the window at this one load; x is TTFT {stat} over valid requests,"
        " failures infinitely late; bars are 95% intervals, labels req/s.",
        caption, f"TTFT {stat}, milliseconds",
        (Panel("USD a million good tokens", tuple(lines), "log", limits=limits),), "log",
    )  # fmt: skip


def _beats(a: tuple[PointCost, float, Estimate], b: tuple[PointCost, float, Estimate]) -> bool:
    """Sooner and cheaper, and better in one of them."""
    ours, theirs = (a[1], a[2].value or 0.0), (b[1], b[2].value or 0.0)
    return ours != theirs and ours[0] <= theirs[0] and ours[1] <= theirs[1]


def _token_line(
    places: Sequence[tuple[PointCost, float, Estimate]], name: str, stat: str, *, is_hollow: bool
) -> Line:
    def end(value: float | None) -> float:
        return value if value is not None and math.isfinite(value) else math.nan

    return Line(
        name,
        tuple(seconds * 1e3 for _, seconds, _ in places),
        tuple(e.value or 0.0 for _, _, e in places),
        () if is_hollow else tuple(end(e.low) for _, _, e in places),
        () if is_hollow else tuple(end(e.high) for _, _, e in places),
        has_marks=True,
        is_hollow=is_hollow,
        labels=tuple(
            brief(c.offered_req_per_s) if c.offered_req_per_s else "" for c, _, _ in places
        ),
        x_low=() if is_hollow else tuple(1e3 * end(c.ttft[stat].low) for c, _, _ in places),
        x_high=() if is_hollow else tuple(1e3 * end(c.ttft[stat].high) for c, _, _ in places),
    )


def _point_table(costs: Sequence[PointCost]) -> Table | None:
    if not costs:
        return None
    stat = _stat(costs) or next((q for q in QUANTILES if q in costs[0].ttft), "p50")
    has_tok = any(c.usd_per_good_mtok.value is not None for c in costs)
    has_audio = any(c.usd_per_audio_min is not None for c in costs)
    dropped = [] if has_tok or not has_audio else [3, 4]
    dropped += [] if any(c.ttft for c in costs) else [6]
    dropped += [] if has_audio else [7]
    rows = []
    for c in costs:
        e, late = c.usd_per_good_mtok, c.ttft.get(stat)
        minute = c.usd_per_audio_min
        each = c.usd_per_good_req.value
        rows.append(
            Row((
                Cell(c.name), Cell(_TARIFFS[c.side]), Cell(usd(c.bill_usd), c.bill_usd),
                Cell(_dollars(e.value), raw(e.value)),
                Cell(_interval(e)),
                Cell(_dollars(None if each is None else 1000 * each), raw(each)),
                Cell(f"{stat} {amount(late.value, 's')}" if late else "not reported"),
                Cell("" if minute is None else _dollars(minute.value),
                     None if minute is None else raw(minute.value)),
            ))
        )  # fmt: skip
    columns = tuple(c for i, c in enumerate(_POINT_COLUMNS) if i not in dropped)
    rows = [Row(tuple(c for i, c in enumerate(r.cells) if i not in dropped)) for r in rows]
    return Table(
        "token-cost", _POINT_TITLES[has_tok or not has_audio], columns, tuple(rows),
        "Good: succeeded and kept every limit. Tokens: input and output. On demand: the GPU time of"
        " the measured window, at this one load and one replica; the plan above spreads traffic"
        " over a fleet. Serverless: every token that was billed, good or not.",
    )  # fmt: skip


def _bills(answer: CostAnswer) -> Table | None:
    own = answer.crossover.at_traffic
    if own is None:
        return None
    rows = [_bill_row("serverless", own.serverless, own.usd_per_priced["serverless"])]
    for scaling, bill in own.fleets.items():
        dear = own.usd_per_priced["on_demand"] if scaling == answer.crossover.scaling else None
        rows.append(_bill_row(f"on demand, {fleet_told(scaling, own)}", bill, dear))
    return Table(
        "bills", f"Bills at your {per_day(own.units_per_h, answer.crossover.unit)}",
        (("tariff", "left"), ("a day", "right"), ("95% interval", "right"),
         (f"$/{UNITS[answer.crossover.unit].price_unit}", "right")),
        tuple(rows),
        f"Mean {brief(own.mean_replicas)} replicas, at most {own.most_replicas}; they use"
        f" {amount(own.used.value, 'ratio')} of the capacity that is paid for.",
    )  # fmt: skip


def _bill_row(name: str, bill: Estimate, per_mtok: Estimate | None) -> Row:
    value = 24 * bill.value if bill.value is not None else None
    return Row((
        Cell(name), Cell(_dollars(value), raw(value)),
        Cell(_interval(bill, 24)),
        Cell(_dollars(per_mtok.value), raw(per_mtok.value)) if per_mtok else Cell(""),
    ))  # fmt: skip


def _regimes(answer: CostAnswer) -> Table | None:
    """Only where the two cross more than once: a staircase may."""
    found, unit = answer.crossover.regimes, answer.crossover.unit
    if len(found) <= 2:
        return None
    rows = tuple(
        Row((Cell(per_day(r.low, unit), r.low), Cell(per_day(r.high, unit), r.high),
             Cell("on demand" if r.is_on_demand else "serverless")))
        for r in found
    )  # fmt: skip
    return Table(
        "regimes", "Who is cheaper where",
        (("above", "right"), ("up to", "right"), ("cheaper", "left")), rows,
        "Each further replica is a step of the bill, so the two may cross many times; the first"
        f" {len(rows)} stretches, at the point values.",
    )  # fmt: skip


def _assumptions(answer: CostAnswer) -> Table:
    rows = tuple(Row((Cell(a.what), Cell(a.value), Cell(a.source))) for a in answer.assumptions)
    return Table(
        "assumptions", "What the cost rests on",
        (("what", "left"), ("value", "left"), ("from", "left")), rows,
    )  # fmt: skip


def _dollars(value: float | None) -> str:
    if value is not None and math.isinf(value):
        return "none is good"
    return "none" if value is None else usd(value)


def _interval(e: Estimate, factor: float = 1.0) -> str:
    if e.low is None or e.high is None or math.isinf(e.low):
        return "none"
    return usd_span(e.low * factor, e.high * factor)
