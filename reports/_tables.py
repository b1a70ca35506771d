"""Tables of a report, built from summaries and verdicts. Text only; no arithmetic in renderers."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import Check, PointSummary
from harness.estimate import SEVERITY, Outcome, Verdict
from reports._text import amount, estimate_cell, name_of, span
from reports.view import Align, Cell, Row, Table

LEFT: Align = "left"
RIGHT: Align = "right"
LATENCIES = ("ttft", "ttfv", "tpot", "itl", "icl", "e2e_latency", "max_stall", "wire_overhead")
RATES = (
    ("request_per_s", "rate"), ("goodput_req_per_s", "rate"), ("output_tok_per_s", "rate"),
    ("output_tok_per_s", "peak"), ("output_tok_per_s_per_user", "p50"),
    ("input_tok_per_s", "rate"), ("wasted_tok_per_s", "rate"), ("slo_attainment", "ratio"),
    ("error_rate", "ratio"), ("throttle_rate", "ratio"), ("uptime", "ratio"),
)  # fmt: skip
QUANTILES = ("p50", "p90", "p95", "p99", "p99.9")


def verdict_table(verdicts: Sequence[Verdict], num_points: int) -> Table | None:
    """One row a rule, the gravest first."""
    if not verdicts:
        return None
    columns = [("rule", LEFT), ("verdict", LEFT), ("limit", RIGHT), ("observed", RIGHT)]
    columns += [("95% interval", RIGHT), ("n", RIGHT), ("why", LEFT)]
    if num_points > 1:
        columns.insert(1, ("point", LEFT))
    ordered = sorted(verdicts, key=lambda v: SEVERITY.index(v.outcome))
    rows = tuple(_verdict_row(v, num_points > 1) for v in ordered)
    note = (
        "Latency rules count a failed request as infinitely late. A rule passes when the one-sided"
        " 95% bound keeps the limit, fails when the opposite bound breaks it, else it is"
        " inconclusive."
    )
    return Table("verdicts", "Rules", tuple(columns), rows, note)


def _verdict_row(verdict: Verdict, has_point: bool) -> Row:
    e = verdict.estimate
    unit = e.unit if e else ""
    sign = "≤" if verdict.direction == "max" else "≥"
    limit = f"{sign} {amount(verdict.limit, unit)}" if verdict.limit is not None else ""
    cells = [
        Cell(_rule_name(verdict)),
        Cell(verdict.outcome.value, outcome=verdict.outcome.value),
        Cell(limit, verdict.limit),
        estimate_cell(e),
        Cell(span(e) if e else ""),
        Cell(f"{e.n:,}" if e else "", float(e.n) if e else None),
        Cell(verdict.reason),
    ]
    if has_point:
        cells.insert(1, Cell(verdict.point))
    anchor = f"{verdict.rule}-{verdict.point}" if has_point else verdict.rule
    return Row(tuple(cells), anchor)


def _rule_name(verdict: Verdict) -> str:
    e = verdict.estimate
    if e is None:
        return verdict.rule
    quantile = f" {e.stat}" if e.stat.startswith("p") or e.stat == "max" else ""
    scope = f" ({e.scope})" if e.scope != "all" else ""
    return f"{name_of(e.metric)}{quantile}{scope}"


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
    return Table(f"latency-table{suffix}", "Latency", tuple(columns), tuple(rows), note)


def rate_table(summary: PointSummary, suffix: str) -> Table | None:
    """Throughput, goodput and shares of one point."""
    rows = []
    for metric, stat in RATES:
        e = summary.find(metric, stat)
        if e is None or e.is_absent or (e.value == 0 and metric == "wasted_tok_per_s"):
            continue
        label = name_of(metric) + {"p50": ", median", "peak": ", best second"}.get(stat, "")
        cells = (Cell(label), estimate_cell(e), Cell(span(e)), Cell(f"{e.n:,}", float(e.n)))
        rows.append(Row(cells, f"rate-{metric}{'-peak' if stat == 'peak' else ''}{suffix}"))
    if not rows:
        return None
    columns = (("over the window", LEFT), ("value", RIGHT), ("95% interval", RIGHT), ("n", RIGHT))
    return Table(f"rate-table{suffix}", "Throughput and shares", columns, tuple(rows))


def point_table(summaries: Sequence[PointSummary]) -> Table:
    """A sweep at a glance, one row a point."""
    columns = (
        ("point", LEFT), ("load", LEFT), ("requests/s", RIGHT), ("good, share", RIGHT),
        ("TTFT p50", RIGHT), ("TTFT p95", RIGHT), ("TPOT p50", RIGHT), ("output tok/s", RIGHT),
        ("errors", RIGHT), ("measurement", LEFT),
    )  # fmt: skip
    rows = []
    for s in summaries:
        state = "invalid" if not s.is_valid else "unstable" if not s.is_stable else "valid"
        outcome = {"invalid": "invalid", "unstable": "inconclusive", "valid": "pass"}[state]
        cells = (
            Cell(s.meta.name), Cell(load_text(s)), estimate_cell(s.find("request_per_s", "rate")),
            estimate_cell(s.find("slo_attainment", "ratio")), estimate_cell(s.find("ttft", "p50")),
            estimate_cell(s.find("ttft", "p95")), estimate_cell(s.find("tpot", "p50")),
            estimate_cell(s.find("output_tok_per_s", "rate")),
            estimate_cell(s.find("error_rate", "ratio")), Cell(state, outcome=outcome),
        )  # fmt: skip
        rows.append(Row(cells, f"point-{s.meta.index}-{s.meta.stage_index}"))
    note = "An unstable point was offered more than the target can serve: its backlog grew."
    has_unstable = any(not s.is_stable for s in summaries)
    return Table("points", "Points", columns, tuple(rows), note if has_unstable else "")


def load_text(summary: PointSummary) -> str:
    """`8.0 req/s offered` or `16 users`."""
    meta = summary.meta
    if meta.concurrency is not None:
        return f"{meta.concurrency} users, closed loop"
    rate = meta.offered_req_per_s
    return f"{amount(rate, 'req/s')} offered" if rate is not None else "open loop"


def class_table(summary: PointSummary, suffix: str) -> Table | None:
    """Counts and lengths by traffic class: realised beside asked."""
    columns = (
        ("class", LEFT), ("requests", RIGHT), ("succeeded", RIGHT), ("throttled", RIGHT),
        ("input tokens, asked", RIGHT), ("realised", RIGHT),
        ("output tokens, asked", RIGHT), ("realised", RIGHT), ("TTFT p50", RIGHT),
        ("TPOT p50", RIGHT),
    )  # fmt: skip
    rows = []
    for c in summary.class_rows:
        scope = c.name if len(summary.class_rows) > 1 else "all"
        lengths = (c.asked_in_tok, c.realised_in_tok, c.asked_out_tok, c.realised_out_tok)
        cells = (
            Cell(c.name), *(_count(n) for n in (c.num_requests, c.num_success, c.num_throttled)),
            *(Cell("" if v is None else f"{v:,.1f}", v) for v in lengths),
            estimate_cell(summary.find("ttft", "p50", scope=scope)),
            estimate_cell(summary.find("tpot", "p50", scope=scope)),
        )  # fmt: skip
        rows.append(Row(cells, f"class-{c.name}{suffix}"))
    if not rows:
        return None
    note = "Lengths are means over the requests that have both figures."
    return Table(f"classes{suffix}", "Traffic classes", columns, tuple(rows), note)


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
        for e in summary.errors
    )  # fmt: skip
    note = "Seconds count from the start of the measured window. 429 (throttled) has its own rate."
    if any(e.error_class in ("cancelled", "cut") for e in summary.errors):
        note += " cancelled and cut are no failures: the scenario's users, or the run's end, left."
    return Table(f"errors{suffix}", "Errors", columns, rows, note)


def quality_table(summary: PointSummary, suffix: str) -> Table:
    """Whether the measurement itself can be believed: one row a check."""
    columns = (
        ("check", LEFT), ("status", LEFT), ("value", RIGHT), ("notice beyond", RIGHT),
        ("worse beyond", RIGHT), ("what it means", LEFT),
    )  # fmt: skip
    order = ("invalid", "absent", "notice", "ok")
    rows = tuple(
        Row(
            (
                Cell(c.title), _check_status(c),
                Cell("" if c.value is None else amount(c.value, c.unit), c.value),
                Cell("" if c.limit_notice is None else amount(c.limit_notice, c.unit)),
                Cell("" if c.limit_invalid is None else amount(c.limit_invalid, c.unit)),
                Cell(c.sentence),
            ),
            f"check-{c.code}{suffix}",
        )
        for c in sorted(summary.checks, key=lambda c: order.index(c.status))
    )  # fmt: skip
    state = "valid" if summary.validity is not Outcome.INVALID else "invalid"
    return Table(f"quality{suffix}", f"Measurement quality: {state}", columns, rows)


def _check_status(check: Check) -> Cell:
    """What was not taken is neither well nor ill."""
    if check.value is None and check.status == "ok":
        return Cell("not taken")
    return Cell(check.status, outcome=check.status)


def _count(number: int) -> Cell:
    return Cell(f"{number:,}", float(number))
