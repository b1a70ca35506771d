"""A stored run, analysed and judged: the same for a run that just ended and for `report`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.analysis import PointMeta, PointSummary, analyse_point
from harness.cli._unfinished import no_verdict, refusal_of
from harness.decisions import (
    Comparison,
    Headline,
    exit_code,
    headlines,
    judge_slo,
    judge_uptime,
    verdict_of_run,
)
from harness.errors import ExitCode, TargetError, strongest
from harness.estimate import Outcome, Verdict
from harness.records import PointRecords, Run
from harness.scenario import Point
from harness.scenario.document import SearchSweep
from harness.scenario.sweep import is_calibration

if TYPE_CHECKING:
    from harness.analysis.summary import CutPart
    from harness.cli._calibrated import Calibration

_FOREVER_NS = 2**62


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run came to. refusal: told where no request of the whole run was answered, or where
    the target of a search went away.

    comparison: of a gate.  windows: of a search, whose summaries are those of rates.  calibration:
    of a sweep for the twin, None where its points cannot carry one.
    """

    summaries: tuple[PointSummary, ...]
    verdicts: tuple[Verdict, ...]
    headlines: tuple[Headline, ...]
    outcome: Outcome
    status: str
    refusal: TargetError | None = None
    comparison: Comparison | None = None
    windows: tuple[PointSummary, ...] = ()
    calibration: Calibration | None = None

    @property
    def exit_code(self) -> ExitCode:
        """Interrupted wins over every verdict; nothing measured is never 0."""
        codes = [exit_code(self.outcome)]
        codes += [self.refusal.exit_code] if self.refusal else []
        if self.status == "interrupted":
            codes.append(ExitCode.INTERRUPTED)
        elif self.status != "complete" or not self.summaries:
            codes.append(ExitCode.INVALID)
        return strongest(codes)


def judge(run: Run, points: tuple[Point, ...]) -> Judgement:
    """Analyse every point that has records, judge every rule.

    points: the scenario's, in order; a point without records has no verdict and is left out.
    """
    if points and points[0].document.gate is not None:
        from harness.cli._gate_judge import judge_gate_run

        return judge_gate_run(run, points)
    if points and isinstance(points[0].document.sweep, SearchSweep):
        from harness.cli._search import judge_search_run

        return judge_search_run(run, points)
    if points and is_calibration(points[0].document.sweep):
        from harness.cli._calibration_judge import judge_calibration_run

        return judge_calibration_run(run, points)
    summaries = point_summaries(run, points)
    verdicts = [v for s in summaries for v in judge_slo(s, points[s.meta.index].slo)]
    verdicts = list(judge_uptime(summaries, verdicts))
    status, refusal = run.manifest.status, refusal_of(run)
    outcome = verdict_of_run(summaries, verdicts)
    lines = headlines(summaries, verdicts, status)
    if refusal is not None or status != "complete":
        outcome = Outcome.INVALID
        lines = (no_verdict(run, len(points), refusal),)
    return Judgement(tuple(summaries), tuple(verdicts), lines, outcome, status, refusal)


def point_summaries(run: Run, points: tuple[Point, ...]) -> list[PointSummary]:
    """Of every point and stage that has records, in order; where uptime is asked for, with what
    attempts that were cut short had seen."""
    found = []
    for records in run.points:
        point = points[records.index]
        before: dict[int, tuple[CutPart, ...]] = {}
        if point.slo.uptime is not None and records.before:
            from harness.cli._before import cut_parts

            before = cut_parts(point, records)
        for meta in stage_metas(point, records):
            summary = analyse_point(records.requests(), records.clients(), meta, records.server())
            found.append(replace(summary, before=before.get(meta.stage_index, ())))
    return found


def stage_metas(point: Point, records: PointRecords) -> list[PointMeta]:
    """One setting a stage whose window has begun; one that ended in its warm-up has none, unless a
    breaker ended it: what it saw there is its finding."""
    facts = records.meta
    windows = {stage["index"]: stage for stage in facts.get("stages", [])}
    realised = facts.get("realised", [])
    metas = []
    for index, stage in enumerate(facts.get("planned", [])):
        window = windows.get(index)
        if window is None or not window.get("t0_ns"):
            continue
        t0_ns, t1_ns = window["t0_ns"], window.get("t1_ns")
        if not t1_ns or records.is_partial:  # of one that was killed it is the end as planned
            t1_ns = min(t1_ns or _FOREVER_NS, _last_seen_ns(records))
        if t1_ns <= t0_ns and facts.get("stopped"):
            t0_ns = window["start_ns"]
            window = window | {"t0_ns": t0_ns, "is_warmup": True}
        if t1_ns > t0_ns:
            span = window | {"t1_ns": t1_ns}
            metas.append(_meta(point, records, index, stage, span, realised[index]))
    return metas


def _meta(
    point: Point,
    records: PointRecords,
    index: int,
    stage: dict[str, Any],
    window: dict[str, Any],
    realised: dict[str, Any],
) -> PointMeta:
    facts = records.meta
    stopped = facts.get("stopped") or {}
    return PointMeta(
        index=point.index,
        label=point.label,
        target=point.target_name,
        kind=stage["kind"],
        t0_ns=window["t0_ns"],
        t1_ns=window["t1_ns"],
        classes=tuple(c.name for c in point.traffic),
        swept=dict(point.swept),
        offered_req_per_s=stage.get("offered_req_per_s"),
        concurrency=stage.get("concurrency"),
        stage_index=index,
        stage_name=stage["name"],
        slo=point.slo,
        class_slos={c.name: c.slo for c in point.traffic if c.slo is not None},
        validity=point.validity,
        realised=realised,
        # of a window that was cut short nobody counted them
        num_scheduled=None if stopped or records.is_partial else stage.get("num_scheduled"),
        stopped_by=stopped.get("rule", ""),
        stopped_said=stopped.get("said", "") + " in the warm-up" * window.get("is_warmup", False),
        idle_s=tuple(stage.get("idle_s", ())),
        unique_classes=tuple(c.name for c in point.traffic if _is_unique(c)),
        rtt_s=facts["facts"]["rtt_ns"] / 1e9,
        seed=point.seed,
        repeat=point.repeat,
        is_partial=records.is_partial,
        stamp_source=window.get("stamp_source", "kernel"),
        tokens_kind=facts["token_plan"]["kind"],
        template_tok=max(0.0, facts["token_plan"]["fixed_tok"]),
        is_local_target=bool(facts.get("is_local_target")),
        tool_classes=tuple(c.name for c in point.traffic if c.workload.kind == "tools"),
        schema_classes=tuple(c.name for c in point.traffic if c.workload.kind == "json_schema"),
        wall_ns=facts.get("wall_ns"),
    )


def _is_unique(traffic_class: Any) -> bool:
    """Whether each prompt opens with its own salt, so that a cache should not know it."""
    workload = traffic_class.workload
    # a list of tools stands before every salt, so that a cache knows it by right
    if workload.kind in ("chat", "json_schema"):
        return traffic_class.prefix is None
    return workload.kind == "dataset" and bool(workload.salt)


def _last_seen_ns(records: PointRecords) -> int:
    """The client's last sign of life: the end of a request, or a row of its own health. 0 where
    there is none."""
    import pyarrow.compute as pc

    stamps = (records.requests()["end_ns"], records.clients()["t_ns"])
    return max(int(pc.max(column).as_py() or 0) for column in stamps)
