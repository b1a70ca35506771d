"""`99.9% uptime`, as a claim: supported, refuted, or not shown, and what it would take to show it.

Where one load was measured in parts, uptime is asked once, of all parts together: an hour holds too
few windows to show anything. So do attempts at a part that were cut short and measured again. Which
window is up, and which outages there were, is analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.analysis import PointSummary, pooled_uptime, repeats
from harness.decisions.slo import judge_slo
from harness.decisions.wording import amount
from harness.estimate import Estimate, Outcome, Verdict
from harness.scenario.advice import windows_needed
from harness.scenario.slo import Slo
from harness.units import format_seconds

RULE = "slo-uptime"
_WORDS = {Outcome.PASS: "supported", Outcome.FAIL: "refuted", Outcome.INCONCLUSIVE: "not shown"}


def judge_uptime(
    summaries: Sequence[PointSummary], verdicts: Sequence[Verdict]
) -> tuple[Verdict, ...]:
    """All verdicts, those on uptime worded as claims and pooled over the parts of each load."""
    pooled: dict[str, Verdict] = {}  # by the name of a part; the verdict stands at the last
    of_parts: set[str] = set()
    for parts in repeats(summaries):
        is_pooled = len(parts) > 1 or any(s.before for s in parts)
        if is_pooled and parts[0].meta.slo.uptime is not None:
            names = [s.meta.name for s in parts]
            of_parts.update(names)
            pooled[names[-1]] = _judge_parts(parts)
    found = []
    for verdict in verdicts:
        if verdict.rule != RULE:
            found.append(verdict)
        elif verdict.point not in of_parts:
            found.append(_claim(verdict))
        elif verdict.point in pooled:
            found.append(_claim(pooled[verdict.point]))
    return tuple(found)


def _judge_parts(parts: Sequence[PointSummary]) -> Verdict:
    """One part that is not valid voids the whole: its hours cannot be told apart from an outage."""
    uptime = pooled_uptime(parts)
    worst = next((s for s in parts if not s.is_valid), parts[0])
    whole = replace(
        worst,
        meta=replace(worst.meta, label=uptime.name, stage_name="main", class_slos={}),
        estimates=(uptime.shown,),
        bounds=(uptime.bound,),
    )
    (verdict,) = judge_slo(whole, Slo(uptime=parts[0].meta.slo.uptime))
    gap_s = sum(uptime.gaps_s)
    if verdict.outcome not in _WORDS or not gap_s:
        return verdict
    told = f"{format_seconds(gap_s)} between its parts were not observed, neither up nor down"
    return replace(verdict, reason=f"{verdict.reason}; {told}")


def _claim(verdict: Verdict) -> Verdict:
    word, e = _WORDS.get(verdict.outcome), verdict.estimate
    if word is None or verdict.limit is None:
        return verdict
    reason = f"{amount(verdict.limit, 'ratio')} uptime is {word}: {verdict.reason}"
    if verdict.outcome is Outcome.INCONCLUSIVE and e is not None:
        reason += _missing(e, verdict.limit)
    return replace(verdict, reason=reason)


def _missing(e: Estimate, objective: float) -> str:
    """How many windows would show it; nothing where no number would, at this share of down ones."""
    if not 0 < objective < 1:
        return ""
    num_down = round((1 - (e.value or 0.0)) * e.n) if e.value is not None else 0
    if e.n and num_down / e.n >= 1 - objective:
        return ""
    needed = windows_needed(objective, num_down)
    if needed <= e.n:
        return f"; outages cluster, so that {e.n:,} windows count as {e.n_eff:,.0f}"
    down = "none" if not num_down else f"no more than {num_down}"
    return f"; {needed:,} windows with {down} of them down would show it, {e.n:,} were measured"
