"""A sweep against its load: goodput and latency, one mark a point.

Nothing is drawn between what was measured but a line for the eye: intervals are bars, and where
the target was overloaded the chart says so instead of showing a latency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.analysis import PointSummary
from harness.decisions import Capacity, wording
from harness.units import brief
from reports._charts import limits_of, near, value_text
from reports._text import amount, listed, name_of
from reports.view import Chart, Limit, Line, Panel


def load_charts(
    summaries: Sequence[PointSummary], capacity: Capacity | None = None, suffix: str = ""
) -> list[Chart]:
    """A sweep against its load: goodput, and latency quantiles.

    capacity: marked in the goodput, with the share that it asks for.  suffix: of the charts' ids.
    """
    ordered = sorted((s for s in summaries if s.is_valid), key=_load)
    kinds = {s.meta.kind for s in ordered}
    if len({_load(s) for s in ordered}) < 2 or len(kinds) > 1:
        return []
    is_open = kinds == {"open"}
    x_label = "offered requests/s" if is_open else "users (closed loop)"
    loads = [_load(s) for s in ordered]
    # linear as long as it can be: on a log axis the guide "completed = offered" is no straight line
    is_log = loads[0] > 0 and loads[-1] / loads[0] > 64
    charts = [_goodput_chart(ordered, x_label, is_open, is_log, capacity)]
    charts += [
        _latency_by_load(ordered, metric, x_label, is_log)
        for metric in ("ttft", "tpot", "e2e_latency")
    ]
    return [replace(c, id=f"{c.id}{suffix}") for c in charts if c]


def _goodput_chart(
    ordered: Sequence[PointSummary],
    x_label: str,
    is_open: bool,
    is_log: bool,
    capacity: Capacity | None,
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
        lines.append(Line("as offered", loads, loads, is_guide=True))
        if capacity is not None and capacity.share:
            asked = tuple(capacity.share * load for load in loads)
            name = f"{amount(capacity.share, 'ratio')} of it"
            lines.append(Line(name, loads, asked, is_guide=True))
    top = max(
        (s for s in ordered if s.find("goodput_req_per_s", "rate")),
        key=lambda s: _figure(s, "goodput_req_per_s"), default=ordered[0],
    )  # fmt: skip
    best = top.find("goodput_req_per_s", "rate")
    # without a limit on a request every completed one is as good as another
    has_good = best is not None and best.value is not None
    if not has_good:
        lines = [line for line in lines if line.name != "good requests/s"]
        top = max(ordered, key=lambda s: _figure(s, "request_per_s"))
        best = top.find("request_per_s", "rate")
    what = "Goodput" if has_good else "Throughput"
    at = f"{brief(_load(top), 4)} {'req/s offered' if is_open else 'users'}"
    caption = f"{what} is highest at {at}: {value_text(best)}." if best else ""
    bands, marks, told = _sustained(capacity)
    caption = f"{caption} {told}".strip()
    panel = Panel("requests/s", tuple(lines), bands=(*bands, *_overload(ordered)), marks=marks)
    return Chart(
        "chart-goodput", f"{what} against load", caption,
        ("Good: succeeded and kept every limit; failures are misses. " * has_good)
        + "Bars are 95% intervals.",
        caption, x_label, (panel,),
        "log" if is_log else "linear", x_ticks=tuple(_load(s) for s in ordered),
    )  # fmt: skip


def _sustained(
    capacity: Capacity | None,
) -> tuple[tuple[tuple[float, float, str], ...], tuple[tuple[float, str], ...], str]:
    """The interval shaded, its point marked, and what both say."""
    e = capacity.estimate if capacity else None
    if e is None or e.value is None:
        return (), (), ""
    words = amount(e.value, e.unit)
    if e.low is None or e.high is None:
        return (), (), ""
    told = f"Sustained: {words} ({wording.interval(e.low, e.high, e.unit)}), shaded."
    return ((e.low, e.high, ""),), ((e.value, f"sustained {words}"),), told


def _latency_by_load(
    ordered: Sequence[PointSummary], metric: str, x_label: str, is_log: bool
) -> Chart | None:
    lines = [_by_load(ordered, metric, q, q, factor=1e3) for q in ("p50", "p95", "p99")]
    lines = [line for line in lines if len(line.x) > 1]
    if not lines:
        return None
    first = lines[0]
    caption = (
        f"{name_of(metric)} {first.name}: {amount(first.y[0] / 1e3, 's')} at"
        f" {brief(first.x[0], 4)},"
        f" {amount(first.y[-1] / 1e3, 's')} at {brief(first.x[-1], 4)} {x_label}."
    )
    missing = [brief(_load(s), 4) for s in ordered if _load(s) not in first.x]
    caption += f" Not reported at {listed(missing)}." if missing else ""
    told = [Limit(v * 1e3, label) for v, label, _ in limits_of(ordered[0].meta.slo, metric)]
    limits, beyond = near(told, lines)
    shaded = _overload(ordered)
    panel = Panel("milliseconds", tuple(lines), "log", limits=tuple(limits), bands=shaded)
    return Chart(
        f"chart-load-{metric}", f"{name_of(metric)} against load", caption,
        "Quantiles over valid requests from the intended send, a failure counting as infinitely"
        f" late; bars are 95% intervals.{beyond}",
        caption, x_label, (panel,),
        "log" if is_log else "linear", x_ticks=tuple(_load(s) for s in ordered),
    )  # fmt: skip


def _open_ends(lines: Sequence[Line]) -> str:
    """Of a quantile that more failures would never reach."""
    has_any = any(math.isinf(high) for line in lines for high in line.high)
    return ", an arrow where they have no upper end" if has_any else ""


def _overload(ordered: Sequence[PointSummary]) -> tuple[tuple[float, float, str], ...]:
    """From halfway between the last stable load and the first unstable one, shaded to the end."""
    loads = [_load(s) for s in ordered]
    first = next((i for i, s in enumerate(ordered) if not s.is_stable), None)
    if first is None:
        return ()
    begin = loads[first] if first == 0 else (loads[first - 1] + loads[first]) / 2
    return ((begin, loads[-1] + 0.04 * (loads[-1] - loads[0]), "overload"),)


def _figure(summary: PointSummary, metric: str) -> float:
    e = summary.find(metric, "rate")
    return e.value if e is not None and e.value is not None else -1.0


def _by_load(
    ordered: Sequence[PointSummary], metric: str, stat: str, name: str, factor: float = 1.0
) -> Line:
    rows = []
    for s in ordered:
        e = s.find(metric, stat, population="valid") or s.find(metric, stat)
        if e and e.is_reached and e.value is not None:
            ends = (math.nan if end is None else end * factor for end in (e.low, e.high))
            rows.append((_load(s), e.value * factor, *ends))
    columns = tuple(zip(*rows, strict=True)) if rows else ((), (), (), ())
    x, y, low, high = (tuple(map(float, c)) for c in columns)
    return Line(name, x, y, low, high, has_marks=True)


def _load(summary: PointSummary) -> float:
    return float(summary.meta.offered_req_per_s or summary.meta.concurrency or 0)
