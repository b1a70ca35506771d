"""What a search says: of each window, of its end, and the verdict it comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.decisions.capacity import Capacity
from harness.decisions.levels import Level
from harness.decisions.over_windows import windows_needed
from harness.decisions.search import Ending, SearchPlan, Tried
from harness.decisions.wording import amount, between, counted
from harness.estimate import Outcome, Verdict

_OUTCOMES = {
    "found": Outcome.PASS, "above": Outcome.PASS, "below": Outcome.FAIL,
    "open": Outcome.INCONCLUSIVE, "contradiction": Outcome.INCONCLUSIVE,
    "unfinished": Outcome.INCONCLUSIVE, "void": Outcome.INVALID,
}  # fmt: skip


def window_sentence(plan: SearchPlan, rate: int, tried: Tried, void: str = "") -> str:
    """`8 req/s, window 2: 98.7% good (96.1% to 99.6%), open`.  void: why it is not valid, if it is
    not."""
    where = f"{amount(plan.rates[rate], 'req/s')}, window {tried.num}"
    if void or not tried.windows:
        again = "" if tried.windows or tried.is_void else ", measured again"
        return f"{where}: not valid{again}{f': {void}' if void else ''}"
    level = Level(plan.rates[rate], tried.windows)
    ends = level.bounds()
    if tried.is_first_alarm(plan.share):
        verdict = f"{_why(tried.windows[0].is_stopped)}; once more, to be sure"
    elif not level.is_stable or level.is_stopped:
        verdict = f"misses, {_why(level.is_stopped)}"
    else:
        verdict = tried.standing(plan.share)
    if not level.num_valid:
        return f"{where}: nobody was answered, {verdict}"
    share = level.num_good / level.num_valid
    low, high = (amount(end, "ratio") for end in (ends.low, ends.high))
    return f"{where}: {amount(share, 'ratio')} good ({between(low, high)}), {verdict}"


def _why(is_stopped: bool) -> str:
    return "ended by its errors" if is_stopped else "its backlog grew"


def ending_sentence(
    plan: SearchPlan, tried: Mapping[int, Tried], ending: Ending, void: str = ""
) -> str:
    """How wide the interval is, and why it is no narrower.  void: why windows were not valid."""
    windows = sum(t.num for t in tried.values())
    effort = f"{counted(windows, 'window')} at {counted(len(tried), 'rate')}"
    low, high = (
        None if k is None else amount(plan.rates[k], "req/s") for k in (ending.low, ending.high)
    )
    seen = ending.crossing
    match ending.kind:
        case "found":
            if seen is None or not seen.is_seen or not math.isfinite(seen.ratio):
                return f"{low} holds and {high} misses, after {effort}."
            return f"{_over_windows(ending)}, after {effort}."
        case "above":
            return f"The end of the range, {low}, still holds, after {effort}: raise sweep.max."
        case "below":
            return f"Even {high} misses, after {effort}: lower sweep.min, or relax the SLO."
        case "contradiction":
            told = f"Rates contradict each other ({high} misses, a higher one holds)"
            if seen is not None and math.isfinite(seen.ratio):
                told += f". {_over_windows(ending)}"
            return f"{told}, after {effort}."
        case "void":
            why = f": {void}" if void else ""
            where = f"beyond {low}" if low else "at any rate"
            return f"Nothing valid could be measured {where}, after {effort}{why}."
        case "unfinished":
            return f"The search is not at its end ({effort}); --resume goes on with it."
    if seen is not None and seen.is_seen and math.isfinite(seen.ratio):
        wide, asked = (amount(x, "ratio") for x in (seen.ratio - 1, plan.resolution))
        more = windows_needed(plan.resolution, seen.scatter) - round(seen.num_near)
        return (
            f"{_over_windows(ending)}, an interval of {wide} where {asked} was asked, after"
            f" {effort}; about {max(more, 1)} more near it would close it, or longer ones."
        )
    return f"{_between(low, high)} undecided after {effort}; longer windows tell more."


def _over_windows(ending: Ending) -> str:
    """What the windows say together, and how much more they differ than their requests do."""
    seen = ending.crossing
    assert seen is not None
    more = math.sqrt(seen.dispersion)
    luck = f", which scatter {more:.2g} times as much as their requests do," if more >= 1.2 else ""
    low, high = (amount(end, "req/s") for end in (seen.low, seen.high))
    return f"Windows{luck} put it between {low} and {high}"


def _between(low: str | None, high: str | None) -> str:
    if low and high:
        return f"Between {low} and {high} it stays"
    return f"Above {low} it stays" if low else f"Below {high} it stays" if high else "It stays"


def search_verdict(
    plan: SearchPlan, ending: Ending, capacity: Capacity, reason: str, name: str = ""
) -> Verdict:
    """One rule: a rate of the range is sustained, and known as closely as was asked.

    name: the target's, where there are several.
    """
    estimate = capacity.estimate
    return Verdict(
        rule=f"max_goodput-{name}" if name else "max_goodput",
        outcome=_OUTCOMES[ending.kind],
        reason=reason,
        estimate=estimate,
        limit=plan.rates[0],
        direction="min",
        bound=estimate.low,
    )
