"""What a service level agreement owes for what was measured.

The credit follows the agreement's own definition of availability, over its own windows: ours are
joined to its length where they divide it. The measured part stands for the whole billing period;
how far it may be off is the interval of the availability, hence a range of credits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis import Uptime, UptimeWindow
from harness.analysis.clusters import clustered_bounds, mean_interval
from harness.analysis.intervals import Interval
from harness.analysis.shares import share_pair
from harness.decisions.wording import amount, between
from harness.scenario.sla import Sla
from harness.units import write_seconds, write_share


@dataclass(frozen=True, slots=True)
class Availability:
    """One of the three definitions. low, high: its 95 % interval."""

    definition: str
    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Credit:
    """credit: share of the bill, None where the windows cannot tell; least, most: over the interval
    of the availability.  sentence: the finding."""

    sla: Sla
    observed: Availability
    credit: float | None
    least: float | None
    most: float | None
    sentence: str


def availability(definition: str, windows: Sequence[UptimeWindow], good: float) -> Availability:
    """`requests`, `windows` or `mean` over windows in order, with its interval."""
    seen = [w for w in windows if w.num_valid]
    bad, valid = [w.num_bad for w in seen], [w.num_valid for w in seen]
    if not seen:
        return Availability(definition, None, None, None, 0)
    if definition == "requests":
        ends = clustered_bounds(bad, valid)
        told = Interval(*(None if e is None else 1 - e for e in (ends.high, ends.low)))
        return Availability(definition, 1 - sum(bad) / sum(valid), told.low, told.high, sum(valid))
    if definition == "windows":
        up = np.array([b <= (1 - good) * n + 1e-9 for b, n in zip(bad, valid, strict=True)])
        e = share_pair("uptime", up, scope="all", population="windows").shown
        return Availability(definition, e.value, e.low, e.high, len(seen))
    ends = mean_interval(seen)
    mean = float(np.mean([1 - b / n for b, n in zip(bad, valid, strict=True)]))
    return Availability(definition, mean, ends.low, ends.high, len(seen))


def credit_due(sla: Sla, uptime: Uptime) -> Credit:
    """The credit for one load on one target, over all its parts."""
    joined = join_windows(uptime.windows, uptime.window_s, sla.window)
    if joined is None:
        observed = Availability(sla.definition, None, None, None, 0)
        told = (
            f"{sla.name}: no credit worked out: windows of {write_seconds(uptime.window_s)} do not"
            f" make up its own of {write_seconds(sla.window)}"
        )
        return Credit(sla, observed, None, None, None, told)
    observed = availability(sla.definition, joined, sla.good)
    if observed.value is None:
        told = f"{sla.name}: no credit worked out: no whole window with a request"
        return Credit(sla, observed, None, None, None, told)
    due = sla.credit(observed.value)
    least = sla.credit(1.0 if observed.high is None else observed.high)
    most = sla.credit(0.0 if observed.low is None else observed.low)
    span_s = joined[-1].start_s + sla.window - joined[0].start_s
    told = _sentence(sla, observed, due, least, most, span_s)
    return Credit(sla, observed, due, least, most, told)


def _sentence(
    sla: Sla, seen: Availability, due: float, least: float, most: float, span_s: float
) -> str:
    kept = "no credit is due" if not due else f"{write_share(due)} of the bill is due"
    span = "" if least == most else (
        f", {write_share(least)} to {write_share(most)} over the interval"
    )  # fmt: skip
    ends = f" ({between(amount(seen.low, 'ratio'), amount(seen.high, 'ratio'))})"
    period = write_seconds(sla.period)
    rest = f"if the rest of the {period} was like it"
    if span_s > sla.period + sla.window:
        rest = f"over all that was measured; each {period} is billed by its own share"
    return (
        f"{sla.name} promises {write_share(sla.objective)} by its definition"
        f" ({DEFINITIONS[sla.definition]}); measured {amount(seen.value, 'ratio')}{ends}:"
        f" {kept}{span}, {rest}"
    )


DEFINITIONS = {
    "requests": "good requests over the period",
    "windows": "share of windows that were up",
    "mean": "mean of the windows' good shares",
}


def join_windows(
    windows: Sequence[UptimeWindow], window_s: float, length_s: float
) -> tuple[UptimeWindow, ...] | None:
    """Windows of length_s made of ours; None where ours do not divide it. A joined window that was
    measured in part counts as what was measured of it."""
    times = length_s / window_s
    if times < 1 - 1e-9 or abs(times - round(times)) > 1e-6:
        return None
    if round(times) == 1:
        return tuple(windows)
    groups: dict[int, list[UptimeWindow]] = {}
    for w in windows:
        groups.setdefault(int((w.start_s + 1e-6) // length_s), []).append(w)
    return tuple(
        UptimeWindow(
            start_s=index * length_s, num_valid=sum(w.num_valid for w in group),
            num_bad=sum(w.num_bad for w in group), is_up=None,
        )
        for index, group in sorted(groups.items())
    )  # fmt: skip
