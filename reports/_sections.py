"""The chapters of a report that every load has: latency, over time, the server, errors, method.

What belongs to one point of several stands behind a disclosure of its own. Of many points those
about the answer have one; the others share tables, and points.csv has every figure of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.analysis import GLOSSARY, PointSummary
from harness.analysis.client_check import ClientCheck
from reports import _charts as charts
from reports import _client_tables as client
from reports import _many as many
from reports import _quality as quality
from reports import _server as server
from reports import _tables as tables
from reports._many import Shown
from reports._requests import heatmap_chart, waterfall_chart
from reports._text import name_of
from reports._uptime import cold_table, errors_chart, uptime_blocks
from reports.view import Block, Chart, Definitions, Group, Section, Table

MOST_CHECKED = 4  # points whose checks are listed one by one


def latency_section(summaries: Sequence[PointSummary], shown: Shown) -> Section | None:
    stable = [s for s in summaries if s.is_stable and s.is_valid] or list(summaries)
    blocks: list[Block | None] = []
    # of a sweep, TPOT stands against the load already
    for metric in ("ttft", "tpot", "e2e_latency") if len(stable) == 1 else ("ttft", "e2e_latency"):
        blocks.append(charts.nines_chart(stable, metric))
    for metric in ("ttft", "icl", "e2e_latency"):
        blocks.append(charts.cdf_chart(stable, metric))
    if shown.is_short:
        blocks.append(many.latency_table(summaries))

    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        first = [tables.latency_table(s, suffix), tables.rate_table(s, suffix)] if suffix else []
        return [*first, tables.class_table(s, suffix)]

    blocks += _by_point(summaries, shown, "latency", own)
    lead = f"How long requests took, from the moment each was due. {shown.details_told}"
    return section_of("latency", "Latency", lead.strip(), blocks)


def time_section(summaries: Sequence[PointSummary], shown: Shown) -> Section | None:
    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        # the cold starts of a single point already lead the report
        cold = [cold_table(s, suffix)] if suffix else []
        if s.meta.name not in shown.drawn:
            return [*cold]
        makers = (charts.strips_chart, heatmap_chart, waterfall_chart)
        return [*cold, *(make(s, suffix) for make in makers)]

    blocks = [*uptime_blocks(summaries), *_by_point(summaries, shown, "time", own)]
    lead = f"Whether the load was one state or several, which no average shows. {shown.drawn_told}"
    return section_of("time", "Over time", lead.strip(), blocks)


def engine_section(summaries: Sequence[PointSummary], shown: Shown) -> Section | None:
    """What the target told of itself; the table of a single point already leads the report."""

    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        first = [server.comparison_table(s, suffix)] if suffix else []
        rest = server.speculation_table(s, suffix), server.limits_table(s, suffix)
        chart = server.server_chart(s, suffix) if s.meta.name in shown.drawn else None
        return [*first, chart, *rest]

    lead = f"What the target says of itself, beside what the client saw. {shown.drawn_told}"
    blocks = _by_point(summaries, shown, "engine", own)
    return section_of("engine", "The server", lead.strip(), blocks)


def errors_section(summaries: Sequence[PointSummary], shown: Shown) -> Section | None:
    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        return [tables.error_table(s, suffix), errors_chart(s, suffix)]

    lead = "What went wrong, by class. Every failure counts against every latency rule."
    blocks: list[Block | None] = [many.error_table(summaries)] if shown.is_short else []
    blocks += _by_point(summaries, shown, "errors", own)
    return section_of("errors", "Errors", lead, blocks)


def _by_point(
    summaries: Sequence[PointSummary],
    shown: Shown,
    kind: str,
    make: Callable[[PointSummary, str], Sequence[Table | Chart | None]],
) -> list[Block]:
    """The blocks of the one point, or a disclosure for each of those that have their details."""
    found: list[Block] = []
    for s in summaries:
        if s.meta.name not in shown.detailed:
            continue
        suffix = suffix_of(s, summaries)
        blocks = tuple(b for b in make(s, suffix) if b is not None)
        if not suffix:
            found += blocks
        elif blocks:
            told = next((b.caption for b in blocks if isinstance(b, Chart)), tables.load_text(s))
            found.append(Group(f"point-{kind}{suffix}", f"{s.meta.name}: {told}", blocks))
    return found


def method_section(summaries: Sequence[PointSummary], check: ClientCheck | None) -> Section | None:
    blocks: list[Block | None] = [quality.raised_table(summaries)]
    if len(summaries) > MOST_CHECKED:
        worst = quality.worst_table(summaries)
        blocks.append(Group("all-checks", worst.caption, (worst,)))
    for s in summaries[: len(summaries) * (len(summaries) <= MOST_CHECKED)]:
        suffix = suffix_of(s, summaries)
        title = f"{s.meta.name}: all {len(s.checks)} checks" if suffix else (
            f"All {len(s.checks)} checks of the measurement"
        )  # fmt: skip
        blocks.append(Group(f"all-checks{suffix}", title, (quality.quality_table(s, suffix),)))
    if check is not None:
        blocks += [client.client_error_table(check), client.client_load_table(check)]
    told = {e.metric for s in summaries for e in s.estimates if not e.is_absent}
    entries = tuple(
        (_term(metric), f"{entry.definition} Unit: {entry.unit or 'none'}.")
        for metric, entry in GLOSSARY.items()
        if metric in told
    )
    blocks.append(Definitions("glossary", "Definitions", entries) if entries else None)
    lead = (
        "The load generator checks itself; a check that fails withholds a metric or voids the"
        " measurement. Read intervals as: 95 of 100 such runs would cover the true value."
    )
    return section_of("method", "Method", lead, blocks)


def _term(metric: str) -> str:
    """The name that the tables use, with the id of scenarios and JSON where it differs."""
    name = name_of(metric)
    return name if name.lower() == metric else f"{name} ({metric})"


def section_of(
    anchor: str, title: str, lead: str, blocks: Sequence[Block | None]
) -> Section | None:
    kept = tuple(b for b in blocks if b is not None)
    return Section(anchor, title, lead, kept) if kept else None


def suffix_of(summary: PointSummary, summaries: Sequence[PointSummary]) -> str:
    """Keeps ids apart where there are several points; stable across renders."""
    if len(summaries) == 1:
        return ""
    return f"-{summary.meta.index}-{summary.meta.stage_index}"
