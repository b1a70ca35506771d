"""A judged gate or comparison -> its View: verdict, comparison second, then method and provenance.

Points of a gate are runs of one load, dozens of them: they are told as blocks, never as a sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.analysis import PointSummary
from harness.decisions import Comparison, Headline
from harness.estimate import Outcome, Verdict
from harness.notices import Notice
from reports import _comparison as own
from reports import _quality as quality
from reports._migration import migration_table
from reports._notices import notices_of
from reports._page import lead_of, round_time
from reports._provenance import commit_of, provenance_section
from reports._sections import section_of
from reports._text import listed
from reports.facts import RunFacts
from reports.view import Definitions, Section, Sentence, View

TERMS = (
    (
        "block",
        "One run of either arm replaying one schedule: the same times, texts and lengths. AB, BA,"
        " AB in turn, so that drift cancels.",
    ),
    (
        "p, interval",
        "Exact, from the means of all subsets of the blocks' log ratios (the sign-flip test); only"
        " symmetry is assumed.",
    ),
    ("Holm", "p is raised for the number of relative rules, so that any false alarm is at alpha."),
    ("fail", "p after Holm is below alpha, and the mean change is at or beyond the limit."),
    ("pass", "The change is shown to lie below the limit; every rule must be."),
    ("inconclusive", "Neither. The smallest visible change says what this design could have seen."),
    ("invalid", "The measurement cannot be trusted, or the arms cannot be compared."),
)


def build_gate_view(
    facts: RunFacts,
    comparison: Comparison,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    headlines: Sequence[Headline],
    notices: Sequence[Notice] = (),
) -> View:
    """Everything the renderers print. summaries: of every run, for the measurement's checks."""
    lead, sections = lead_of([
        section_of("comparison", "Comparison", _about(comparison),
                   own.comparison_blocks(comparison)),
        _method(summaries),
        provenance_section(facts),
    ])  # fmt: skip
    result = comparison.result
    return View(
        title=facts.scenario,
        run_id=facts.run_id,
        description=facts.description,
        facts=_header(facts, comparison),
        outcome=outcome.value,
        status=facts.status,
        sentences=tuple(Sentence(h.answer, h.detail, h.outcome) for h in headlines),
        next_step=_next(comparison, outcome, facts),
        lead=lead,
        verdict_table=own.rule_table(result) if result else own.observation_table(comparison),
        headline=(migration_table(comparison.migration),) if comparison.migration else (),
        notices=notices_of(summaries, notices),
        sections=sections,
        verdicts=tuple(verdicts),
        scenario=facts.scenario,
        duration_s=facts.duration_s,
        commit=commit_of(facts.provenance),
        reproduce=facts.reproduce,
        data=_data(facts, comparison, verdicts, outcome),
    )


def _about(comparison: Comparison) -> str:
    """What a reader may conclude from what follows."""
    if not comparison.num_blocks:
        return "Two runs side by side: that they differ does not say that the targets do."
    is_paired = comparison.result is None or comparison.result.is_paired
    how = "Both arms replay the same requests, block by block" if is_paired else (
        "Runs of the candidate against earlier ones of the baseline"
    )  # fmt: skip
    return f"{how}: a change is read from whole runs, whose scatter holds what one run hides."


def _header(facts: RunFacts, comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """Arms and design; of its processes only the model: each run had a port of its own."""
    created = facts.created_utc.replace("T", " ").replace("+00:00", " UTC")
    blocks = f"{comparison.num_blocks} counted" if comparison.num_blocks else ""
    rows = [
        ("candidate", comparison.candidate), ("baseline", comparison.baseline),
        ("model", listed(sorted({model for _, model, _ in facts.targets}))),
        ("blocks", blocks), ("date", created),
        ("took", round_time(facts.duration_s) if facts.duration_s else ""),
    ]  # fmt: skip
    return tuple((name, value) for name, value in rows if value)


def _method(summaries: Sequence[PointSummary]) -> Section | None:
    lead = (
        "Requests are no replicates: each run gives one number a metric, and runs are compared. A"
        " run that fails a check of the measurement takes its block out."
    )
    terms = Definitions("gate-terms", "How it decides", TERMS)
    return section_of("method", "Method", lead, [terms, quality.raised_table(summaries)])


def _next(comparison: Comparison, outcome: Outcome, facts: RunFacts) -> str:
    if facts.status != "complete":
        return f"`harness run --resume {facts.run_id}` measures what is missing."
    if outcome is Outcome.INVALID:
        return (
            "make the arms agree, then run again."
            if comparison.differences
            else "mend that, then run again; Method in the report has the checks."
        )
    if outcome is Outcome.INCONCLUSIVE:
        if comparison.result is None:
            return "measure both in paired blocks: a scenario with a gate."
        if not comparison.result.is_paired:
            return "save more sessions of the baseline: `--save-baseline NAME`."
        return "buy blocks, not requests: raise gate.max_blocks, or gate a larger change."
    if outcome is Outcome.FAIL:
        return "Comparison in the report shows the blocks and both distributions."
    return ""


def _data(
    facts: RunFacts, comparison: Comparison, verdicts: Sequence[Verdict], outcome: Outcome
) -> dict[str, Any]:
    return {
        "run_id": facts.run_id,
        "outcome": outcome.value,
        "status": facts.status,
        "baseline": comparison.baseline,
        "candidate": comparison.candidate,
        "differences": list(comparison.differences),
        "num_blocks": comparison.num_blocks,
        "verdicts": [v.to_json() for v in verdicts],
        "metrics": [
            {
                "metric": r.metric, "stat": r.stat, "stage": r.stage, "unit": r.unit,
                "baseline": r.baseline, "candidate": r.candidate, "change_ratio": r.effect,
                "ci_ratio": list(r.ci), "p": r.p, "verdict": r.outcome.value, "reason": r.reason,
                "limit_ratio": r.limit, "mde_ratio": r.mde, "is_flagged": r.is_flagged,
            }
            for r in comparison.rows
        ],
        **({"migration": comparison.migration.to_json()} if comparison.migration else {}),
    }  # fmt: skip
