"""A judged run -> its View: which sections exist, in which order, and what each says first.

Works on a partial run. A section without data is left out. One rate leads with latency, a sweep
with its curve against load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.analysis import PointSummary
from harness.decisions import Headline
from harness.estimate import Outcome, Verdict, overall
from harness.notices import Notice
from harness.units import format_seconds
from reports import _sections as sections
from reports import _server as server
from reports import _tables as tables
from reports._capacity import capacity_section
from reports._cost import cost_section, cost_sentences
from reports._data import run_data
from reports._many import shown_of
from reports._next import next_step
from reports._notices import notices_of
from reports._provenance import commit_of, provenance_section
from reports._replicas import planned_outcome, replica_sentence, replicas_section
from reports._text import listed
from reports._uptime import cold_table, uptime_figures
from reports._what_if import Ladder, ladders_of, standings_of
from reports.facts import RunFacts
from reports.view import Chart, Section, Sentence, Table, View

# Which chart answers first, where there is one: a sweep's, a probe's, a single load's.
LEADS = (
    "chart-replicas", "chart-steps", "chart-goodput", "chart-uptime", "chart-nines-ttft",
    "chart-nines-e2e_latency",
)  # fmt: skip


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
    found = [
        replicas_section(facts.replicas),
        capacity_section(rates, headlines, facts.gpus),
        sections.latency_section(summaries, shown),
        sections.time_section(summaries, shown),
        cost_section(facts.costs, facts.crossover),
        sections.engine_section(summaries, shown),
        sections.errors_section(summaries, shown),
        sections.method_section(summaries, facts.client_check),
        provenance_section(facts),
    ]
    money = cost_sentences(facts.costs, facts.crossover)
    lead, kept = lead_of([s for s in found if s is not None])
    return View(
        title=facts.scenario,
        run_id=facts.run_id,
        description=facts.description,
        facts=header_of(facts, summaries),
        # the badge answers for all of the page; exit codes and `data` stay those of the run's rules
        outcome=overall([outcome, *planned_outcome(facts.replicas)]).value,
        status=facts.status,
        sentences=(
            *replica_sentence(facts.replicas),
            *(Sentence(h.answer, h.detail, h.outcome) for h in (*headlines, *money)),
        ),
        next_step=next_step(outcome, facts.status, summaries, verdicts, facts.run_id),
        lead=lead,
        verdict_table=tables.verdict_table(verdicts, len(summaries)),
        headline=_headline(lead, summaries, verdicts, rates),
        notices=notices_of(summaries, notices),
        sections=kept,
        verdicts=tuple(verdicts),
        scenario=facts.scenario,
        duration_s=facts.duration_s,
        commit=commit_of(facts.provenance),
        reproduce=facts.reproduce,
        data=run_data(facts, summaries, verdicts, outcome, rates),
    )


def lead_of(found: Sequence[Section]) -> tuple[Chart | None, tuple[Section, ...]]:
    """The chart that answers first, and the sections without it and without the empty ones."""
    by_id = {b.id: b for s in found for b in s.blocks if isinstance(b, Chart)}
    lead = next((by_id[i] for i in LEADS if i in by_id), None)
    rest = (replace(s, blocks=tuple(b for b in s.blocks if b is not lead)) for s in found)
    kept = tuple(s for s in rest if s.blocks)
    return (replace(lead, is_wide=False) if lead else None), kept


def header_of(facts: RunFacts, summaries: Sequence[PointSummary]) -> tuple[tuple[str, str], ...]:
    targets = listed([name for name, _, _ in facts.targets])
    models = listed(sorted({model for _, model, _ in facts.targets}))
    urls = listed(sorted({url for _, _, url in facts.targets}))
    created = facts.created_utc.replace("T", " ").replace("+00:00", " UTC")
    rows = [("target", targets), ("model", models), ("at", urls), ("date", created)]
    if facts.duration_s:  # a run that was killed does not know
        rows.append(("took", round_time(facts.duration_s)))
    if len(summaries) == 1:
        window = round_time(summaries[0].meta.window_s)
        rows += [("load", tables.load_text(summaries[0])), ("measured window", window)]
    elif summaries:
        rows.append(("points", str(len(summaries))))
    return tuple((name, value) for name, value in rows if value)


def round_time(value_s: float) -> str:
    """`50 s`, not `50.0 s`: nobody judges by it."""
    return format_seconds(round(value_s) if value_s >= 10 else value_s, 2)


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
