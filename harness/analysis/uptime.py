"""Uptime over windows: outages, time to repair, burn rate; parts of a long run pooled.

    outage     a run of down windows. A window without a request neither begins nor ends one; it
               begins with its first down window and ends with its last, so its length has the
               resolution of the window. Time that nobody observed, of a window's length or more,
               is in no outage: one that is on at its edge has a least length
    mttr_s     mean length of the outages whose begin and end were seen
    burn rate  share of down windows / (1 - objective): 1 spends the whole error budget, no more

Pure: from the windows of point summaries, not from rows. Repeats of one load on one target are one
measurement of uptime, and so are attempts at them that were cut short: their windows are pooled in
the order they were taken and judged once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from harness.analysis.availability import GOOD_SHARE, NOT_BAD, WINDOW_S, not_bad
from harness.analysis.shares import share_pair
from harness.analysis.summary import PointSummary, UptimeWindow
from harness.estimate import Estimate
from harness.records.schema import ERROR_CLASSES


@dataclass(frozen=True, slots=True)
class Outage:
    """One run of down windows. start_s: from the start of the measurement.

    num_windows: the down ones.  error_class: the commonest among its bad answers.  is_open: it was
    on when observation began or stopped, so its length is a least length.
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

    windows: start_s counts from the first part's window; time between parts was not observed.
    shown, bound: the share of up windows with its 95 % interval and its one-sided bounds.
    not_counted: classes of failures that do not speak against the target.  num_cut: of num_parts,
    attempts that were cut short and measured again.  left_out: why others of those do not count.
    gaps_s: lengths of what lies between parts, as far as clocks tell.
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
    num_cut: int = 0
    left_out: tuple[str, ...] = ()
    gaps_s: tuple[float, ...] = ()

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
        """None where no outage was seen from its begin to its end."""
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
    edges: set[int] = set()  # outages that were on when observation began or stopped
    is_down, is_edge, end_s = False, True, -math.inf
    for window in windows:
        if is_gap(end_s, window, window_s):
            edges |= {len(found) - 1} if is_down else set()
            is_down, is_edge = False, True
        end_s = window.start_s + window_s
        if window.is_up is None:
            continue
        if not window.is_up and is_down:
            found[-1].append(window)
        elif not window.is_up:
            edges |= {len(found)} if is_edge else set()
            found.append([window])
        is_down, is_edge = not window.is_up, False
    edges |= {len(found) - 1} if is_down else set()
    return tuple(
        _outage(run, window_s, not_counted, is_open=position in edges)
        for position, run in enumerate(found)
    )


def is_gap(end_s: float, window: UptimeWindow, window_s: float) -> bool:
    """Whether a window or more lies unobserved between end_s and the window."""
    return window.start_s - end_s >= window_s - 1e-6


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
    spans = _spans(parts)
    windows, gaps_s = _placed(spans)
    up = np.array([bool(w.is_up) for w in windows if w.is_up is not None], dtype=np.bool_)
    window_s = limit.window if limit else WINDOW_S
    nothing = "the measurement holds no whole uptime window with a request"
    pair = share_pair("uptime", up, scope="all", population="windows", nothing=nothing)
    return Uptime(
        name=_name(parts, len(spans)),
        num_parts=len(spans),
        window_s=window_s,
        good=limit.good if limit else GOOD_SHARE,
        objective=limit.objective if limit else None,
        windows=windows,
        outages=outages(windows, window_s, not_bad(limit)),
        shown=pair.shown,
        bound=pair.bound,
        not_counted=not_bad(limit),
        num_cut=len(spans) - len(parts),
        left_out=tuple(cut.left_out for part in parts for cut in part.before if cut.left_out),
        gaps_s=gaps_s,
    )


def _name(parts: Sequence[PointSummary], num: int) -> str:
    name = parts[0].meta.name
    if num == 1:
        return name
    return f"{re.sub(r'-r[0-9]+(?=$|[.])', '', name)} ({num} parts)"


class _Span(NamedTuple):
    """A stretch of time that was observed."""

    t0_ns: int
    wall_ns: int | None
    window_s: float
    windows: tuple[UptimeWindow, ...]

    @property
    def utc_ns(self) -> int:
        return self.t0_ns + (self.wall_ns or 0)


def _spans(parts: Sequence[PointSummary]) -> list[_Span]:
    """Every part and attempt that counts, in time; in the order of points where no clock tells."""
    found = []
    for part in sorted(parts, key=lambda s: s.meta.index):
        for cut in part.before:
            if not cut.left_out:
                found.append(_Span(cut.t0_ns, cut.wall_ns, cut.window_s, cut.windows))
        own = part.meta
        found.append(_Span(own.t0_ns, own.wall_ns, own.window_s, part.uptime_windows))
    if all(span.wall_ns is not None for span in found):
        found.sort(key=lambda span: span.utc_ns)
    return found


def _placed(spans: Sequence[_Span]) -> tuple[tuple[UptimeWindow, ...], tuple[float, ...]]:
    """Windows of all spans on one axis, and what lies between spans. By the clock of the wall,
    which goes on over a restart of the machine; without it, a span whose clock began anew follows
    the one before."""
    is_known = all(span.wall_ns is not None for span in spans)
    windows: list[UptimeWindow] = []
    gaps: list[float] = []
    origin_ns, end_s = spans[0].utc_ns if is_known else spans[0].t0_ns, 0.0
    for position, span in enumerate(spans):
        at_ns = span.utc_ns if is_known else span.t0_ns
        begin_s = (at_ns - origin_ns) / 1e9
        if begin_s < end_s:
            begin_s, origin_ns = end_s, at_ns - round(end_s * 1e9)
        if position:
            gaps.append(begin_s - end_s)
        windows += [replace(w, start_s=begin_s + w.start_s) for w in span.windows]
        end_s = begin_s + span.window_s
    return tuple(windows), tuple(gaps)
