"""What spare replicas and regions buy: the probability that enough of them are up.

    replicas   P(at least R of n up), binomial, each up with probability a, independent
    regions    U = beta u + ((1 - beta) u)^N: a share beta of one region's unavailability u has a
               cause in common with the others (the beta-factor model of reliability engineering)

Independence of replicas is the optimistic end: a bad release takes all of them. Cost is that of n.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

MOST_REPLICAS = 10_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """n replicas of which `needed` must be up. cost_ratio: against the least fleet, n / needed."""

    n: int
    needed: int
    availability: float

    @property
    def cost_ratio(self) -> float:
        return self.n / self.needed


def fleet(n: int, needed: int, each: float) -> Fleet:
    """needed <= n; each: availability of one replica, 0 to 1."""
    # P(X >= R) = I_a(R, n - R + 1), exact where a sum of terms near 1 is not
    up = 1.0 if each >= 1 else 0.0 if each <= 0 else float(
        special.betainc(needed, n - needed + 1, each)
    )  # fmt: skip
    return Fleet(n, needed, up)


def least_fleet(needed: int, each: float, objective: float) -> Fleet | None:
    """The fewest replicas that reach the objective; None where no number below 10,000 does."""
    low, high = needed, needed
    while fleet(high, needed, each).availability < objective:
        if high >= MOST_REPLICAS:
            return None
        low, high = high + 1, min(2 * high, MOST_REPLICAS)
    while low < high:
        middle = (low + high) // 2
        if fleet(middle, needed, each).availability >= objective:
            high = middle
        else:
            low = middle + 1
    return fleet(high, needed, each)


def regions_down(unavailability: float, num_regions: int, common_cause: float) -> float:
    """Share of time in which no region serves. common_cause: beta, 0 to 1, always given."""
    alone = (1 - common_cause) * unavailability
    if num_regions == 1:
        return unavailability
    return float(common_cause * unavailability + alone**num_regions)
