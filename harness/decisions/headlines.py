"""The sentences a reader gets first: answer - interval - rule in brackets - reason - next step.

Built from Estimates and Verdicts, never from bare floats, and built once, so that console, report
and pull request print the same words. An invalid measurement gets its own sentence and no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis import PointSummary
from harness.decisions.headline import Headline
from harness.decisions.levels import ladders
from harness.decisions.planner import planner_sentence
from harness.decisions.verdict import verdict_of_run
from harness.decisions.wording import amount, capital, interval, statistic, tally
from harness.estimate import SEVERITY, Estimate, Outcome, Verdict

_KEY_FIGURES = (
    ("ttft", "p50", "valid"),
    ("tpot", "p50", "valid"),
    ("output_tok_per_s", "rate", "system"),
)
# of answers that come whole
_WHOLE_FIGURES = (
    ("e2e_latency", "p50", "valid"),
    ("rtf", "p50", "valid"),
    ("audio_min_per_s", "rate", "system"),
    ("vector_per_s", "rate", "system"),
    ("input_tok_per_s", "rate", "system"),
)


def headlines(
    summaries: Sequence[PointSummary], verdicts: Sequence[Verdict], status: str = "complete"
) -> tuple[Headline, ...]:
    """One to a few sentences. status: of the run (complete, partial, interrupted, ...)."""
    outcome = verdict_of_run(summaries, verdicts)
    if outcome is Outcome.INVALID:
        return (_invalid(summaries, status),)
    capacity = _capacity(summaries, verdicts) if len(summaries) > 1 else ()
    if not verdicts:
        return (*capacity, *([] if capacity else [_figures(summaries)]))
    return (*capacity, _judged(verdicts, outcome, len(summaries)))


def _invalid(summaries: Sequence[PointSummary], status: str) -> Headline:
    void = [s for s in summaries if not s.is_valid]
    if not void:
        why = f"nothing was measured (the run is {status})"
        return Headline("INVALID: no verdict.", f"{capital(why)}.", Outcome.INVALID.value)
    reason = void[0].invalid_reasons[0]
    where = (
        f" At {void[0].meta.name}, one of {len(void)} such points." if len(summaries) > 1 else ""
    )
    more = len(void[0].invalid_reasons) - 1
    others = f" {more} more check{'s' if more > 1 else ''} failed." if more else ""
    return Headline(
        "INVALID: no verdict.", f"{capital(reason)}.{others}{where}", Outcome.INVALID.value
    )


def _judged(verdicts: Sequence[Verdict], outcome: Outcome, num_points: int) -> Headline:
    """The gravest rule in front, then the count of all."""
    gravest = min(verdicts, key=lambda v: (SEVERITY.index(v.outcome), _headroom(v)))
    where = f" At {gravest.point}." if num_points > 1 else ""
    count = tally(verdict.outcome for verdict in verdicts)
    if outcome is Outcome.PASS:
        rules = "the one rule is" if len(verdicts) == 1 else f"all {len(verdicts)} rules are"
        closest = (
            f"{'' if len(verdicts) == 1 else 'Closest: '}{_finding(gravest)} {_terms(gravest)}."
        )
        return Headline(f"PASS: {rules} kept.", f"{closest}{where}", outcome.value)
    word = outcome.value.upper()
    if gravest.estimate is None or gravest.estimate.value is None:
        answer = f"{word}: {_name(gravest)}"
        return Headline(
            answer, f"[limit {_limit(gravest)}]: {gravest.reason}. {count}{where}", outcome.value
        )
    detail = f"{_terms(gravest)}. {count}{where}"
    return Headline(f"{word}: {_finding(gravest)}", detail, outcome.value)


def _capacity(
    summaries: Sequence[PointSummary], verdicts: Sequence[Verdict]
) -> tuple[Headline, ...]:
    """For each target the rate it sustains: with its interval where the scenario asks for a share
    of good requests, else the highest that kept every rule, and the first that did not.

    Only from open load: closed load is no evidence for a rate. Points that differ in more than the
    rate are no steps of one ladder: each other value that is swept has its own sentence.
    """
    is_open = all(s.meta.kind == "open" and s.meta.offered_req_per_s for s in summaries)
    if not is_open or len({s.meta.offered_req_per_s for s in summaries}) < 2:
        return ()
    has_targets = len({s.meta.target for s in summaries}) > 1
    found = []
    for (target, *others), points in ladders(summaries).items():
        who = ", ".join([*([target] if has_targets else []), *others])
        begin = f"{who}: " if who else ""
        planned = planner_sentence(points, begin)
        found.append(planned or _sustained(begin, points, verdicts))
    return tuple(found)


def _sustained(who: str, points: Sequence[PointSummary], verdicts: Sequence[Verdict]) -> Headline:
    """Rates hold up to the first that does not; what holds beyond it is not counted. Of points at
    one rate, such as repeats, all have to hold."""
    holding: PointSummary | None = None
    ordered = [(s.meta.offered_req_per_s or 0.0, _broken(s, verdicts), s) for s in points]
    for _, broken, point in sorted(ordered, key=lambda row: (row[0], row[1] is None)):
        if broken is not None:
            rate = _rate(point)
            if holding is None:
                return Headline(f"{who}Not even {rate} is sustained.", f"{capital(broken)}.")
            return Headline(
                f"{who}Sustains {_rate(holding)}",
                f"{_goodput(holding, bool(verdicts))}; not {rate}: {broken}.",
            )
        holding = point
    assert holding is not None
    return Headline(
        f"{who}Sustains at least {_rate(holding)}",
        f"{_goodput(holding, bool(verdicts))}, the highest rate measured; the capacity lies above.",
    )


def _broken(point: PointSummary, verdicts: Sequence[Verdict]) -> str | None:
    """Why this point does not hold; None when it does. An open question does not hold either."""
    if not point.is_stable:
        before, after = point.backlog
        return f"more than the capacity, in flight grew from {before:.0f} to {after:.0f}"
    own = [v for v in verdicts if v.point == point.meta.name and v.outcome is not Outcome.PASS]
    if not own:
        return None
    gravest = min(own, key=lambda v: (SEVERITY.index(v.outcome), _headroom(v)))
    word = "undecided, " if gravest.outcome is Outcome.INCONCLUSIVE else ""
    return f"{word}{gravest.reason}"


def _goodput(point: PointSummary, has_rules: bool) -> str:
    good = point.find("slo_attainment", "ratio")
    if good is None or good.value is None:
        return "within every limit" if has_rules else "without a growing backlog; no limit was set"
    share = amount(good.value, "ratio")
    return f"with {share} of requests good ({interval(good.low, good.high, 'ratio')})"


def _figures(summaries: Sequence[PointSummary]) -> Headline:
    """Without rules: what was measured, with intervals, and no judgement."""
    is_whole = summaries[0].is_whole()
    found = [
        e
        for metric, stat, population in (_WHOLE_FIGURES if is_whole else _KEY_FIGURES)
        if (e := summaries[0].find(metric, stat, population=population)) and e.value is not None
    ]
    if not found:
        return Headline("Measured.", "No figure could be given; see the checks.")
    first, *rest = [f"{statistic(e)} {_value(e)}" for e in found]
    return Headline(f"Measured: {first}.", f"{', '.join(rest)}. No rule was set." if rest else "")


def _value(e: Estimate) -> str:
    return f"{amount(e.value, e.unit)} ({interval(e.low, e.high, e.unit)})"


def _finding(verdict: Verdict) -> str:
    e = verdict.estimate
    return f"{_name(verdict)} is {amount(e.value, e.unit)}" if e else _name(verdict)


def _terms(verdict: Verdict) -> str:
    e = verdict.estimate
    if e is None:
        return f"[limit {_limit(verdict)}]"
    told = "" if e.stat == "max" else f"({interval(e.low, e.high, e.unit)}) "
    if e.value is not None and math.isinf(e.value):
        told = f"({e.reason.removeprefix('not reached: ')}) " if e.reason else ""
    return f"{told}[limit {_limit(verdict)}, n={e.n:,}]"


def _limit(verdict: Verdict) -> str:
    return amount(verdict.limit, verdict.estimate.unit if verdict.estimate else "")


def _name(verdict: Verdict) -> str:
    return statistic(verdict.estimate) if verdict.estimate else verdict.rule.removeprefix("slo-")


def _headroom(verdict: Verdict) -> float:
    """Distance to the limit relative to it, negative beyond; the smallest is told first."""
    e, limit = verdict.estimate, verdict.limit
    if e is None or e.value is None or not limit:
        return 0.0
    gap = limit - e.value if verdict.direction == "max" else e.value - limit
    return gap / limit


def _rate(point: PointSummary) -> str:
    return amount(point.meta.offered_req_per_s, "req/s")
