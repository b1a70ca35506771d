"""How fast the error budget goes: burn rates over several windows at once, and what is left of it.

    burn rate   bad / valid of a trailing window, over 1 - objective: 1 spends the budget in exactly
                its period
    alert       fires while a long window and a short one both burn at its factor: the long one says
                that it matters, the short one that it is still going on

Factors and windows are those of Google's SRE workbook (chapter 5): 14.4x over 1 h and 5 min is 2 %
of a 30-day budget, 6x over 6 h and 30 min 5 %, 1x over 3 d and 6 h 10 %. Evaluated at the end of
every uptime window. What nobody observed, before the measurement or between its parts, counts as
good: an alert that fires then fires all the same; only one that stays quiet needs a run as long as
its long window, with no more than a tenth of it unobserved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.clusters import clustered_bounds
from harness.analysis.frame import BoolArray, FloatArray
from harness.analysis.summary import UptimeWindow
from harness.scenario.sla import MONTH_S
from harness.units import write_seconds

LEAST_OBSERVED = 0.9


@dataclass(frozen=True, slots=True)
class AlertRule:
    """budget_ratio: the share of a 30-day budget that long_s at this factor spends."""

    name: str
    factor: float
    long_s: float
    short_s: float

    @property
    def budget_ratio(self) -> float:
        return self.factor * self.long_s / MONTH_S


ALERTS = (
    AlertRule("page", 14.4, 3600.0, 300.0),
    AlertRule("page, slow", 6.0, 6 * 3600.0, 1800.0),
    AlertRule("ticket", 1.0, 3 * 86_400.0, 6 * 3600.0),
)


@dataclass(frozen=True, slots=True)
class Burn:
    """A burn rate with its 95 % interval (Clopper-Pearson, clustered), up to end_s."""

    value: float
    low: float
    high: float
    end_s: float
    num_bad: int
    num_valid: int


@dataclass(frozen=True, slots=True)
class Alert:
    """peak: the worst long window; its interval is of that window, not of a maximum.

    fired: (begin, end) in seconds from the first window.  reason: why it could not be told, else
    empty.
    """

    rule: AlertRule
    peak: Burn | None
    fired: tuple[tuple[float, float], ...] = ()
    reason: str = ""

    @property
    def answer(self) -> str:
        """`fired`, `quiet`, or whether the worst window leaves it open."""
        if self.peak is None:
            return "not measured"
        if self.fired:
            return "fired" if self.peak.low >= self.rule.factor else "fired, within its error"
        return "quiet" if self.peak.high < self.rule.factor else "quiet, within its error"


def burn(windows: Sequence[UptimeWindow], objective: float, window_s: float) -> Burn | None:
    """Over all the windows given; None without a request. objective: below 1."""
    seen = [w for w in windows if w.num_valid]
    if not seen:
        return None
    bad, valid = [w.num_bad for w in seen], [w.num_valid for w in seen]
    ends, allowed = clustered_bounds(bad, valid), 1 - objective
    assert ends.low is not None
    assert ends.high is not None
    return Burn(
        sum(bad) / sum(valid) / allowed, ends.low / allowed, ends.high / allowed,
        windows[-1].start_s + window_s, sum(bad), sum(valid),
    )  # fmt: skip


def burn_alerts(
    windows: Sequence[UptimeWindow], window_s: float, objective: float
) -> tuple[Alert, ...]:
    """Every alert of ALERTS. windows: in order, start_s on one axis; objective: below 1."""
    return tuple(_alert(rule, windows, window_s, objective) for rule in ALERTS)


def _alert(
    rule: AlertRule, windows: Sequence[UptimeWindow], window_s: float, objective: float
) -> Alert:
    if window_s > rule.short_s + 1e-9:
        told = f"windows of {write_seconds(window_s)} cannot show {write_seconds(rule.short_s)}"
        return Alert(rule, None, reason=told)
    starts = np.array([w.start_s for w in windows])
    ends = starts + window_s
    long, short = (
        _trailing(windows, starts, ends, length_s)
        * _observed_s(starts, ends, length_s)
        / length_s
        / (1 - objective)
        for length_s in (rule.long_s, rule.short_s)
    )
    is_on = (long >= rule.factor - 1e-9) & (short >= rule.factor - 1e-9)
    measured_s = ends - (starts[0] if len(starts) else 0.0)
    is_whole = (measured_s >= rule.long_s - 1e-6) & (
        _observed_s(starts, ends, rule.long_s) >= LEAST_OBSERVED * rule.long_s
    )
    if not is_on.any() and not is_whole.any():
        return Alert(rule, None, reason=f"needs {write_seconds(rule.long_s)} of measurement")
    # one that fired is the answer, also where the whole ones were quiet or saw no request
    worst = int(np.argmax(np.where(is_whole, long, -1.0) if is_whole.any() else long))
    if is_on.any() and long[worst] < rule.factor:
        worst = int(np.argmax(np.where(is_on, long, -1.0)))
    first = int(np.searchsorted(starts, ends[worst] - rule.long_s - 1e-6))
    peak = burn(windows[first : worst + 1], objective, window_s)
    return Alert(rule, peak, _spans(is_on, ends), "" if peak else "no request in its windows")


def _trailing(
    windows: Sequence[UptimeWindow], starts: FloatArray, ends: FloatArray, length_s: float
) -> FloatArray:
    """[w] bad share of the windows that lie within length_s before each end; 0 without requests."""
    bad = np.concatenate([[0], np.cumsum([w.num_bad for w in windows])])
    valid = np.concatenate([[0], np.cumsum([w.num_valid for w in windows])])
    first = np.searchsorted(starts, ends - length_s - 1e-6)
    last = np.arange(1, len(windows) + 1)
    total = valid[last] - valid[first]
    return np.asarray((bad[last] - bad[first]) / np.maximum(total, 1), dtype=np.float64)


def _observed_s(starts: FloatArray, ends: FloatArray, length_s: float) -> FloatArray:
    """[w] seconds of the length_s before each end in which a client ran: nothing before the first
    window, and no gap of a window or more between two."""
    if not len(starts):
        return np.zeros(0)
    gaps = np.concatenate([[0.0], starts[1:] - ends[:-1]])
    gaps[gaps < (ends[0] - starts[0]) - 1e-6] = 0.0
    total = np.cumsum(gaps)
    begin = ends - length_s
    first = np.searchsorted(starts, begin - 1e-6)
    # of a gap that length_s begins in, what lies inside it
    cut = np.minimum(gaps[first], np.maximum(0.0, starts[first] - begin))
    measured = np.minimum(ends - starts[0], length_s)
    return np.asarray(measured - (total - total[first]) - cut, dtype=np.float64)


def _spans(is_on: BoolArray, ends: FloatArray) -> tuple[tuple[float, float], ...]:
    """Begin and end of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_on, [False]]).astype(np.int8)))
    return tuple((float(ends[a]), float(ends[b - 1])) for a, b in edges.reshape(-1, 2))
