"""Failures: error_rate, throttle_rate, and uptime by its three definitions.

    error_rate      failures without 429 / valid         throttle_rate   429 / valid
    uptime ratio    W: share of windows whose bad share is at most 1 - good (the SLO's definition)
    uptime requests R: 1 - bad / valid over the period
    uptime mean     A: mean over windows of 1 - bad share

Population: intended in the window, all but cancelled, cut and client faults; of a request that was
retried every attempt, so that a retry hides no failure of the target. Bad for availability
is an answer the target should have given and did not: client errors (4xx), throttling (unless the
SLO says `throttled: bad`) and unfit answers are not. The three definitions disagree, so all are
reported. Windows without a request, or that requests without an answer at the end could decide, are
left out and counted; a last, incomplete window is not one.
One-token answers are answers.
"""

from __future__ import annotations

import math

import numpy as np

from harness.analysis.frame import BoolArray, FloatArray, Frame, IntArray
from harness.analysis.quantiles import Pair
from harness.analysis.shares import share_pair
from harness.analysis.summary import UptimeWindow
from harness.estimate import Estimate
from harness.records.schema import ERROR_CLASSES
from harness.scenario.slo import UptimeLimit

WINDOW_S, GOOD_SHARE = 300.0, 0.95


NOT_BAD = ("http_4xx", "throttled", "invalid_output")


def not_bad(limit: UptimeLimit | None) -> tuple[str, ...]:
    """Classes of failures that do not speak against the target; 429 does where the SLO says so."""
    if limit is not None and limit.throttled == "bad":
        return tuple(name for name in NOT_BAD if name != "throttled")
    return NOT_BAD


def is_bad(frame: Frame, limit: UptimeLimit | None = None) -> BoolArray:
    """[n] failures that count against availability."""
    return frame.is_failed & ~frame.is_class(*not_bad(limit))


def rate_pairs(frame: Frame, scope: str) -> list[Pair]:
    """error_rate and throttle_rate of one scope."""
    members = frame.is_measured & frame.is_valid & frame.scope(scope)
    throttled = frame.is_class("throttled")
    return [
        share_pair("error_rate", (frame.is_failed & ~throttled)[members], scope=scope),
        share_pair("throttle_rate", throttled[members], scope=scope),
    ]


def uptime_windows(
    frame: Frame, limit: UptimeLimit | None, due_s: FloatArray | None = None
) -> tuple[UptimeWindow, ...]:
    """The whole windows inside the measured one, in order.

    due_s: scheduled arrivals, from the window's start, where some may have left no row. Those, and
    requests cut by the end of the run, had no answer yet: a window that they could decide is left
    out, for what did answer in time would make it look better than it was.
    """
    length_s = limit.window if limit else WINDOW_S
    good = limit.good if limit else GOOD_SHARE
    num = math.floor(frame.window_s / length_s + 1e-9)
    index = _window_of(frame.intended_s, length_s)
    chosen = frame.is_measured & frame.is_valid & (index < num)
    valid = np.bincount(index[chosen], minlength=num)
    bad = np.bincount(index[chosen & is_bad(frame, limit)], minlength=num)
    waiting = _waiting(frame, index, num, None if due_s is None else _window_of(due_s, length_s))
    # an error share of exactly 1 - good is still up, whatever 1 - 0.95 is in binary
    allowed = (1 - good) * (valid + waiting) + 1e-9
    is_told = (valid > 0) & ((bad > allowed) == (bad + waiting > allowed))
    failed = {
        name: np.bincount(index[chosen & frame.is_class(name)], minlength=num)
        for name in ERROR_CLASSES
        if (chosen & frame.is_failed & frame.is_class(name)).any()
    }
    return tuple(
        UptimeWindow(
            start_s=i * length_s,
            num_valid=int(valid[i]),
            num_bad=int(bad[i]),
            is_up=bool(bad[i] <= allowed[i]),
            by_class=tuple((name, int(n[i])) for name, n in failed.items() if n[i]),
        )
        if is_told[i]
        else UptimeWindow(start_s=i * length_s, num_valid=0, num_bad=0, is_up=None)
        for i in range(num)
    )


def _window_of(at_s: FloatArray, length_s: float) -> IntArray:
    """[n] number of the window; a request at 1.2 s opens the fourth window of .4 s, whatever
    1.2 / .4 is in binary."""
    return np.floor(at_s / length_s + 1e-9).astype(np.int64)


def _waiting(frame: Frame, index: IntArray, num: int, due: IntArray | None) -> IntArray:
    """[w] requests of each window that had no answer when the client ended."""
    inside = frame.is_measured & (index < num)
    cut = np.bincount(index[inside & frame.is_cut], minlength=num)
    if due is None:
        return cut
    told = np.bincount(index[inside & frame.is_first], minlength=num)
    asked = np.bincount(due[(due >= 0) & (due < num)], minlength=num)
    return np.asarray(cut + np.maximum(asked - told, 0))


def uptime_pairs(
    frame: Frame, windows: tuple[UptimeWindow, ...], limit: UptimeLimit | None = None
) -> list[Pair]:
    """The three definitions, over the whole point."""
    seen = [w for w in windows if w.is_up is not None]
    up = np.array([bool(w.is_up) for w in seen], dtype=np.bool_)
    members = frame.is_measured & frame.is_valid
    nothing = "the measured window holds no whole uptime window with a request"
    return [
        share_pair("uptime", up, scope="all", population="windows", nothing=nothing),
        share_pair("uptime", ~is_bad(frame, limit)[members], scope="all", stat="requests"),
        _mean_of_windows(seen, nothing),
    ]


def _mean_of_windows(seen: list[UptimeWindow], nothing: str) -> Pair:
    """A: without an interval, windows of a single run being too few for one."""
    shares = [1 - w.num_bad / w.num_valid for w in seen]
    row = Estimate(
        metric="uptime",
        stat="mean",
        unit="ratio",
        value=math.fsum(shares) / len(shares) if shares else None,
        n=len(shares),
        n_eff=float(len(shares)),
        method="mean over windows",
        reason="" if shares else nothing,
        population="windows",
    )
    return Pair(row, row)
