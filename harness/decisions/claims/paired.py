"""What claims of pairs share: the exact test of paired logs against a limit, and its words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis.paired import SubsetMeans
from harness.decisions.claims.finding import Figures, Finding, Standing
from harness.scenario.claims import Claim
from harness.units import significant


def judge(means: SubsetMeans, limit: float, alpha: float) -> Standing:
    """Whether the mean of d is surely at most `limit`, surely above it, or open."""
    if means.p_better(limit) <= alpha + 1e-12:
        return Standing.SUPPORTED
    return Standing.REFUTED if means.p_worse(limit) <= alpha + 1e-12 else Standing.INCONCLUSIVE


def bounds(means: SubsetMeans, alpha: float) -> tuple[float | None, float | None]:
    ends = means.interval(1 - 2 * alpha)
    return ends.low, ends.high


def paired(
    claim: Claim, standing: Standing, reason: str, figures: Figures, means: SubsetMeans,
    low: float | None, high: float | None,
) -> Finding:  # fmt: skip
    # k pairs have 2^k flips: no p is below 2^-k
    needed = max(claim.min_n, math.ceil(-math.log2(claim.alpha) - 1e-9))
    if means.k < needed:
        standing = Standing.INCONCLUSIVE
        reason = f"{means.k} pairs where {needed} are asked for; {reason}"
    least, most = (None if e is None else math.exp(e) for e in (low, high))
    return Finding(
        claim, standing, reason, (), figures.done(), math.exp(means.mean), least, most, means.k
    )


@dataclass(frozen=True, slots=True)
class Pairs:
    """d: log ratios of the pairs that both sides can tell.  lost_own, lost_other: pairs in which
    one side's number is infinite, too many of its requests having failed."""

    d: tuple[float, ...]
    lost_own: int = 0
    lost_other: int = 0

    @classmethod
    def of(cls, both: Iterable[tuple[float, float]]) -> Pairs:
        """both: own and other number of a pair, above 0, inf where not reached."""
        d, lost = [], [0, 0]
        for own, other in both:
            if math.isfinite(own) and math.isfinite(other):
                d.append(math.log(own) - math.log(other))
            else:
                lost[0] += math.isinf(own)
                lost[1] += math.isinf(other)
        return cls(tuple(d), lost[0], lost[1])

    def __add__(self, more: Pairs) -> Pairs:
        return Pairs(
            self.d + more.d, self.lost_own + more.lost_own, self.lost_other + more.lost_other
        )

    def tell(self, figures: Figures) -> None:
        for side, num in (("claim's", self.lost_own), ("other", self.lost_other)):
            if num:
                told = f"blocks left out, failures of the {side} side"
                figures.add(told, f"{num}", float(num))

    def judge(self, means: SubsetMeans, limit: float, claim: Claim) -> Standing:
        """As judge(); but what was left out must not have decided: own failures keep no claim of
        being less, the other side's refute none, beyond the claim's margin."""
        standing, most = judge(means, limit, claim.alpha), claim.scope.margin * len(self.d)
        is_hidden = (standing is Standing.SUPPORTED and self.lost_own > most) or (
            standing is Standing.REFUTED and self.lost_other > most
        )
        return Standing.INCONCLUSIVE if is_hidden else standing


def times(log: float | None) -> str:
    return "no bound" if log is None else significant(math.exp(log))
