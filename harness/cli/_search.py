"""A search read back from its records: what was tried, and what it comes to.

The same for a search that is being measured, that just ended, and that is judged again later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis import PointSummary
from harness.analysis.absence import absence_of
from harness.analysis.pooled import pooled_summary
from harness.analysis.run_sample import RunSample, run_sample
from harness.cli._judge import Judgement, stage_metas
from harness.cli._unfinished import departure_of, reason_of, refusal_of
from harness.decisions import Headline, find_capacity, verdict_of_run
from harness.decisions.levels import levels_of, window_of
from harness.decisions.planner import planner_sentence
from harness.decisions.search import SearchPlan, Tried, conclude
from harness.decisions.search_words import ending_sentence, search_verdict
from harness.decisions.slo import LATENCIES
from harness.decisions.wording import counted
from harness.estimate import Estimate, Outcome, overall
from harness.records import PointRecords, Run
from harness.scenario import Point, Scenario
from harness.scenario.document import SearchSweep
from harness.scenario.search import grid, lattice, place_of, windows_of

OVERLOADED = "offered more than the capacity: the backlog grew"


@dataclass(frozen=True, slots=True)
class Measured:
    """One window of one rate (an index of the lattice) of one target."""

    target: str
    rate: int
    sample: RunSample


def search_plan(document: Scenario) -> SearchPlan:
    sweep = document.sweep
    assert isinstance(sweep, SearchSweep)
    assert document.slo.attainment is not None
    return SearchPlan(
        lattice(sweep), document.slo.attainment, grid(sweep), sweep.repeat, sweep.resolution,
        windows_of(sweep),
    )  # fmt: skip


def read_window(point: Point, records: PointRecords) -> Measured | None:
    """None where the window never began."""
    metas = stage_metas(point, records)
    if not metas:
        return None
    sweep = point.document.sweep
    assert isinstance(sweep, SearchSweep)
    sample = run_sample(records.requests(), records.clients(), metas[0], records.server())
    return Measured(point.target_name, place_of(point.document, sweep, point.index).rate, sample)


def read_windows(points: Sequence[PointRecords], scenario: Sequence[Point]) -> list[Measured]:
    """Every window that was measured to its end, by index; but those in which the target was away
    for a while, which say nothing of their rate."""
    whole = sorted((p for p in points if not p.is_partial), key=lambda p: p.index)
    whole = [p for p in whole if not absence_of(p.requests()).num_refused]
    found = [read_window(scenario[p.index], p) for p in whole]
    return [window for window in found if window is not None]


def tried_of(windows: Sequence[Measured]) -> dict[int, Tried]:
    """What one target's windows say, by rate."""
    found: dict[int, Tried] = {}
    for own in windows:
        known = found.get(own.rate, Tried())
        window = window_of(own.sample.summary)
        found[own.rate] = (
            replace(known, num_void=known.num_void + 1)
            if window is None
            else replace(known, windows=(*known.windows, window))
        )
    return found


def why_void(windows: Sequence[Measured]) -> str:
    """Why the last window that is not valid is not; empty where all are."""
    void = [w.sample.summary for w in windows if window_of(w.sample.summary) is None]
    return next(iter(void[-1].invalid_reasons), "") if void else ""


def judge_search_run(run: Run, points: tuple[Point, ...]) -> Judgement:
    """Windows pooled by rate, one verdict and one sentence a target."""
    document = points[0].document
    plan = search_plan(document)
    windows = read_windows(run.points, points)
    names = list(dict.fromkeys(w.target for w in windows))
    summaries: list[PointSummary] = []
    verdicts, lines = [], []
    for name in names:
        own = [w for w in windows if w.target == name]
        pooled = [
            _pooled([w.sample for w in own if w.rate == k]) for k in sorted({w.rate for w in own})
        ]
        tried = tried_of(own)
        ending = conclude(plan, tried)
        told = ending_sentence(plan, tried, ending, why_void(own))
        who = name if len(document.targets) > 1 and len(names) > 1 else ""
        verdict = search_verdict(plan, ending, find_capacity(pooled), told, who)
        sentence = planner_sentence(pooled, f"{who}: " if who else "", told)
        summaries += pooled
        verdicts.append(verdict)
        lines.append(
            replace(sentence, outcome=verdict.outcome.value)
            if sentence
            else Headline("INVALID: no verdict.", told, Outcome.INVALID.value)
        )
    status, refusal = run.manifest.status, refusal_of(run)
    outcome = overall(v.outcome for v in verdicts) if verdicts else verdict_of_run((), ())
    if refusal is not None or status != "complete" or not verdicts:
        outcome = Outcome.INVALID
        lines = [_cut_off(run, len(windows), refusal.why if refusal else ""), *lines]
    return Judgement(
        tuple(summaries), tuple(verdicts), tuple(lines), outcome, status,
        refusal or departure_of(run),
        windows=tuple(w.sample.summary for w in windows),
    )  # fmt: skip


def _pooled(samples: Sequence[RunSample]) -> PointSummary:
    """The windows of one rate as one point; those that are not valid only where none is."""
    valid = [s for s in samples if s.summary.is_valid] or samples[:1]
    first = valid[0].summary
    pooled = pooled_summary(valid) if len(valid) > 1 else first
    (level,) = levels_of([s.summary for s in valid]) or (None,)
    label = first.meta.label.rpartition("-w")[0]
    is_stable = level.is_stable if level else first.is_stable
    named = replace(pooled, meta=replace(first.meta, label=label), is_stable=is_stable)
    return named if is_stable else _without_latency(named)


def _without_latency(summary: PointSummary) -> PointSummary:
    """Where the backlog grows a latency only tells how long the test was."""

    def withheld(rows: tuple[Estimate, ...]) -> tuple[Estimate, ...]:
        return tuple(
            replace(e, value=None, low=None, high=None, reason=OVERLOADED)
            if e.metric in LATENCIES
            else e
            for e in rows
        )

    return replace(summary, estimates=withheld(summary.estimates), bounds=withheld(summary.bounds))


def _cut_off(run: Run, num_windows: int, refused: str) -> Headline:
    if refused:
        return Headline(
            "REFUSED: no verdict.", f"The target refused every request: {refused}.",
            Outcome.INVALID.value,
        )  # fmt: skip
    reasons = [f" {p.label}: {reason}." for p in run.points if (reason := reason_of(p))]
    words = {"interrupted": "interrupted", "running": "killed, or still runs"}
    how = words.get(run.manifest.status, "cut short")
    effort = counted(num_windows, "window")
    return Headline(
        "PARTIAL: no verdict.",
        f"The search was {how} after {effort}.{''.join(reasons[:2])}",
        Outcome.INVALID.value,
    )
