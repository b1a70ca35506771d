"""The server's own account beside ours: a table of both, its series over time, what limits left.

Built from the summary only; where the target told nothing, nothing is built.
"""

from __future__ import annotations

from harness.analysis import PointSummary
from harness.analysis.server_summary import Comparison, NetGain, ServerSeries
from harness.units import significant
from reports._text import amount, listed, percent
from reports.view import Align, Cell, Chart, Line, Panel, Row, Table

LEFT: Align = "left"
RIGHT: Align = "right"
_MOST_MARKS = 60
MOST_APART = 0.01  # of counts that must agree
_AGREEMENT = {"ok": "agree", "notice": "differ", "shown": ""}


def comparison_table(summary: PointSummary, suffix: str) -> Table | None:
    """Client against server, one row a quantity; None where the server told nothing."""
    if not summary.server.comparisons:
        return None
    columns = (
        ("quantity", LEFT), ("client", RIGHT), ("server", RIGHT),
        ("difference", RIGHT), ("", LEFT),
    )  # fmt: skip
    rows = tuple(_comparison_row(c, suffix) for c in summary.server.comparisons)
    name = f"the server ({summary.server.name})" if summary.server.name else "the server"
    note = (
        f"Counts by {name} over the whole point: warm-up, window and cool-down. Where both must"
        " agree, more than 1% apart is a notice. A difference is server over client, less one."
    )
    return Table(f"client-server{suffix}", "Client against server", columns, rows, note)


def _comparison_row(c: Comparison, suffix: str) -> Row:
    # of what agrees in other units (a batch of texts), the ratio of the two counts says nothing
    is_like = c.difference is not None and not (c.status == "ok" and abs(c.difference) > MOST_APART)
    difference = _signed(c.difference) if c.difference is not None and is_like else ""
    cells = (
        Cell(f"{c.title} ({c.note})" if c.note else c.title),
        _figure(c.client, c.unit),
        _figure(c.server, c.unit),
        Cell(difference, c.difference if difference else None),
        Cell(_AGREEMENT[c.status], outcome={"shown": ""}.get(c.status, c.status)),
    )
    return Row(cells, f"client-server-{c.id}{suffix}")


def _figure(value: float | None, unit: str) -> Cell:
    if value is None:
        return Cell("")
    # counts of tokens are exact: three digits would hide what is compared
    text = f"{value:,.0f} tok" if unit == "tok" else amount(value, unit)
    return Cell(text, value)


def _signed(ratio: float) -> str:
    return "0%" if ratio == 0 else f"{'+' if ratio > 0 else '-'}{percent(abs(ratio))}"


def speculation_table(summary: PointSummary, suffix: str) -> Table | None:
    """Which drafts the target accepted, by place; None where the server tried none."""
    spec = summary.server.speculation
    if spec is None:
        return None
    columns = (("draft", LEFT), ("accepted", RIGHT), ("of verifications", RIGHT))
    rows = tuple(
        Row(
            (
                Cell(f"number {place + 1}"),
                Cell(f"{count:,.0f}", count),
                Cell(percent(count / spec.num_drafts), count / spec.num_drafts),
            ),
            f"accepted-{place + 1}{suffix}",
        )
        for place, count in enumerate(spec.accepted_per_pos)
    )
    share = spec.num_accepted_tok / spec.num_draft_tok if spec.num_draft_tok else 0.0
    note = (
        f"{spec.num_drafts:,.0f} verifications gave {spec.mean_length_tok:.2f} tokens each, the"
        f" target's own included; {percent(share)} of {spec.num_draft_tok:,.0f} drafts were"
        f" accepted. Over the whole point. {_net_gain(spec.gain)}"
    )
    if spec.is_synthetic:
        note = f"Synthetic: drafts were accepted by a coin, the text means nothing. {note}"
    return Table(f"speculation{suffix}", "Speculation", columns, rows, note)


def _net_gain(gain: NetGain | None) -> str:
    """Whether it pays, where the server measured that."""
    if gain is None:
        return "Whether that pays, tokens/s beside a run without speculation says."
    low, high = significant(gain.low, 3), significant(gain.high, 3)
    return (
        f"Net of drafting and judging its decoding gave {gain.with_tok_per_s:,.0f} tok/s; without"
        f" drafts, at equal batch, it would have given {gain.without_tok_per_s:,.0f}: the server's"
        f" own estimate since it started, {significant(gain.speed_up, 3)} times (95% interval"
        f" {low} to {high}), from {gain.num_controls:,.0f} steps that it ran without drafts."
    )


def limits_table(summary: PointSummary, suffix: str) -> Table | None:
    """The least a provider's headers said was left; None where none did."""
    limits = summary.server.rate_limits
    if not limits:
        return None
    columns = (("rate limit", LEFT), ("least left", RIGHT), ("of", RIGHT))
    rows = tuple(
        Row(
            (
                Cell(r.what, outcome="notice" if r.remaining_min <= 0 else ""),
                Cell(f"{r.remaining_min:,.0f}", r.remaining_min),
                Cell("" if r.limit is None else f"{r.limit:,.0f}", r.limit),
            ),
            f"limit-{r.what.replace(' ', '-')}{suffix}",
        )
        for r in limits
    )
    note = "From the headers of the answers in the measured window."
    return Table(f"limits{suffix}", "Rate limits", columns, rows, note)


def server_chart(summary: PointSummary, suffix: str) -> Chart | None:
    """The server's queue, cache and GPUs over the point, our requests in flight beside them."""
    series = {s.id: s for s in summary.server.series}
    if not series:
        return None
    panels = []
    counts = [_line(series[i], i) for i in ("running", "waiting") if i in series]
    if counts:
        s = summary.series
        ours = Line("in flight, client", s.t_s, s.in_flight, is_step=True, width=s.bin_s)
        panels.append(Panel("requests", (*([ours] if s.t_s else []), *counts)))
    for metric, label in (("kv_usage", "KV cache, %"), ("gpu_usage", "GPU busy, %")):
        if metric in series:
            panels.append(Panel(label, (_line(series[metric], label.partition(",")[0], 100),)))
    window_s = summary.meta.window_s
    begin, end = _extent(series)
    before = ((begin, 0.0, "warm-up"),) if begin < 0 else ()
    after = ((window_s, end, "cool-down"),) if end > window_s else ()
    bands = (*before, *after)
    panels = [Panel(p.y_label, p.lines, bands=bands if k == 0 else _bare(bands))
              for k, p in enumerate(panels)]  # fmt: skip
    caption = _finding(series, window_s)
    name = f" at {summary.meta.name}" if suffix else ""
    return Chart(
        id=f"chart-server{suffix}",
        title=f"The server over time{name}",
        caption=caption,
        definition=(
            "The server's own gauges, read once a second; in flight is ours, from intended send to"
            " end. Several replicas are added up, of their caches the fullest is shown."
        ),
        description=caption,
        x_label="seconds from the start of the measured window",
        panels=tuple(panels),
        is_wide=True,
    )


def _line(series: ServerSeries, name: str, factor: float = 1.0) -> Line:
    shown = f"{name}, server" if name in ("running", "waiting") else name
    value = tuple(v * factor for v in series.value)
    # a reading is of one instant: marks where they stay apart, no step that would claim a second
    return Line(shown, series.t_s, value, has_marks=len(value) <= _MOST_MARKS)


def _extent(series: dict[str, ServerSeries]) -> tuple[float, float]:
    """First and last reading, in seconds of the window."""
    return min(s.t_s[0] for s in series.values()), max(s.t_s[-1] for s in series.values())


def _bare(
    bands: tuple[tuple[float, float, str], ...],
) -> tuple[tuple[float, float, str], ...]:
    return tuple((x0, x1, "") for x0, x1, _ in bands)


def _finding(series: dict[str, ServerSeries], window_s: float) -> str:
    """What the server came to inside the window, in words."""
    parts = []
    for metric, words in (
        ("running", "ran {} at a time"), ("waiting", "kept {} waiting"),
    ):  # fmt: skip
        peak = _peak(series.get(metric), window_s)
        if peak is not None:
            number = f"up to {peak:,.0f}" if peak else "no"
            parts.append(words.format(f"{number} request{'' if peak == 1 else 's'}"))
    for metric, words in (
        ("kv_usage", "filled its KV cache to {}"), ("gpu_usage", "kept its GPU busy up to {}"),
    ):  # fmt: skip
        peak = _peak(series.get(metric), window_s)
        if peak is not None:
            parts.append(words.format(percent(peak)))
    told = listed(parts)
    return (
        f"In the measured window the server {told}." if told else "No reading fell in the window."
    )


def _peak(series: ServerSeries | None, window_s: float) -> float | None:
    if series is None:
        return None
    pairs = zip(series.t_s, series.value, strict=True)
    return max((v for t, v in pairs if 0 <= t < window_s), default=None)
