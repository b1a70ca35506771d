"""Charts of a report as data: series, captions that state the finding, descriptions in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.analysis import Curve, PointSummary, Series
from harness.decisions.wording import capital
from harness.estimate import Estimate
from harness.scenario.slo import Slo
from harness.units import format_seconds
from reports._text import amount, listed, name_of, percent, span
from reports.view import Chart, Limit, Line, Panel

MAX_LINES = 6
FAR_ABOVE = 20  # times the data: a limit there would flatten what is drawn


def nines_chart(summaries: Sequence[PointSummary], metric: str, suffix: str = "") -> Chart | None:
    """Latency by percentile on an axis where every nine is as wide as the last."""
    lines = []
    is_single = len(summaries) == 1
    for s in _spread(summaries):
        for one in (metric, f"{metric}_service") if is_single else (metric,):
            curve = _curve(s, one, "nines")
            # a curve whose sample carries the tail but no median would start in mid-air
            if curve and curve.x and curve.x[0] >= 0.5:
                lines.append(_finite_line(curve, _line_name(s, one, len(summaries))))
    lines = [line for line in lines if len(line.x) > 1]
    if not lines:
        return None
    if is_single:  # two bands on one another would be told apart by nobody
        lines[1:] = [replace(line, low=(), high=()) for line in lines[1:]]
    limits, beyond = near(limits_of(summaries[0].meta.slo, metric), lines)
    unit_s = any(max(line.y) >= 1 for line in lines)
    ends = [f"{_quantile_name(1 - line.x[-1])} {_seconds(line.y[-1])}" for line in lines]
    caption = _nines_caption(summaries, metric)
    return Chart(
        id=f"chart-nines-{metric}{suffix}",
        title=f"{name_of(metric)} by percentile",
        caption=caption,
        definition=(
            "Over valid requests, a failure counts as infinitely late. A curve ends where the"
            " sample (after autocorrelation) carries no interval; the band is the pointwise 95%"
            " interval." + (" Solid: from the intended send; dashed: from the actual send."
            if is_single and len(lines) > 1 else "") + beyond
        ),
        description=". ".join(f"{ln.name}: {e}" for ln, e in zip(lines, ends, strict=True)),
        x_label="percentile of requests",
        panels=(
            Panel(
                "seconds" if unit_s else "milliseconds",
                tuple(_scaled(line, 1 if unit_s else 1e3) for line in lines),
                "log",
                limits=tuple(
                    limit._replace(value=limit.value * (1 if unit_s else 1e3)) for limit in limits
                ),
            ),
        ),
        x_scale="nines",
    )  # fmt: skip


def _nines_caption(summaries: Sequence[PointSummary], metric: str) -> str:
    """The median and the highest quantile reported, the very estimates of the tables."""
    if len(summaries) == 1:
        told = [
            f"{q} {value_text(e)}"
            for q in ("p50", "p90", "p95", "p99")
            if (e := _judged(summaries[0], metric, q)) and e.value is not None
        ]
        lost = [text for text in told if text.endswith("not reached")][:1]
        given = [text for text in told if not text.endswith("not reached")]
        kept = dict.fromkeys([*given[:1], *given[-1:], *lost])
        return f"{name_of(metric)}: {', '.join(kept)}." if kept else "No quantile is reported."
    told = [
        f"{value_text(e)} at {s.meta.name}"
        for s in summaries
        if (e := _judged(s, metric, "p50")) and e.is_reached and e.value is not None
    ]
    if len(told) < 2:
        return f"{name_of(metric)} by percentile, one line a point."
    return f"{name_of(metric)} p50: {told[0]}, {told[-1]}."


def _judged(summary: PointSummary, metric: str, stat: str) -> Estimate | None:
    """Over all valid requests, as the curve and the rules have it."""
    return summary.find(metric, stat, population="valid") or summary.find(metric, stat)


def value_text(e: Estimate) -> str:
    interval = span(e)
    return f"{amount(e.value, e.unit)}{f' ({interval})' if interval else ''}"


def cdf_chart(summaries: Sequence[PointSummary], metric: str, suffix: str = "") -> Chart | None:
    """Share of requests (or of chunk gaps) at or below a time."""
    lines = []
    population = "requests"
    for s in _spread(summaries):
        curve = _curve(s, metric, "cdf")
        if curve and len(curve.x) > 1:
            points = [(v * 1e3, p) for p, v in zip(curve.x, curve.value, strict=True)]
            points = [(v, p) for v, p in points if math.isfinite(v)]
            xs, ys = tuple(v for v, _ in points), tuple(p * 100 for _, p in points)
            lines.append(Line(_line_name(s, metric, len(summaries)), xs, ys, is_step=True))
            population = "chunk gaps" if curve.population == "gaps" else "requests"
    lines = [line for line in lines if len(line.x) > 1]
    if not lines:
        return None
    first, median, tail = _spread(summaries)[0], _at(lines[0], 50.0), _at(lines[0], 90.0)
    # A log axis only where it earns its place: a tail many times the median.
    is_wide = lines[0].x[0] > 0 and max(line.x[-1] for line in lines) > 20 * max(median, 1e-9)
    where = f" At {first.meta.name}." if len(summaries) > 1 else ""
    caption = (
        f"Half of the {population} within {_quantile_text(first, metric, 'p50', median)}, nine of"
        f" ten within {_quantile_text(first, metric, 'p90', tail)}.{where}"
    )
    whom = "gaps between chunks of successful answers" if population != "requests" else (
        "answered requests; failures have no place on this curve"
    )  # fmt: skip
    return Chart(
        id=f"chart-cdf-{metric}{suffix}",
        title=f"{capital(name_of(metric))}: cumulative share",
        caption=caption,
        definition=f"Population: {whom}.",
        description=caption,
        x_label=f"{name_of(metric)}, milliseconds",
        panels=(Panel("% at or below", tuple(lines)),),
        x_scale="log" if is_wide else "linear",
    )


def _quantile_text(summary: PointSummary, metric: str, stat: str, drawn_ms: float) -> str:
    """The estimate of the tables where there is one, else what the curve shows."""
    e = summary.find(metric, stat, population="success") or summary.find(metric, stat)
    reported = e is not None and e.is_reached and e.value is not None
    return amount(e.value if e and reported else drawn_ms / 1e3, "s")


def strips_chart(summary: PointSummary, suffix: str = "") -> Chart | None:
    """The point over time: rates, in flight, tokens, errors, on one axis."""
    s = summary.series
    if len(s.t_s) < 2:
        return None
    x = s.t_s
    rates = [_step("completed", s, s.achieved_req_per_s)]
    if summary.meta.kind == "open":
        rates.append(replace(_step("offered", s, s.offered_req_per_s), is_guide=True))
    bands = [
        (x[0], 0.0, "warm-up") if x[0] < 0 else None,
        (s.window_s, x[-1] + s.bin_s, "cool-down") if x[-1] + s.bin_s > s.window_s else None,
    ]
    shaded = tuple(b for b in bands if b)
    panels = [
        Panel("requests/s" if len(rates) > 1 else "completed/s", tuple(rates), bands=shaded),
        Panel("in flight", (_step("in flight", s, s.in_flight),), bands=_bare(shaded)),
    ]
    has_tokens = not summary.is_whole()
    if has_tokens:
        tokens = _step("output tok/s", s, s.output_tok_per_s)
        panels.append(Panel("output tok/s", (tokens,), bands=_bare(shaded)))
    if s.vector_per_s:
        vectors = _step("vectors/s", s, s.vector_per_s)
        panels.append(Panel("vectors/s", (vectors,), bands=_bare(shaded)))
    if any(s.errors_req_per_s):
        errors = _step("errors/s", s, s.errors_req_per_s)
        panels.append(Panel("errors/s", (errors,), bands=_bare(shaded)))
    inside = [f for t, f in zip(x, s.in_flight, strict=True) if 0 <= t < s.window_s]
    peak = max(inside, default=0.0)
    caption = (
        f"At most {amount(peak, 'count', 2)} in flight (mean of a bin) in the measured window of"
        f" {format_seconds(s.window_s)}."
    )
    name = f" at {summary.meta.name}" if suffix else ""
    return Chart(
        id=f"chart-time{suffix}",
        title=f"Load over time{name}",
        caption=caption,
        definition=(
            f"Bins of {format_seconds(s.bin_s)}; warm-up and cool-down are shaded and outside every"
            " figure." + (" Tokens count when their chunk arrived." if has_tokens else "")
        ),
        description=caption,
        x_label="seconds from the start of the measured window",
        panels=tuple(panels),
        is_wide=True,
    )


def _step(name: str, series: Series, values: tuple[float, ...]) -> Line:
    return Line(name, series.t_s, values, is_step=True, width=series.bin_s)


def _bare(bands: Sequence[tuple[float, float, str]]) -> tuple[tuple[float, float, str], ...]:
    """The same shading without words, for the panels below the first."""
    return tuple((x0, x1, "") for x0, x1, _ in bands)


def _spread(summaries: Sequence[PointSummary]) -> list[PointSummary]:
    """At most MAX_LINES points, the first and the last among them."""
    if len(summaries) <= MAX_LINES:
        return list(summaries)
    step = (len(summaries) - 1) / (MAX_LINES - 1)
    return [summaries[round(i * step)] for i in range(MAX_LINES)]


def _curve(summary: PointSummary, metric: str, kind: str) -> Curve | None:
    return next((c for c in summary.curves if (c.metric, c.kind) == (metric, kind)), None)


def _line_name(summary: PointSummary, metric: str, num_points: int) -> str:
    if num_points > 1:
        return summary.meta.name
    if metric not in ("ttft", "e2e_latency") and not metric.endswith("_service"):
        return name_of(metric)  # counts from no send
    return "from actual send" if metric.endswith("_service") else "from intended send"


def _finite_line(curve: Curve, name: str) -> Line:
    """The curve up to where it is reached; a band where it has both ends."""
    keep = [i for i, v in enumerate(curve.value) if math.isfinite(v) and v > 0]
    has_band = [
        bool(curve.low) and math.isfinite(curve.low[i]) and math.isfinite(curve.high[i])
        for i in keep
    ]

    def ends(values: Sequence[float]) -> tuple[float, ...]:
        if not any(has_band):
            return ()
        return tuple(values[i] if has else math.nan for i, has in zip(keep, has_band, strict=True))

    x, y = (tuple(values[i] for i in keep) for values in (curve.x, curve.value))
    return Line(name, x, y, ends(curve.low), ends(curve.high))


def _scaled(line: Line, factor: float) -> Line:
    def times(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(v * factor for v in values)

    return Line(line.name, line.x, times(line.y), times(line.low), times(line.high))


def _at(line: Line, share: float) -> float:
    """The first x where the cumulative share reaches `share`."""
    return next((x for x, y in zip(line.x, line.y, strict=True) if y >= share), line.x[-1])


def limits_of(slo: Slo, metric: str) -> list[Limit]:
    """Of each rule up to the percentile that it judges, and of a good request at all of them."""
    block = getattr(slo, metric, None)
    found: list[Limit] = []
    if block is not None:
        for stat, tail in (("p50", 0.5), ("p90", 0.1), ("p95", 0.05), ("p99", 0.01), ("max", 0.0)):
            value = getattr(block, stat)
            if value is not None:
                found.append(Limit(value, f"{stat} limit {_seconds(value)}", tail or None))
    good = getattr(slo.good_request, metric, None) if slo.good_request else None
    if good is not None:
        found.append(Limit(good, f"good request {_seconds(good)}"))
    return found


def near(limits: Sequence[Limit], lines: Sequence[Line]) -> tuple[list[Limit], str]:
    """The limits that leave the data its room, and a sentence about those far above it."""
    top = max(max(line.y) for line in lines)
    far = [limit.label for limit in limits if limit.value > FAR_ABOVE * top]
    near = [limit for limit in limits if limit.value <= FAR_ABOVE * top]
    return near, f" Far above this axis: {listed(far)}." if far else ""


def _seconds(value_s: float) -> str:
    return format_seconds(value_s)


def _quantile_name(p: float) -> str:
    return f"p{percent(p).removesuffix('%')}"
