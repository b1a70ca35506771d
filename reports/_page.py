"""What every page of a run has, whatever it measured: header, sentences, outcome, provenance.

A run's own view and a calibration's differ in sections and tables; both are put together here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.analysis import PointSummary
from harness.decisions import Headline
from harness.estimate import Outcome, Verdict, overall
from harness.units import format_seconds
from reports import _tables as tables
from reports._cost import cost_sentences
from reports._provenance import commit_of
from reports._replicas import fleets_table, planned_outcome, replica_sentence
from reports._text import listed
from reports.facts import RunFacts
from reports.view import Chart, Section, Sentence, Table, View

# Which chart answers first, where there is one: a gate's, a plan's, a sweep's, a probe's, a load's.
LEADS = (
    "chart-blocks", "chart-replicas", "chart-steps", "chart-goodput", "chart-uptime",
    "chart-nines-ttft", "chart-nines-e2e_latency",
)  # fmt: skip


def page(
    facts: RunFacts,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    headlines: Sequence[Headline],
    *,
    lead: Chart | None,
    sections: tuple[Section, ...],
    verdict_table: Table | None,
    headline: Sequence[Table],
    next_step: str,
    notices: tuple[tuple[str, str], ...],
    data: dict[str, Any],
) -> View:
    """The View. What was planned from the run comes first: who plans reads it first."""
    fleets = fleets_table(facts.replicas)
    money = cost_sentences(facts.costs, facts.crossover)
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
        next_step=next_step,
        lead=lead,
        verdict_table=verdict_table,
        headline=(*([fleets] if fleets else []), *headline),
        notices=notices,
        sections=sections,
        verdicts=tuple(verdicts),
        scenario=facts.scenario,
        duration_s=facts.duration_s,
        commit=commit_of(facts.provenance),
        reproduce=facts.reproduce,
        data=data,
    )


def lead_of(found: Sequence[Section | None]) -> tuple[Chart | None, tuple[Section, ...]]:
    """The chart that answers first, and the sections without it and without the empty ones."""
    there = [section for section in found if section is not None]
    by_id = {b.id: b for s in there for b in s.blocks if isinstance(b, Chart)}
    lead = next((by_id[i] for i in LEADS if i in by_id), None)
    rest = (replace(s, blocks=tuple(b for b in s.blocks if b is not lead)) for s in there)
    kept = tuple(s for s in rest if s.blocks)
    return (replace(lead, is_wide=False) if lead else None), kept


def header_of(facts: RunFacts, summaries: Sequence[PointSummary]) -> tuple[tuple[str, str], ...]:
    """Target, model, place, date, and how long it took; of one load that, of several how many."""
    # an engine that is started anew with other flags is the same target at another port
    targets = listed(list(dict.fromkeys(name for name, _, _ in facts.targets)))
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
