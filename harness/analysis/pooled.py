"""Several runs of one thing as one sample: for limits that a deployment has to keep, not a change.

Rows are pooled; a quantile is recomputed over all of them, never a mean of percentiles. How much
they tell is the smaller of two effective sizes: within each run after autocorrelation, and between
runs, from the scatter of their own shares at or below the pooled quantile. So runs that disagree
widen the interval however many requests they hold. Rates: mean of the runs, Student's t over runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import BoolArray, FloatArray
from harness.analysis.intervals import Interval, clopper_pearson, wilson
from harness.analysis.quantiles import (
    STATS,
    Pair,
    Sample,
    floor_eff,
    interval,
    largest,
    needed_requests,
    type7,
)
from harness.analysis.run_sample import RunSample
from harness.analysis.slo_grid import SloGrid
from harness.analysis.summary import GoodWindow, PointSummary
from harness.estimate import Estimate
from harness.scenario.gate import RATES

METHOD = "pooled runs; order statistics at the smaller n_eff, within and between runs"
_UNITS = {"tpot": "s/tok", "rtf": "s/s"}  # of a latency that is not a time


def effective_size(indicators: Sequence[BoolArray]) -> float:
    """How many independent draws these series of a yes or no are worth; at least 1.

    indicators: one [n_i] a run, in order of time.  One run has no scatter between runs to look at.
    """
    runs = [x for x in indicators if len(x)]
    return pooled_size(
        [int(x.sum()) for x in runs], [len(x) for x in runs],
        [len(x) / design_effect(x) for x in runs],
    )  # fmt: skip


def pooled_size(num_yes: Sequence[int], num: Sequence[int], n_eff: Sequence[float]) -> float:
    """As effective_size, from the counts of each run and what they are worth within it."""
    total = sum(num)
    if not total:
        return 0.0
    within, share = sum(n_eff), sum(num_yes) / total
    if len(num) < 2 or share in (0.0, 1.0):
        return max(1.0, within)
    asked = [(yes, n) for yes, n in zip(num_yes, num, strict=True) if n]
    if len(asked) < 2:  # one run alone says nothing of how runs scatter
        return max(1.0, within)
    means = np.array([yes / n for yes, n in asked])
    scatter = float(means.var(ddof=1)) / len(asked)
    between = share * (1 - share) / scatter if scatter > 0 else math.inf
    return max(1.0, min(within, between, total))


def pooled_summary(runs: Sequence[RunSample], alpha: float = 0.05) -> PointSummary:
    """The runs as one point: estimates, and bounds each one-sided at 1 - alpha.

    runs: at least one, all of one stage of the same load. Curves, series and checks are those of
    the first; only estimates, bounds, stability and counts are of all.
    """
    first = runs[0].summary
    pairs = [*_quantiles(runs, alpha), *_shares(runs, alpha), *_rates(runs, alpha)]
    counts = {k: sum(r.summary.counts.get(k, 0) for r in runs) for k in first.counts}
    return replace(
        first,
        estimates=tuple(p.shown for p in pairs),
        bounds=tuple(p.bound for p in pairs),
        is_stable=all(r.summary.is_stable for r in runs),
        backlog=max((r.summary.backlog for r in runs), key=lambda b: b[1] - b[0]),
        counts=counts,
        good_parts=tuple(part for r in runs for part in r.summary.good_parts),
        good_windows=tuple(w for r in runs if (w := _good_window(r.summary)) is not None),
        slo_grids=_grids(runs),
    )


def _good_window(run: PointSummary) -> GoodWindow | None:
    good = run.find("slo_attainment", "ratio", population="valid")
    if good is None or (good.value is None and (run.is_stable or run.counts["valid"])):
        return None
    if good.value is None:  # nobody had an answer before it ended: a backlog all the same
        return GoodWindow(0, 0, 0.0, is_stable=False)
    is_stopped = run.meta.stopped_by == "max_error_rate"
    return GoodWindow(round(good.value * good.n), good.n, good.n_eff, run.is_stable, is_stopped)


def _grids(runs: Sequence[RunSample]) -> tuple[SloGrid, ...]:
    """Cell by cell, of the scopes that every run has."""
    found = []
    for grid in runs[0].summary.slo_grids:
        own = [g for r in runs for g in r.summary.slo_grids if g.scope == grid.scope]
        if len(own) < len(runs):
            continue
        num = [g.num_valid for g in own]
        cells = list(zip(*(g.num_good for g in own), strict=True))
        sizes = list(zip(*(g.n_eff for g in own), strict=True))
        found.append(
            replace(
                grid, num_valid=sum(num), num_good=tuple(map(sum, cells)),
                n_eff=tuple(
                    round(pooled_size(good, num, size), 1)
                    for good, size in zip(cells, sizes, strict=True)
                ),
            )
        )  # fmt: skip
    return tuple(found)


def _quantiles(runs: Sequence[RunSample], alpha: float) -> list[Pair]:
    pairs = []
    for metric, scope in runs[0].samples:
        parts = [r.samples[metric, scope] for r in runs if (metric, scope) in r.samples]
        ordered = np.sort(np.concatenate(parts))
        sample = Sample(metric, _UNITS.get(metric, "s"), ordered, scope, "valid")
        pairs += [_quantile(sample, parts, name, alpha) for name in STATS]
        pairs.append(largest(sample, ordered))
    return pairs


def _quantile(sample: Sample, parts: Sequence[FloatArray], name: str, alpha: float) -> Pair:
    p, n = STATS[name], len(sample.values)
    if n < needed_requests(p):
        reason = f"n={n:,}: {name} not reported, it needs {needed_requests(p):,}"
        return _pair(sample, name, None, n, float(n), alpha, reason)
    value = type7(sample.values, p)
    n_eff = effective_size([part <= value for part in parts])
    if n_eff < floor_eff(p):
        reason = (
            f"n={n:,} but only {math.floor(n_eff)} count after autocorrelation and scatter between"
            f" runs: {name} not reported, it needs {floor_eff(p):,}"
        )
        return _pair(sample, name, None, n, n_eff, alpha, reason)
    failed = int(np.isinf(sample.values).sum())
    reason = f"not reached: {failed:,} of {n:,} requests failed" if math.isinf(value) else ""
    return _pair(sample, name, value, n, n_eff, alpha, reason)


def _pair(
    sample: Sample, name: str, value: float | None, n: int, n_eff: float, alpha: float, reason: str
) -> Pair:
    def at(level: float) -> Estimate:
        ends = (
            Interval(None, None)
            if value is None
            else interval(sample.values, STATS[name], n_eff, level)
        )
        return Estimate(
            sample.metric, name, sample.unit, value, ends.low, ends.high, level, n, n_eff, METHOD,
            reason, sample.scope, "valid",
        )  # fmt: skip

    return Pair(at(0.95), at(1 - 2 * alpha))


def _shares(runs: Sequence[RunSample], alpha: float) -> list[Pair]:
    pairs = []
    for metric, scope in runs[0].shares:
        parts = [r.shares[metric, scope] for r in runs if (metric, scope) in r.shares]
        n, k = sum(map(len, parts)), sum(int(x.sum()) for x in parts)
        own = [r.summary.find(metric, "ratio", scope=scope, population="valid") for r in runs]
        sizes = [e.n_eff for e in own if e is not None and e.n]
        # each run knows its own correlation best; where one does not tell, from the series
        size = effective_size(parts) if len(sizes) < len(runs) else pooled_size(
            [int(x.sum()) for x in parts], [len(x) for x in parts], sizes
        )  # fmt: skip
        deff = max(1.0, n / size) if n else 1.0
        shown = wilson(k, n, deff=deff)
        bound = clopper_pearson(k, n, 1 - alpha, deff)
        rows = [
            Estimate(
                metric, "ratio", "ratio", k / n if n else None, ends.low, ends.high, level, n,
                n / deff, method, "" if n else "no valid request", scope, "valid",
            )
            for ends, level, method in (
                (shown, 0.95, "Wilson at n_eff over pooled runs"),
                (bound, 1 - 2 * alpha, "Clopper-Pearson at n_eff over pooled runs"),
            )
        ]  # fmt: skip
        pairs.append(Pair(rows[0], rows[1]))
    return pairs


def _rates(runs: Sequence[RunSample], alpha: float) -> list[Pair]:
    """The mean over runs, each counting once."""
    pairs = []
    for e in runs[0].summary.estimates:
        if e.metric not in RATES or e.stat != "rate":
            continue
        key = {"scope": e.scope, "population": e.population}
        found = [r.summary.find(e.metric, e.stat, **key) for r in runs]
        values = [f.value for f in found if f is not None and f.value is not None]
        if len(values) < len(runs):
            pairs.append(Pair(e, e))
            continue
        shown, bound = (_over_runs(e, values, level) for level in (0.95, 1 - 2 * alpha))
        pairs.append(Pair(shown, bound))
    return pairs


def _over_runs(e: Estimate, values: Sequence[float], level: float) -> Estimate:
    k, mean = len(values), float(np.mean(values))
    low: float | None = None
    high: float | None = None
    if k > 1:
        t = float(special.stdtrit(k - 1, (1 + level) / 2))
        half = t * float(np.std(values, ddof=1)) / math.sqrt(k)
        low, high = max(0.0, mean - half), mean + half
    return replace(
        e, value=mean, low=low, high=high, level=level, n=k, n_eff=float(k),
        method="mean of runs, Student's t", reason="" if k > 1 else "one run has no scatter",
    )  # fmt: skip
