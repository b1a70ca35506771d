"""What a reader does now: the last part of the answer, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import PointSummary
from harness.estimate import Outcome, Verdict

_BY_FAILURES = ("error_rate", "throttle_rate", "uptime")


def next_step(
    outcome: Outcome,
    status: str,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    run: str,
) -> str:
    """Empty where nothing is left to do. run: its name; `latest` may be another by then."""
    if status != "complete":
        return f"`harness run --resume {run}` measures what is missing."
    if outcome is Outcome.INVALID:
        return "mend that, then run again; Method in the report has every check."
    searched = next((v for v in verdicts if v.rule.startswith("max_goodput")), None)
    if searched is not None:
        return _after_search(searched, run)
    if outcome is Outcome.INCONCLUSIVE:
        reasons = {v.reason for v in verdicts if v.outcome is Outcome.INCONCLUSIVE}
        withheld = {c.sentence for s in summaries for c in s.checks if c.status == "absent"}
        if reasons and reasons <= withheld:  # more of the same would be withheld too
            return "mend what withheld the figure, then run again; Method has every check."
        return "run again with a longer window: `--set load.duration=5min`."
    if not summaries:
        return ""
    broken = [v for v in verdicts if v.outcome is Outcome.FAIL]
    if any(v.estimate and v.estimate.metric in _BY_FAILURES for v in broken):
        return "read Errors in the report: what failed, how often and when."
    if _is_sweep(summaries):
        if broken:
            return (
                "add rates between the last that held and the first that did not, or let"
                " `sweep.kind: search` find it."
            )
        return "add higher rates; the capacity lies above those measured."
    if len(summaries) > 1 or any(s.meta.idle_s for s in summaries):
        return ""
    what = "the load that still keeps the limits" if broken else (
        "where the target stops keeping the limits"
    )  # fmt: skip
    if summaries[0].is_whole():  # the library's sweep is of chat
        return f"the same scenario with `--set '{_steps(summaries[0])}'` finds {what}."
    return f"`harness run sweep`, aimed at the same target, finds {what}."


def _steps(summary: PointSummary) -> str:
    """A sweep of once, twice and four times this load."""
    users, rate = summary.meta.concurrency, summary.meta.offered_req_per_s or 1.0
    loads = [f"{users * k}" if users else f"{rate * k:.3g}/s" for k in (1, 2, 4)]
    path = "load.concurrency" if users else "load.rate"
    return f"sweep={{kind: list, over: {{{path}: [{', '.join(loads)}]}}}}"


def _after_search(verdict: Verdict, run: str) -> str:
    if "--resume" in verdict.reason:
        return f"`harness run --resume {run}` goes on with the search."
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return (
            "longer windows scatter less: `--set load.duration=5min`; or ask for a wider"
            " `sweep.resolution`."
        )
    if verdict.outcome is Outcome.FAIL:
        return "lower `sweep.min`, or relax the SLO."
    if verdict.estimate is not None and verdict.estimate.high is None:
        return "raise `sweep.max`; the capacity lies above."
    return ""


def _is_sweep(summaries: Sequence[PointSummary]) -> bool:
    return len({s.meta.offered_req_per_s for s in summaries if s.meta.kind == "open"}) > 1
