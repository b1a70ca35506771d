"""A judged calibration of the capacity twin -> its View: step times, the law, what was planned.

Its points are short on purpose: a rate, a latency or a goodput of theirs would mean nothing, so
there is none here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.analysis import PointSummary
from harness.analysis.steps import StepRow
from harness.decisions import Headline
from harness.decisions.step_fit import StepFit
from harness.decisions.step_words import StepSeen, steps_seen
from harness.estimate import Outcome, Verdict
from harness.notices import Notice
from reports._cost import cost_section, price_data
from reports._failures import Failures
from reports._notices import notices_of
from reports._page import lead_of, page
from reports._provenance import provenance_section
from reports._replicas import law_note, law_rows, replicas_section
from reports._sections import section_of
from reports._text import amount
from reports.facts import RunFacts
from reports.view import (
    Align,
    Block,
    Cell,
    Chart,
    Line,
    Panel,
    Row,
    Section,
    Table,
    View,
    folded,
)

_DECODE: tuple[tuple[str, Align], ...] = (
    ("sequences", "right"), ("context, tokens", "right"), ("a step took", "right"),
    ("the law says", "right"), ("error", "right"), ("steps seen", "right"),
)  # fmt: skip
_PROMPT: tuple[tuple[str, Align], ...] = (
    ("prompt, tokens", "right"), ("of them cached", "right"), ("reading took", "right"),
    ("the law says", "right"), ("error", "right"), ("prompts seen", "right"),
)  # fmt: skip
_FAILED: tuple[tuple[str, Align], ...] = (
    ("point", "left"), ("class", "left"), ("requests", "right"), ("of", "right"),
    ("sample", "left"),
)  # fmt: skip
LEAST_MARKS = 3  # of one batch, to be a line of the chart


def build_calibration_view(
    facts: RunFacts,
    fit: StepFit | None,
    rows: Sequence[StepRow],
    failures: Sequence[Failures],
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    headlines: Sequence[Headline],
    notices: Sequence[Notice] = (),
) -> View:
    """Everything the renderers print. fit: None where the points cannot carry one."""
    seen = steps_seen(rows, fit) if fit is not None else ()
    # a plan names what it rests on, the law among it
    law = _law(fit) if fit is not None and facts.replicas is None else None
    lead, sections = lead_of([
        replicas_section(facts.replicas), _steps(seen), cost_section(facts.costs, facts.crossover),
        _errors(failures), provenance_section(facts),
    ])  # fmt: skip
    return page(
        facts, summaries, verdicts, outcome, headlines,
        lead=lead,
        sections=sections,
        verdict_table=None,  # one rule, told by the sentence
        headline=(law,) if law else (),
        next_step=_next(facts, outcome),
        notices=notices_of((), notices),
        data=_data(facts, fit, seen, failures, summaries, verdicts, outcome),
    )  # fmt: skip


def _next(facts: RunFacts, outcome: Outcome) -> str:
    if facts.status != "complete":
        return f"`harness run --resume {facts.run_id}` measures what is missing."
    if outcome is Outcome.INVALID:
        return "see Errors in the report, mend that, then run again."
    if outcome is Outcome.INCONCLUSIVE:
        return "run it again while nobody else uses the endpoint or this machine."
    if facts.replicas is None:
        return f"`harness plan replicas {facts.run_id} --forecast servegen-day --mean 12/s`"
    return ""


def _law(fit: StepFit) -> Table:
    calibration = fit.to_json()
    return Table(
        "step-law", "The step law", (("quantity", "left"), ("value", "left")),
        tuple(law_rows(calibration)), law_note(calibration),
    )  # fmt: skip


def _steps(seen: Sequence[StepSeen]) -> Section | None:
    decode = [row for row in seen if row.kind == "decode"]
    prompts = [row for row in seen if row.kind == "prefill"]
    blocks: list[Block | None] = [
        _chart(decode), *folded(_decode_table(decode)), *folded(_prompt_table(prompts)),
    ]  # fmt: skip
    lead = (
        "Each point ran one batch of one length, as briefly as shows its steps: rates and latencies"
        " of these points mean nothing and are not given."
    )
    return section_of("steps", "Step times", lead, blocks)


def _chart(decode: Sequence[StepSeen]) -> Chart | None:
    """A line a batch that was swept; batches met in passing are in the table."""
    batches: dict[int, list[StepSeen]] = {}
    for row in decode:
        batches.setdefault(row.num_seqs, []).append(row)
    lines = tuple(
        Line(
            f"{n} at once" if n > 1 else "1 alone",
            tuple(row.context_tok for row in rows),
            tuple(row.seconds * 1e3 for row in rows),
            has_marks=True,
        )
        for n, rows in batches.items()
        if len(rows) >= LEAST_MARKS
    )
    if not lines:
        return None
    fast, slow = min(decode, key=lambda r: r.seconds), max(decode, key=lambda r: r.seconds)
    caption = (
        f"A decode step takes {amount(fast.seconds, 's')} with {_batch(fast)}, and"
        f" {amount(slow.seconds, 's')} with {_batch(slow)}."
    )
    return Chart(
        "chart-steps", "Decode steps by batch and context", caption,
        "Mean time of a step in which every sequence of the batch decodes and no prompt is read,"
        " from the arrivals of its tokens.",
        caption, "context of all sequences, tokens", (Panel("ms a step", lines, "log"),), "log",
    )  # fmt: skip


def _batch(row: StepSeen) -> str:
    return (
        f"{row.num_seqs:,} sequence{'s' * (row.num_seqs != 1)} and {row.context_tok:,.0f} tokens of"
        " context"
    )


def _decode_table(rows: Sequence[StepSeen]) -> Table | None:
    if not rows:
        return None
    cells = tuple(
        Row((_count(r.num_seqs), _count(round(r.context_tok)), *_times(r), _count(r.num)))
        for r in rows
    )
    return Table(
        "decode-steps", "Decode steps", _DECODE, cells,
        "Between two changes of who decodes, no prompt in flight. Context: of all its sequences,"
        " mean over the steps.",
    )  # fmt: skip


def _prompt_table(rows: Sequence[StepSeen]) -> Table | None:
    if not rows:
        return None
    cells = tuple(
        Row((
            _count(r.prompt_tok + r.cached_tok), _count(r.cached_tok), *_times(r), _count(r.num),
        ))
        for r in rows
    )  # fmt: skip
    return Table(
        "prompt-steps", "Prompts read alone", _PROMPT, cells,
        "Median over the prompts of a point that had the server to themselves: the server's own"
        " time where it tells it, else the time to the first token.",
    )  # fmt: skip


def _times(row: StepSeen) -> tuple[Cell, Cell, Cell]:
    return (
        Cell(amount(row.seconds, "s"), row.seconds), Cell(amount(row.law_s, "s"), row.law_s),
        Cell(f"{row.error_ratio:+.1%}", row.error_ratio),
    )  # fmt: skip


def _errors(failures: Sequence[Failures]) -> Section | None:
    if not failures:
        return None
    rows = tuple(
        Row((Cell(f.point), Cell(f.error_class), _count(f.num), _count(f.num_sent),
             Cell(f.sample)))
        for f in failures
    )  # fmt: skip
    table = Table("failed-requests", "Requests that failed", _FAILED, rows,
                  "A batch that lost a request is a smaller batch from then on.")  # fmt: skip
    return section_of("errors", "Errors", "", [table])


def _count(number: float) -> Cell:
    return Cell(f"{number:,.0f}", float(number))


def _data(
    facts: RunFacts, fit: StepFit | None, seen: Sequence[StepSeen], failures: Sequence[Failures],
    summaries: Sequence[PointSummary], verdicts: Sequence[Verdict], outcome: Outcome,
) -> dict[str, Any]:  # fmt: skip
    """The embedded JSON: steps and the law, no rates."""
    prices = price_data(facts.crossover)
    return {
        "run_id": facts.run_id,
        "outcome": outcome.value,
        "status": facts.status,
        "points": [
            {"name": s.meta.name, "validity": s.validity.value, "counts": s.counts}
            for s in summaries
        ],
        "verdicts": [v.to_json() for v in verdicts],
        "calibration": fit.to_json() if fit is not None else None,
        "steps": [row.to_json() for row in seen],
        "failures": [asdict(f) for f in failures],
        **({"what_if": prices} if prices else {}),
    }
