"""A judged run -> its View: which sections exist, in which order, and what each says first.

Works on a partial run. A section without data is left out. One rate leads with latency, a sweep
with its curve against load.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import PointSummary
from harness.decisions import Headline
from harness.estimate import Outcome, Verdict
from harness.notices import Notice
from reports import _sections as sections
from reports import _server as server
from reports import _tables as tables
from reports._capacity import capacity_section
from reports._cost import cost_section
from reports._data import run_data
from reports._many import shown_of
from reports._next import next_step
from reports._notices import notices_of
from reports._page import lead_of, page
from reports._provenance import provenance_section
from reports._replicas import replicas_section
from reports._uptime import cold_table, uptime_figures
from reports._what_if import Ladder, ladders_of, standings_of
from reports.facts import RunFacts
from reports.view import Chart, Table, View


def build_view(
    facts: RunFacts,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    headlines: Sequence[Headline],
    notices: Sequence[Notice] = (),
) -> View:
    """Everything the renderers print. summaries: one a point and stage, in order."""
    rates = ladders_of(summaries)
    shown = shown_of(summaries, rates)
    lead, kept = lead_of([
        replicas_section(facts.replicas),
        capacity_section(rates, facts.gpus),
        sections.latency_section(summaries, shown),
        sections.time_section(summaries, shown),
        cost_section(facts.costs, facts.crossover),
        sections.engine_section(summaries, shown),
        sections.errors_section(summaries, shown),
        sections.method_section(summaries, facts.client_check),
        provenance_section(facts),
    ])  # fmt: skip
    return page(
        facts, summaries, verdicts, outcome, headlines,
        lead=lead,
        sections=kept,
        verdict_table=tables.verdict_table(verdicts, len(summaries)),
        headline=_headline(lead, summaries, verdicts, rates),
        next_step=next_step(outcome, facts.status, summaries, verdicts, facts.run_id),
        notices=notices_of(summaries, notices),
        data=run_data(facts, summaries, verdicts, outcome, rates),
    )  # fmt: skip


def _headline(
    lead: Chart | None,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    rates: Sequence[Ladder],
) -> tuple[Table, ...]:
    """Availability first where uptime is what the report answers, else last."""
    figures, key = uptime_figures(summaries), _key_tables(summaries, verdicts, rates)
    is_uptime = lead is not None and lead.id.startswith("chart-uptime")
    return (*figures, *key) if is_uptime else (*key, *figures)


def _key_tables(
    summaries: Sequence[PointSummary], verdicts: Sequence[Verdict], rates: Sequence[Ladder]
) -> tuple[Table, ...]:
    """A few lines of figures for one point, the table of points for a sweep."""
    if len(summaries) > 1:
        return (tables.point_table(summaries, verdicts, standings_of(rates)),)
    found = [cold_table(s, "") for s in summaries]
    found += [tables.latency_table(s, "") for s in summaries]
    found += [tables.rate_table(s, "") for s in summaries]
    found += [server.comparison_table(s, "") for s in summaries]
    return tuple(t for t in found if t)
