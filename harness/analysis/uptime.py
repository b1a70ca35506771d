"""Uptime over windows: outages, time to repair, burn rate; parts of a long run pooled.

    outage     a run of down windows. A window without a request neither begins nor ends one; it
               begins with its first down window and ends with its last, so its length has the
               resolution of the window
    mttr_s     mean length of the outages that ended within the measurement
    burn rate  share of down windows / (1 - objective): 1 spends the whole error budget, no more

Pure: from the windows of point summaries, not from rows. Repeats of one load on one target are one
measurement of uptime: their windows are pooled in the order they were taken and judged once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.availability import GOOD_SHARE, NOT_BAD, WINDOW_S, not_bad
from harness.analysis.shares import share_pair
from harness.analysis.summary import PointSummary, UptimeWindow
from harness.estimate import Estimate
from harness.records.schema import ERROR_CLASSES


@dataclass(frozen=True, slots=True)
class Outage:
    """One run of down windows. start_s: from the start of the measurement.

    num_windows: the down ones.  error_class: the commonest among its bad answers.  is_open: it
    lasted to the end of the measurement, so its length is a least length.
    """

    start_s: float
    length_s: float
    num_windows: int
    num_valid: int
    num_bad: int
    error_class: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Uptime:
    """Uptime of one load on one target, over all its parts.

    windows: start_s counts from the first part's window; time between parts was not measured.
    shown, bound: the share of up windows with its 95 % interval and its one-sided bounds.
    not_counted: classes of failures that do not speak against the target.
    """

    name: str
    num_parts: int
    window_s: float
    good: float
    objective: float | None
    windows: tuple[UptimeWindow, ...]
    outages: tuple[Outage, ...]
    shown: Estimate
    bound: Estimate
    not_counted: tuple[str, ...] = NOT_BAD

    @property
    def num_seen(self) -> int:
        return self.shown.n

    @property
    def num_down(self) -> int:
        return sum(w.is_up is False for w in self.windows)

    @property
    def num_empty(self) -> int:
        return sum(w.is_up is None for w in self.windows)

    @property
    def requests_ratio(self) -> float | None:
        """R: 1 - bad / valid over every window."""
        valid = sum(w.num_valid for w in self.windows)
        return 1 - sum(w.num_bad for w in self.windows) / valid if valid else None

    @property
    def mean_ratio(self) -> float | None:
        """A: mean over windows of 1 - bad share."""
        shares = [1 - w.num_bad / w.num_valid for w in self.windows if w.num_valid]
        return math.fsum(shares) / len(shares) if shares else None

    @property
    def mttr_s(self) -> float | None:
        """None where no outage ended."""
        ended = [outage.length_s for outage in self.outages if not outage.is_open]
        return math.fsum(ended) / len(ended) if ended else None

    @property
    def allowed_windows(self) -> float | None:
        """The error budget, in windows."""
        return None if self.objective is None else (1 - self.objective) * self.num_seen

    @property
    def burn_rate(self) -> tuple[float, float, float] | None:
        """Value and the ends of its 95 % interval; None without an objective below 100 %."""
        e = self.shown
        if self.objective is None or self.objective >= 1 or e.value is None:
            return None
        low, high = e.low if e.low is not None else 0.0, e.high if e.high is not None else 1.0
        share = 1 - self.objective
        return (1 - e.value) / share, (1 - high) / share, (1 - low) / share


def outages(
    windows: Sequence[UptimeWindow], window_s: float, not_counted: Sequence[str] = NOT_BAD
) -> tuple[Outage, ...]:
    """Every outage, in order. windows: of equal length, in order, gaps between parts allowed.

    not_counted: error classes that make no window bad.
    """
    found: list[list[UptimeWindow]] = []
    is_down = False
    for window in windows:
        if window.is_up is None:
            continue
        if not window.is_up and is_down:
            found[-1].append(window)
        elif not window.is_up:
            found.append([window])
        is_down = not window.is_up
    return tuple(
        _outage(run, window_s, not_counted, is_open=is_down and position == len(found) - 1)
        for position, run in enumerate(found)
    )


def _outage(
    run: Sequence[UptimeWindow], window_s: float, not_counted: Sequence[str], *, is_open: bool
) -> Outage:
    start_s = run[0].start_s
    return Outage(
        start_s=start_s,
        length_s=run[-1].start_s + window_s - start_s,
        num_windows=len(run),
        num_valid=sum(w.num_valid for w in run),
        num_bad=sum(w.num_bad for w in run),
        error_class=_commonest(run, not_counted),
        is_open=is_open,
    )


def _commonest(run: Iterable[UptimeWindow], not_counted: Sequence[str]) -> str:
    """The most frequent class that counts as bad; of equals the first in the schema's order."""
    counts: Counter[str] = Counter()
    for window in run:
        counts.update({name: n for name, n in window.by_class if name not in not_counted})
    return max(ERROR_CLASSES, key=lambda name: counts[name]) if counts else ""


def repeats(summaries: Sequence[PointSummary]) -> tuple[tuple[PointSummary, ...], ...]:
    """The points by load, stage and target, in order: those of one group differ in nothing else."""
    groups: dict[tuple[str, int, str], list[PointSummary]] = {}
    for s in summaries:
        groups.setdefault((s.meta.target, s.meta.stage_index, repr(s.meta.swept)), []).append(s)
    return tuple(tuple(parts) for parts in groups.values())


def pooled_uptime(parts: Sequence[PointSummary]) -> Uptime:
    """The uptime of repeats of one load. parts: at least one."""
    limit = parts[0].meta.slo.uptime
    windows = tuple(_placed(sorted(parts, key=lambda s: s.meta.index)))
    up = np.array([bool(w.is_up) for w in windows if w.is_up is not None], dtype=np.bool_)
    window_s = limit.window if limit else WINDOW_S
    nothing = "the measurement holds no whole uptime window with a request"
    pair = share_pair("uptime", up, scope="all", population="windows", nothing=nothing)
    return Uptime(
        name=_name(parts),
        num_parts=len(parts),
        window_s=window_s,
        good=limit.good if limit else GOOD_SHARE,
        objective=limit.objective if limit else None,
        windows=windows,
        outages=outages(windows, window_s, not_bad(limit)),
        shown=pair.shown,
        bound=pair.bound,
        not_counted=not_bad(limit),
    )


def _name(parts: Sequence[PointSummary]) -> str:
    name = parts[0].meta.name
    if len(parts) == 1:
        return name
    return f"{re.sub(r'-r[0-9]+(?=$|[.])', '', name)} ({len(parts)} parts)"


def _placed(parts: Sequence[PointSummary]) -> Iterable[UptimeWindow]:
    """Windows of all parts on one axis. A part whose clock began anew follows the one before."""
    origin_ns, end_s = parts[0].meta.t0_ns, 0.0
    for part in parts:
        begin_s = (part.meta.t0_ns - origin_ns) / 1e9
        if begin_s < end_s:
            begin_s, origin_ns = end_s, part.meta.t0_ns - round(end_s * 1e9)
        for window in part.uptime_windows:
            yield replace(window, start_s=begin_s + window.start_s)
        end_s = begin_s + part.meta.window_s
