"""Charts of a report as data: series, captions that state the finding, descriptions in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis import Curve, PointSummary
from harness.scenario.slo import Slo
from harness.units import format_seconds
from reports._text import amount, name_of, percent
from reports.view import Chart, Line, Panel

MAX_LINES = 6


def nines_chart(summaries: Sequence[PointSummary], metric: str, suffix: str = "") -> Chart | None:
    """Latency by percentile on an axis where every nine is as wide as the last."""
    lines = []
    for s in _spread(summaries):
        for one in (metric, f"{metric}_service") if len(summaries) == 1 else (metric,):
            curve = _curve(s, one, "nines")
            if curve:
                lines.append(_finite_line(curve, _line_name(s, one, len(summaries))))
    lines = [line for line in lines if len(line.x) > 1]
    if not lines:
        return None
    limits = _limits(summaries[0].meta.slo, metric)
    unit_s = any(max(line.y) >= 1 for line in lines)
    ends = [f"{_quantile_name(1 - line.x[-1])} {_seconds(line.y[-1])}" for line in lines]
    caption = f"{name_of(metric)}: median {_seconds(_median(lines[0]))}, {ends[0]}."
    if len(summaries) > 1:
        caption = f"{name_of(metric)} by percentile, one line a point."
    return Chart(
        id=f"chart-nines-{metric}{suffix}",
        title=f"{name_of(metric)} by percentile",
        caption=caption,
        definition=(
            "Over valid requests, a failure counts as infinitely late. The curve ends where the"
            " sample (after autocorrelation) carries no interval; the band is the pointwise 95%"
            " interval." + (" Solid: from the intended send; dashed: from the actual send."
            if len(summaries) == 1 else "")
        ),
        description=". ".join(f"{ln.name}: {e}" for ln, e in zip(lines, ends, strict=True)),
        x_label="percentile of requests",
        panels=(
            Panel(
                "seconds" if unit_s else "milliseconds",
                tuple(_scaled(line, 1 if unit_s else 1e3) for line in lines),
                "log",
                limits=tuple((v * (1 if unit_s else 1e3), t) for v, t in limits),
            ),
        ),
        x_scale="nines",
    )  # fmt: skip


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
    median, tail = _at(lines[0], 50.0), _at(lines[0], 90.0)
    word = f"Half of the {population} within {amount(median / 1e3, 's')}"
    # A log axis only where it earns its place: a tail many times the median.
    is_wide = lines[0].x[0] > 0 and max(line.x[-1] for line in lines) > 20 * max(median, 1e-9)
    return Chart(
        id=f"chart-cdf-{metric}{suffix}",
        title=f"{name_of(metric)}: cumulative share",
        caption=f"{word}, nine of ten within {amount(tail / 1e3, 's')}.",
        definition=f"Population: {population} of the measured window.",
        description=f"{word}; nine of ten within {amount(tail / 1e3, 's')}.",
        x_label=f"{name_of(metric)}, milliseconds",
        panels=(Panel("% at or below", tuple(lines)),),
        x_scale="log" if is_wide else "linear",
    )


def strips_chart(summary: PointSummary, suffix: str = "") -> Chart | None:
    """The point over time: rates, in flight, tokens, errors, on one axis."""
    s = summary.series
    if len(s.t_s) < 2:
        return None
    x = s.t_s
    rates = [Line("completed", x, s.achieved_req_per_s, is_step=True)]
    if summary.meta.kind == "open":
        rates.append(Line("offered", x, s.offered_req_per_s, is_step=True))
    bands = [
        (x[0], 0.0, "warm-up") if x[0] < 0 else None,
        (s.window_s, x[-1] + s.bin_s, "cool-down") if x[-1] + s.bin_s > s.window_s else None,
    ]
    shaded = tuple(b for b in bands if b)
    panels = [
        Panel("requests/s", tuple(rates), bands=shaded),
        Panel("in flight", (Line("in flight", x, s.in_flight, is_step=True),), bands=_bare(shaded)),
        Panel(
            "output tok/s", (Line("output tok/s", x, s.output_tok_per_s, is_step=True),),
            bands=_bare(shaded),
        ),
    ]  # fmt: skip
    if any(s.errors_req_per_s):
        errors = Line("errors/s", x, s.errors_req_per_s, is_step=True)
        panels.append(Panel("errors/s", (errors,), bands=_bare(shaded)))
    inside = [f for t, f in zip(x, s.in_flight, strict=True) if 0 <= t < s.window_s]
    peak = max(inside, default=0.0)
    caption = (
        f"In flight peaked at {peak:.0f} in the measured window of {format_seconds(s.window_s)}."
    )
    name = f" at {summary.meta.name}" if suffix else ""
    return Chart(
        id=f"chart-time{suffix}",
        title=f"Load over time{name}",
        caption=caption,
        definition=(
            f"Bins of {format_seconds(s.bin_s)}; warm-up and cool-down are shaded and outside every"
            " figure."
            " Tokens count when their chunk arrived."
        ),
        description=caption,
        x_label="seconds from the start of the measured window",
        panels=tuple(panels),
        is_wide=True,
    )


def _bare(bands: Sequence[tuple[float, float, str]]) -> tuple[tuple[float, float, str], ...]:
    """The same shading without words, for the panels below the first."""
    return tuple((x0, x1, "") for x0, x1, _ in bands)


def load_charts(summaries: Sequence[PointSummary]) -> list[Chart]:
    """A sweep against its load: goodput, and latency quantiles."""
    ordered = sorted(summaries, key=_load)
    kinds = {s.meta.kind for s in ordered}
    if len({_load(s) for s in ordered}) < 2 or len(kinds) > 1:
        return []
    is_open = kinds == {"open"}
    x_label = "offered requests/s" if is_open else "users (closed loop)"
    loads = [_load(s) for s in ordered]
    is_log = loads[0] > 0 and loads[-1] / loads[0] >= 8
    charts = [_goodput_chart(ordered, x_label, is_open, is_log)]
    charts += [_latency_by_load(ordered, metric, x_label, is_log) for metric in ("ttft", "tpot")]
    return [c for c in charts if c]


def _goodput_chart(
    ordered: Sequence[PointSummary], x_label: str, is_open: bool, is_log: bool
) -> Chart | None:
    lines = [
        _by_load(ordered, "goodput_req_per_s", "rate", "good requests/s"),
        _by_load(ordered, "request_per_s", "rate", "completed requests/s"),
    ]
    lines = [line for line in lines if line.x]
    if not lines:
        return None
    if is_open:
        loads = tuple(_load(s) for s in ordered)
        lines.append(Line("offered", loads, loads))
    best = max(zip(lines[0].y, lines[0].x, strict=True))
    caption = f"{lines[0].name.capitalize()} peaks at {best[0]:.3g} at {best[1]:.3g} {x_label}."
    return Chart(
        "chart-goodput", "Goodput against load", caption,
        "Good: succeeded and kept every limit of good_request; failures are misses. The band is"
        " the 95% interval.",
        caption, x_label, (Panel("requests/s", tuple(lines)),), "log" if is_log else "linear",
    )  # fmt: skip


def _latency_by_load(
    ordered: Sequence[PointSummary], metric: str, x_label: str, is_log: bool
) -> Chart | None:
    lines = [_by_load(ordered, metric, q, q, factor=1e3) for q in ("p50", "p95", "p99")]
    lines = [line for line in lines if len(line.x) > 1]
    if not lines:
        return None
    first = lines[0]
    caption = (
        f"{name_of(metric)} {first.name} goes from {amount(first.y[0] / 1e3, 's')} at"
        f" {first.x[0]:.3g} to {amount(first.y[-1] / 1e3, 's')} at {first.x[-1]:.3g} {x_label}."
    )
    limits = tuple((v * 1e3, t) for v, t in _limits(ordered[0].meta.slo, metric))
    return Chart(
        f"chart-load-{metric}", f"{name_of(metric)} against load", caption,
        "Quantiles over valid requests from the intended send, a failure counting as infinitely"
        " late; bands are 95% intervals.",
        caption, x_label, (Panel("milliseconds", tuple(lines), "log", limits=limits),),
        "log" if is_log else "linear",
    )  # fmt: skip


def _by_load(
    ordered: Sequence[PointSummary], metric: str, stat: str, name: str, factor: float = 1.0
) -> Line:
    rows = []
    for s in ordered:
        e = s.find(metric, stat, population="valid") or s.find(metric, stat)
        if e and e.is_reached and e.value is not None:
            bounds = [e.low if e.low is not None else e.value]
            bounds += [e.high if e.high is not None and math.isfinite(e.high) else e.value]
            rows.append((_load(s), e.value * factor, bounds[0] * factor, bounds[1] * factor))
    columns = tuple(zip(*rows, strict=True)) if rows else ((), (), (), ())
    x, y, low, high = (tuple(map(float, c)) for c in columns)
    return Line(name, x, y, low, high, has_marks=True)


def _load(summary: PointSummary) -> float:
    return float(summary.meta.offered_req_per_s or summary.meta.concurrency or 0)


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
    return "from actual send" if metric.endswith("_service") else "from intended send"


def _finite_line(curve: Curve, name: str) -> Line:
    """The curve up to where it is reached; a band only where it has both ends."""
    keep = [i for i, v in enumerate(curve.value) if math.isfinite(v) and v > 0]
    has_band = bool(curve.low) and all(
        math.isfinite(curve.low[i]) and math.isfinite(curve.high[i]) for i in keep
    )

    def pick(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(values[i] for i in keep)

    low, high = (pick(curve.low), pick(curve.high)) if has_band else ((), ())
    return Line(name, pick(curve.x), pick(curve.value), low, high)


def _scaled(line: Line, factor: float) -> Line:
    def times(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(v * factor for v in values)

    return Line(line.name, line.x, times(line.y), times(line.low), times(line.high))


def _median(line: Line) -> float:
    """The value at p50 of a nines curve, whose x = 1 - p falls and may begin before p50."""
    return next((y for x, y in zip(line.x, line.y, strict=True) if x <= 0.5), line.y[-1])


def _at(line: Line, share: float) -> float:
    """The first x where the cumulative share reaches `share`."""
    return next((x for x, y in zip(line.x, line.y, strict=True) if y >= share), line.x[-1])


def _limits(slo: Slo, metric: str) -> list[tuple[float, str]]:
    block = getattr(slo, metric, None)
    found = []
    if block is not None:
        for stat in ("p50", "p90", "p95", "p99", "max"):
            value = getattr(block, stat)
            if value is not None:
                found.append((value, f"{stat} limit {_seconds(value)}"))
    good = getattr(slo.good_request, metric, None) if slo.good_request else None
    if good is not None:
        found.append((good, f"good request {_seconds(good)}"))
    return found


def _seconds(value_s: float) -> str:
    return format_seconds(value_s)


def _quantile_name(p: float) -> str:
    return f"p{percent(p).removesuffix('%').rstrip('0').rstrip('.')}"
