"""Tables of a report, built from summaries and verdicts. Text only; no arithmetic in renderers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.analysis import PointSummary
from harness.decisions import wording
from harness.decisions.levels import Standing
from harness.estimate import SEVERITY, Estimate, Outcome, Verdict
from harness.units import brief
from reports._text import amount, defined, estimate_cell, listed, name_of, plain_time, span
from reports.view import Align, Cell, Row, Table

LEFT: Align = "left"
RIGHT: Align = "right"
LATENCIES = (
    "ttft", "ttfv", "time_to_first_argument", "time_to_tool_call", "tpot", "itl", "icl",
    "e2e_latency", "rtf", "max_stall", "wire_overhead",
)  # fmt: skip
RATES = (
    ("request_per_s", "rate"), ("goodput_req_per_s", "rate"), ("output_tok_per_s", "rate"),
    ("output_tok_per_s", "peak"), ("output_tok_per_s_per_user", "p50"),
    ("vector_per_s", "rate"), ("audio_min_per_s", "rate"), ("input_tok_per_s", "rate"),
    ("valid_tok_per_s", "rate"), ("wasted_tok_per_s", "rate"),
    ("tool_valid", "ratio"), ("schema_valid", "ratio"), ("slo_attainment", "ratio"),
    ("error_rate", "ratio"), ("throttle_rate", "ratio"), ("uptime", "ratio"),
)  # fmt: skip
STANDINGS = {"holds": "pass", "misses": "fail", "open": "inconclusive"}
NO_FAILURES = ("cancelled", "cut")
_OF_STREAMS = (
    ("TTFT p50", "ttft", "p50"), ("TPOT p50", "tpot", "p50"),
    ("completed/s", "request_per_s", "rate"), ("output tok/s", "output_tok_per_s", "rate"),
)  # fmt: skip
_OF_WHOLE = (
    ("E2E p50", "e2e_latency", "p50"), ("completed/s", "request_per_s", "rate"),
    ("vectors/s", "vector_per_s", "rate"), ("RTF p50", "rtf", "p50"),
    ("audio min/s", "audio_min_per_s", "rate"), ("input tok/s", "input_tok_per_s", "rate"),
)  # fmt: skip
_ALWAYS = tuple(metric for _, metric, _ in _OF_STREAMS)
GOOD = 2  # column of the share of good requests in the table of points
QUANTILES = ("p50", "p90", "p95", "p99", "p99.9")


def verdict_table(verdicts: Sequence[Verdict], num_points: int) -> Table | None:
    """One row a rule, the gravest first; what was not kept says why in its own line."""
    if not verdicts:
        return None
    columns = [("rule", LEFT), ("verdict", LEFT), ("limit", RIGHT), ("observed", RIGHT)]
    columns += [("95% interval", RIGHT), ("n", RIGHT)]
    has_point = num_points > 1 and any(v.point for v in verdicts)
    if has_point:
        columns.insert(1, ("point", LEFT))
    ordered = sorted(verdicts, key=lambda v: SEVERITY.index(v.outcome))
    rows, told = [], set[tuple[str, str]]()
    for v in ordered:
        row = _verdict_row(v, has_point)
        # one overload breaks every rule of its point; once is enough to say so
        rows.append(replace(row, detail="") if (v.point, row.detail) in told else row)
        told.add((v.point, row.detail))
    return Table("verdicts", "Rules", tuple(columns), tuple(rows), _rules_note(verdicts))


def _rules_note(verdicts: Sequence[Verdict]) -> str:
    """What a stranger needs in order to read the table, and no more."""
    metrics = [v.estimate.metric for v in verdicts if v.estimate]
    has_latency = any(metric in LATENCIES for metric in metrics)
    counted = ["windows" if metric == "uptime" else "requests" for metric in metrics]
    parts = [defined(metrics)]
    parts += [f"n: {' or '.join(dict.fromkeys(counted))} judged."] if counted else []
    parts += ["A failed request counts as infinitely late."] if has_latency else []
    parts += [
        "A rule passes or fails when a one-sided 95% bound clears the limit, else it is"
        " inconclusive."
    ]
    return " ".join(filter(None, parts))


def _verdict_row(verdict: Verdict, has_point: bool) -> Row:
    e = verdict.estimate
    unit = e.unit if e else ""
    sign = "≤" if verdict.direction == "max" else "≥"
    limit = f"{sign} {amount(verdict.limit, unit)}" if verdict.limit is not None else ""
    cells = [
        Cell(wording.statistic(e) if e else verdict.rule),
        Cell(verdict.outcome.value, outcome=verdict.outcome.value),
        Cell(limit, verdict.limit),
        estimate_cell(e),
        Cell(span(e) if e else ""),
        Cell(f"{e.n:,}" if e else "", float(e.n) if e else None),
    ]
    if has_point:
        cells.insert(1, Cell(verdict.point))
    anchor = f"{verdict.rule}-{verdict.point}" if has_point else verdict.rule
    return Row(tuple(cells), anchor, _why(verdict))


def _why(verdict: Verdict) -> str:
    """What the row's own numbers do not say already."""
    e = verdict.estimate
    if verdict.outcome in (Outcome.PASS, Outcome.INVALID):  # what voids a point is a notice
        return ""
    if verdict.outcome is Outcome.FAIL and e is not None and e.value is not None:
        return e.reason  # of a quantile that is not reached: how many failed
    return verdict.reason


def latency_table(summary: PointSummary, suffix: str) -> Table | None:
    """Latency quantiles of one point, over successes, with intervals under the medians."""
    taken = {e.stat for e in summary.estimates if e.metric in LATENCIES and not e.is_absent}
    # up to p99 always, so that a withheld quantile is seen to be withheld
    last = max((i for i, q in enumerate(QUANTILES) if q in taken), default=0)
    quantiles = QUANTILES[: max(last, 3) + 1]
    rows = []
    for metric in LATENCIES:
        found = [
            summary.find(metric, q, population="success") or summary.find(metric, q)
            for q in quantiles
        ]
        if all(e is None or e.is_absent for e in found):
            continue
        median = found[0]
        cells = [Cell(name_of(metric)), *(estimate_cell(e) for e in found)]
        cells += [Cell(span(median) if median else ""), Cell(f"{median.n:,}" if median else "")]
        rows.append(Row(tuple(cells), f"latency-{metric}{suffix}"))
    if not rows:
        return None
    columns = [("over successes", LEFT), *((q, RIGHT) for q in quantiles)]
    columns += [("p50, 95% interval", RIGHT), ("n", RIGHT)]
    withheld = any(c.text == "not reported" for row in rows for c in row.cells)
    note = "Latency counts from the intended send." + (
        " A quantile is not reported where the sample cannot carry it." if withheld else ""
    )
    if summary.counts.get("cancelled"):
        note += " Users who left count where their answer had begun."
    return Table(f"latency-table{suffix}", "Latency", tuple(columns), tuple(rows), note)


def rate_table(summary: PointSummary, suffix: str) -> Table | None:
    """Throughput, goodput and shares of one point."""
    rows = []
    for metric, stat in RATES:
        e = summary.find(metric, stat)
        if e is None or e.is_absent or (e.value == 0 and metric == "wasted_tok_per_s"):
            continue
        label = name_of(metric) + {"p50": ", median", "peak": ", best second"}.get(stat, "")
        # a peak is the largest of many seconds, not a sample of one
        number = Cell("") if stat == "peak" else _count(e.n)
        cells = (Cell(label), estimate_cell(e), Cell(span(e)), number)
        rows.append(Row(cells, f"rate-{metric}{'-peak' if stat == 'peak' else ''}{suffix}"))
    if not rows:
        return None
    columns = (("over the window", LEFT), ("value", RIGHT), ("95% interval", RIGHT), ("n", RIGHT))
    return Table(f"rate-table{suffix}", "Throughput and shares", columns, tuple(rows))


def point_table(
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict] = (),
    standings: Mapping[str, Standing] | None = None,
) -> Table:
    """A sweep at a glance, one row a point; narrow enough to stand beside a chart.

    standings: of points without rules of their own, by name: whether their rate holds.
    """
    known = standings or {}
    own = [
        (title, metric, stat)
        for title, metric, stat in (
            _OF_WHOLE if all(s.is_whole() for s in summaries) else _OF_STREAMS
        )
        if metric in _ALWAYS or any(s.find(metric, stat) for s in summaries)
    ]
    columns: tuple[tuple[str, Align], ...] = (
        ("load" if _are_told_apart_by_load(summaries) else "point", LEFT),
        ("verdict", LEFT), ("good", RIGHT),
        *((title, RIGHT) for title, *_ in own), ("errors", RIGHT),
    )  # fmt: skip
    rows = []
    for s in summaries:
        cells = (
            Cell(_point_label(s, summaries)), _point_verdict(s, verdicts, known),
            estimate_cell(s.find("slo_attainment", "ratio")),
            *(_bare(s.find(metric, stat)) if stat == "rate" else estimate_cell(s.find(metric, stat))
              for _, metric, stat in own),
            estimate_cell(s.find("error_rate", "ratio")),
        )  # fmt: skip
        rows.append(Row(cells, f"point-{s.meta.index}-{s.meta.stage_index}"))
    note = "good: share of requests that kept every limit; latencies over successes."
    if all(row.cells[GOOD].value is None for row in rows):  # no limit is one of a request
        columns = (*columns[:GOOD], *columns[GOOD + 1 :])
        rows = [Row((*r.cells[:GOOD], *r.cells[GOOD + 1 :]), r.id) for r in rows]
        note = "Latencies over successes."
    if any(not s.is_stable for s in summaries):
        note += " unstable: offered more than the target can serve, its backlog grew."
    return Table("points", "Points", columns, tuple(rows), note)


def _point_label(summary: PointSummary, summaries: Sequence[PointSummary]) -> str:
    """The load, where it tells the points apart; else their names."""
    if not _are_told_apart_by_load(summaries):
        return summary.meta.name
    return load_text(summary).removesuffix(" offered").removesuffix(", closed loop")


def _are_told_apart_by_load(summaries: Sequence[PointSummary]) -> bool:
    return len({load_text(s) for s in summaries}) == len(summaries)


def _point_verdict(
    summary: PointSummary, verdicts: Sequence[Verdict], standings: Mapping[str, Standing]
) -> Cell:
    """`2 of 3 failed`, `unstable`, `invalid`, `pass`; without rules only whether it is valid."""
    if not summary.is_valid:
        return Cell("invalid", outcome="invalid")
    own = [v.outcome for v in verdicts if v.point == summary.meta.name]
    worst = min(own, key=SEVERITY.index, default=None)
    if not summary.is_stable:
        is_miss = worst is Outcome.FAIL or standings.get(summary.meta.name) == "misses"
        return Cell("unstable", outcome="fail" if is_miss else "inconclusive")
    if worst is None and summary.meta.name in standings:
        standing = standings[summary.meta.name]
        return Cell(standing, outcome=STANDINGS[standing])
    if worst is None:
        return Cell("valid", outcome="ok")
    if worst in (Outcome.PASS, Outcome.INVALID):
        return Cell(worst.value, outcome=worst.value)
    word = "failed" if worst is Outcome.FAIL else "open"
    return Cell(f"{own.count(worst)} of {len(own)} {word}", outcome=worst.value)


def _bare(estimate: Estimate | None) -> Cell:
    """A rate under a header that names its unit."""
    cell = estimate_cell(estimate)
    unit = estimate.unit if estimate else ""
    return Cell(cell.text.removesuffix(f" {unit}"), cell.value, title=cell.title)


def load_text(summary: PointSummary) -> str:
    """`8.0 req/s offered` or `16 users`."""
    meta = summary.meta
    if meta.idle_s:
        silences = listed([plain_time(s) for s in sorted(set(meta.idle_s))])
        return f"bursts after {silences} of silence"
    if meta.concurrency is not None:
        return f"{meta.concurrency} user{'s' if meta.concurrency != 1 else ''}, closed loop"
    rate = meta.offered_req_per_s
    return f"{brief(rate, 4)} req/s offered" if rate is not None else "open loop"


def class_table(summary: PointSummary, suffix: str) -> Table | None:
    """Counts and lengths by traffic class: realised beside asked. Columns that no class has a
    figure for, such as a TTFT where all answers come whole, are left out."""
    columns: tuple[tuple[str, Align], ...] = (
        ("class", LEFT), ("requests", RIGHT), ("succeeded", RIGHT), ("throttled", RIGHT),
        ("input tok, asked", RIGHT), ("realised", RIGHT),
        ("output tok, asked", RIGHT), ("realised", RIGHT), ("TTFT p50", RIGHT),
        ("TPOT p50", RIGHT), ("E2E p50", RIGHT),
    )  # fmt: skip
    is_judged = bool(summary.meta.tool_classes or summary.meta.schema_classes)
    rows, num_whole = [], 0
    for c in summary.class_rows:
        scope = c.name if len(summary.class_rows) > 1 else "all"
        lengths = (c.asked_in_tok, c.realised_in_tok, c.asked_out_tok, c.realised_out_tok)
        is_whole = summary.is_whole(scope)
        num_whole += is_whole
        end = summary.find("e2e_latency", "p50", scope=scope) if is_whole else None
        cells = (
            Cell(c.name), *(_count(n) for n in (c.num_requests, c.num_success, c.num_throttled)),
            *(Cell("" if v is None else f"{v:,.1f}", v) for v in lengths),
            estimate_cell(summary.find("ttft", "p50", scope=scope)),
            estimate_cell(summary.find("tpot", "p50", scope=scope)), estimate_cell(end),
        )  # fmt: skip
        if is_judged:
            cells = (*cells, _valid_share(summary, scope))
        rows.append(Row(cells, f"class-{c.name}{suffix}"))
    if not rows:
        return None
    dropped = [10] if not num_whole else [6, 7, 8, 9] if num_whole == len(rows) else []
    if dropped != [10] and all(r.cells[i].value is None for r in rows for i in (4, 5)):
        dropped += [4, 5]  # recordings have no tokens
    columns = tuple(c for i, c in enumerate(columns) if i not in dropped)
    rows = [
        Row(tuple(c for i, c in enumerate(r.cells) if i not in dropped), r.id) for r in rows
    ]  # fmt: skip
    note = "Lengths are means over the requests that have both figures."
    if num_whole and len(rows) > num_whole:
        note += " Where an answer comes whole, its time is that to its end."
    if is_judged:
        columns = (*columns, ("valid answers", RIGHT))
        note += " Valid: of the complete answers, those that keep their schema or make valid calls."
    return Table(f"classes{suffix}", "Traffic classes", columns, tuple(rows), note)


def _valid_share(summary: PointSummary, scope: str) -> Cell:
    """The share of a class's answers that are what it asks for; empty where it asks nothing."""
    found = [
        summary.find(metric, "ratio", scope=scope) for metric in ("tool_valid", "schema_valid")
    ]
    e = next((e for e in found if e is not None), None)
    return Cell("") if e is None else estimate_cell(e)


def error_table(summary: PointSummary, suffix: str) -> Table | None:
    """What went wrong, by class of error; 429 stands apart from failures."""
    if not summary.errors:
        return None
    columns = (
        ("class", LEFT), ("count", RIGHT), ("first seen", RIGHT), ("last seen", RIGHT),
        ("sample", LEFT),
    )  # fmt: skip
    rows = tuple(
        Row(
            (
                Cell(e.error_class), _count(e.count), Cell(amount(e.first_s, "s"), e.first_s),
                Cell(amount(e.last_s, "s"), e.last_s), Cell(e.sample),
            ),
            f"error-{e.error_class}{suffix}",
        )
        for e in sorted(summary.errors, key=lambda e: (e.error_class in NO_FAILURES, -e.count))
    )  # fmt: skip
    note = "Of the measured window, times from its start. 429 (throttled) has its own rate."
    if any(e.error_class in NO_FAILURES for e in summary.errors):
        note += " cancelled and cut are no failures: the user left, or the run ended."
    return Table(f"errors{suffix}", "Errors by class", columns, rows, note)


def _count(number: int) -> Cell:
    return Cell(f"{number:,}", float(number))
