"""A share of requests as an estimate: Wilson to show, Clopper-Pearson to judge.

Both are widened by the design effect of the indicator in order of intended send, since failures
cluster. With no event seen the series is constant and counts as independent.
"""

from __future__ import annotations

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import BoolArray
from harness.analysis.intervals import clopper_pearson, wilson
from harness.analysis.quantiles import Pair
from harness.estimate import Estimate


def share_pair(
    metric: str,
    happened: BoolArray,
    *,
    scope: str,
    population: str = "valid",
    stat: str = "ratio",
    nothing: str = "no valid request",
    least_deff: float = 1.0,
) -> Pair:
    """happened: [n] in order of intended send; n = 0 gives an absent estimate that says so.

    least_deff: where more is known of the correlation than the indicator itself shows.
    """
    n, k = len(happened), int(happened.sum())
    deff = max(design_effect(happened), least_deff) if n else 1.0
    shown = wilson(k, n, deff=deff)
    bound = clopper_pearson(k, n, deff=deff)
    rows = [
        Estimate(
            metric=metric,
            stat=stat,
            unit="ratio",
            value=k / n if n else None,
            low=end.low,
            high=end.high,
            level=level,
            n=n,
            n_eff=n / deff,
            method=method,
            reason="" if n else nothing,
            scope=scope,
            population=population,
        )
        for end, level, method in (
            (shown, 0.95, "Wilson at n_eff"),
            (bound, 0.90, "Clopper-Pearson at n_eff"),
        )
    ]
    return Pair(rows[0], rows[1])
