"""Uptime, errors and cold starts over time, as charts and tables in words.

One cell a window; what is down is shaded, marked and listed, never told by colour alone. A run of
more windows than a page is wide is drawn in cells of several, each as good as its worst.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import PointSummary, Uptime, UptimeWindow, pooled_uptime, repeats
from harness.analysis.cold import WARM, cold_population
from harness.decisions.uptime_facts import uptime_facts
from harness.units import brief, write_share
from reports._availability import availability_tables, figures_table
from reports._text import amount, estimate_cell, name_of, plain_time, span
from reports.view import Align, Block, Cell, Chart, Limit, Line, Panel, Row, Table, folded

MOST_CELLS = 400
MOST_OUTAGES = 200
MOST_BINS = 75  # of errors over time: a count of one failure is still seen
MOST_CLASSES = 8
_LEFT: Align = "left"
_RIGHT: Align = "right"


def uptime_blocks(summaries: Sequence[PointSummary]) -> list[Block]:
    """Strip, figures and outages of every load that has whole windows; parts of one load pooled.

    A single point shows them where its SLO names uptime or a window was down.
    """
    blocks: list[Block] = []
    groups = repeats(summaries)
    for position, parts in enumerate(groups):
        if not any(s.uptime_windows for s in parts):
            continue
        uptime = pooled_uptime(parts)
        if uptime.objective is None and not uptime.num_down:
            continue
        suffix = f"-{position}" if len(groups) > 1 else ""
        facts = uptime_facts(uptime, parts[0].meta.slo.uptime)
        blocks += [_strip(uptime, suffix), *availability_tables(facts, suffix)]
        if uptime.outages:
            blocks += folded(_outages(uptime, suffix))
    return blocks


def uptime_figures(summaries: Sequence[PointSummary]) -> list[Table]:
    """Availability of every load with an objective: the answer of a run that asked for it."""
    groups = repeats(summaries)
    found = []
    for position, parts in enumerate(groups):
        limit = parts[0].meta.slo.uptime
        if limit is None or not any(s.uptime_windows for s in parts):
            continue
        facts = uptime_facts(pooled_uptime(parts), limit)
        if facts.budget is not None:
            found.append(figures_table(facts, f"-{position}" if len(groups) > 1 else ""))
    return found


def _strip(uptime: Uptime, suffix: str) -> Chart:
    cells = _cells(uptime.windows)
    unit, unit_s = _axis(uptime)
    each = uptime.window_s * -(-len(uptime.windows) // MOST_CELLS)
    x, y = _drawn(cells, each, unit_s)
    down = tuple(
        (o.start_s / unit_s, (o.start_s + max(o.length_s, each)) / unit_s, "down" if i < 8 else "")
        for i, o in enumerate(uptime.outages[:MOST_OUTAGES])
    )
    caption = _caption(uptime)
    panel = Panel(
        "good answers, %", (Line("good answers", x, y, is_step=True, width=each / unit_s),),
        limits=(Limit(uptime.good * 100, f"up from {write_share(uptime.good)}"),), bands=down,
    )  # fmt: skip
    return Chart(
        id=f"chart-uptime{suffix}",
        title=f"Uptime of {uptime.name}",
        caption=caption,
        definition=_definition(uptime, each),
        description=f"{caption} {_told(uptime)}",
        x_label=f"{unit} from the start of the first window",
        panels=(panel,),
        is_wide=True,
    )


def _drawn(
    cells: Sequence[UptimeWindow], each_s: float, unit_s: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Steps that end where a part ends: what lies between two parts was not measured."""
    points: list[tuple[float, float]] = []
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        points.append((cell.start_s / unit_s, _good_percent(cell)))
        end_s = cell.start_s + each_s
        if following is not None and following.start_s > end_s + 0.01 * each_s:
            points.append((end_s / unit_s, float("nan")))
    return tuple(x for x, _ in points), tuple(y for _, y in points)


def _caption(uptime: Uptime) -> str:
    e = uptime.shown
    up = uptime.num_seen - uptime.num_down
    text = (
        f"{up:,} of {uptime.num_seen:,} windows were up: uptime {amount(e.value, 'ratio')}"
        f" ({span(e)})."
    )
    allowed = uptime.allowed_windows
    if uptime.objective is not None and allowed is not None:
        text += (
            f" {write_share(uptime.objective)} allows {brief(allowed)} down windows of as many;"
            f" {uptime.num_down} were."
        )
    return text


def _definition(uptime: Uptime, each_s: float) -> str:
    text = (
        f"Windows of {plain_time(uptime.window_s)}; up when at least"
        f" {write_share(uptime.good)} of the answers are good:"
        f"{' 429, other' if 'throttled' in uptime.not_counted else ' other than 429,'} 4xx and"
        " what the client cancelled are not the target's"
        " failures. Windows without a request are left out"
    )
    text += f" ({uptime.num_empty})." if uptime.num_empty else "."
    if each_s > uptime.window_s:
        text += f" Drawn in cells of {plain_time(each_s)}, each as its worst window."
    return text


def _told(uptime: Uptime) -> str:
    """The outages in words, the first ten of them."""
    if not uptime.outages:
        return "There was no outage."
    told = [
        f"at {plain_time(o.start_s)} for {plain_time(o.length_s)} ({o.error_class})"
        for o in uptime.outages[:10]
    ]
    more = len(uptime.outages) - len(told)
    return f"Down {'; '.join(told)}{f'; and {more} more times' if more else ''}."


def _outages(uptime: Uptime, suffix: str) -> Table:
    columns = (
        ("outage", _LEFT), ("begins at", _RIGHT), ("length", _RIGHT), ("down windows", _RIGHT),
        ("failed", _RIGHT), ("mostly", _LEFT),
    )  # fmt: skip
    rows = tuple(
        Row(
            (
                Cell(str(index + 1), float(index + 1)), Cell(plain_time(o.start_s), o.start_s),
                Cell(f"{'at least ' if o.is_open else ''}{plain_time(o.length_s)}", o.length_s),
                Cell(f"{o.num_windows:,}", float(o.num_windows)),
                Cell(f"{o.num_bad:,} of {o.num_valid:,}", float(o.num_bad)), Cell(o.error_class),
            ),
            f"outage-{index + 1}{suffix}",
        )
        for index, o in enumerate(uptime.outages[:MOST_OUTAGES])
    )  # fmt: skip
    note = f"Times have the resolution of the window, {plain_time(uptime.window_s)}."
    if len(uptime.outages) > MOST_OUTAGES:
        note += f" The first {MOST_OUTAGES} of {len(uptime.outages):,}."
    return Table(f"outages{suffix}", f"Outages of {uptime.name}", columns, rows, note)


def errors_chart(summary: PointSummary, suffix: str) -> Chart | None:
    """Failures by class over time; None where there was none."""
    s = summary.series
    if not s.error_classes or len(s.t_s) < 2:
        return None
    size = max(1, -(-len(s.t_s) // MOST_BINS))
    bin_s = s.bin_s * size
    starts = s.t_s[::size]
    drawn = [
        Line(name, starts, _counts(rates, size, s.bin_s), is_step=True, width=bin_s)
        for name, rates in zip(s.error_classes, s.errors_by_class, strict=True)
    ]
    drawn.sort(key=lambda line: -sum(line.y))
    worst = drawn[0]
    peak = max(zip(worst.y, worst.x, strict=True), key=lambda pair: pair[0])
    total = sum(sum(line.y) for line in drawn)
    most = f"Most were {worst.name}, {sum(worst.y):.0f} of {total:.0f}" if len(drawn) > 1 else (
        f"All {total:.0f} were {worst.name}"
    )  # fmt: skip
    caption = (
        f"{most}; the worst {plain_time(bin_s)} of them began at {plain_time(peak[1])} and had"
        f" {peak[0]:.0f}."
    )
    told = ", ".join(f"{line.name} {sum(line.y):.0f}" for line in drawn)
    ends = [(starts[0], 0.0, "warm-up")] if starts[0] < 0 else []
    last = starts[-1] + bin_s
    ends += [(s.window_s, last, "cool-down")] if last > s.window_s else []
    bare = tuple((x0, x1, "") for x0, x1, _ in ends)
    return Chart(
        id=f"chart-errors{suffix}",
        title=f"Errors over time{f' at {summary.meta.name}' if suffix else ''}",
        caption=caption,
        definition=(
            f"Failed attempts in bins of {plain_time(bin_s)}, by the time they ended, those of"
            " warm-up and cool-down with them."
        ),
        description=f"{caption} In all: {told}.",
        x_label="seconds from the start of the measured window",
        panels=tuple(
            Panel(line.name, (line,), bands=tuple(ends) if k == 0 else bare)
            for k, line in enumerate(drawn[:MOST_CLASSES])
        ),
        is_wide=True,
    )


def _counts(rates: Sequence[float], size: int, bin_s: float) -> tuple[float, ...]:
    """Failures in each `size` bins together."""
    chunks = (rates[i : i + size] for i in range(0, len(rates), size))
    return tuple(float(round(sum(chunk) * bin_s)) for chunk in chunks)


def cold_table(summary: PointSummary, suffix: str) -> Table | None:
    """First requests after a silence against those that follow."""
    if not summary.meta.idle_s:
        return None
    led = "ttft" if summary.find("ttft", "p50", population=WARM) else "e2e_latency"
    name_led = name_of(led)
    columns = (
        ("over successes", _LEFT), (f"{name_led} p50", _RIGHT), ("95% interval", _RIGHT),
        (f"{name_led} max", _RIGHT),
        *([("E2E latency p50", _RIGHT)] if led == "ttft" else []), ("n", _RIGHT),
    )  # fmt: skip
    rows: list[Row] = []
    for name in (WARM, *map(cold_population, sorted(set(summary.meta.idle_s)))):
        first = summary.find(led, "p50", population=name)
        if first is None:
            continue
        end = summary.find("e2e_latency", "p50", population=name)
        cells = (
            Cell(name), estimate_cell(first), Cell(span(first)),
            estimate_cell(summary.find(led, "max", population=name)),
            *([estimate_cell(end)] if led == "ttft" else []),
            Cell(f"{first.n:,}", float(first.n)),
        )  # fmt: skip
        rows.append(Row(cells, f"cold-{len(rows)}{suffix}"))
    note = (
        "Cold: the first request after a silence, from intended send to send; warm: the later ones"
        " of a burst. A median needs six of them."
    )
    return Table(f"cold-starts{suffix}", "Cold starts", columns, tuple(rows), note)


def _cells(windows: Sequence[UptimeWindow]) -> list[UptimeWindow]:
    """At most MOST_CELLS of them, each the worst of as many windows; those seen before unseen."""
    size = -(-len(windows) // MOST_CELLS)
    groups = [windows[i : i + size] for i in range(0, len(windows), size)]
    return [max(group, key=_badness) for group in groups]


def _badness(window: UptimeWindow) -> float:
    return -1.0 if not window.num_valid else window.num_bad / window.num_valid


def _good_percent(window: UptimeWindow) -> float:
    """A window without a request is drawn as a gap."""
    if not window.num_valid:
        return float("nan")
    return 100 * (1 - window.num_bad / window.num_valid)


def _axis(uptime: Uptime) -> tuple[str, float]:
    """Unit of the axis, and its seconds."""
    span_s = uptime.windows[-1].start_s + uptime.window_s
    return ("hours", 3600.0) if span_s >= 7200 else ("minutes", 60.0)
