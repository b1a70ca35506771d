"""When a gate may look at what it has, and how much of alpha each look may spend.

A whole Holm test at each look's own alpha_j; the error of the whole is at most their sum by the
union bound, whatever the looks have in common. One look spends all of alpha. Else the first, after
`blocks`, spends half, and those that follow, half as many blocks further each, share the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.power import smallest_failing, smallest_visible
from harness.scenario.gate import Gate


@dataclass(frozen=True, slots=True)
class Look:
    """After k valid blocks, at level alpha."""

    k: int
    alpha: float

    def can_fail(self, num_relative: int) -> bool:
        """Whether the smallest p that k blocks can give survives Holm over that many rules."""
        return num_relative * 2.0 ** (1 - self.k) <= self.alpha

    @property
    def can_pass(self) -> bool:
        return 2.0**-self.k <= self.alpha


def plan_looks(gate: Gate) -> tuple[Look, ...]:
    """`blocks: 8, max_blocks: 16` at .05: 8, 12, 16 at .025, .0125, .0125."""
    first, most = gate.blocks, gate.most_blocks
    if most == first:
        return (Look(first, gate.alpha),)
    step = max(1, first // 2)
    later = [*range(first + step, most, step), most]
    rest = gate.alpha / 2 / len(later)
    return (Look(first, gate.alpha / 2), *(Look(k, rest) for k in later))


@dataclass(frozen=True, slots=True)
class Sight:
    """What a rule's design can see at its last look, were blocks to scatter by sigma.

    visible, failing: least change seen, and least change that fails the limit, at 80 % power, as a
    ratio - 1; None where too few blocks.
    """

    rule: str
    limit_ratio: float
    sigma: float
    visible: float | None
    failing: float | None


def sights(gate: Gate, sigma_of: dict[str, float]) -> tuple[Sight, ...]:
    """One a relative rule. sigma_of: rule id -> SD of its d; a rule without one is left out."""
    last = plan_looks(gate)[-1]
    is_blind = not last.can_fail(len(gate.relative))
    return tuple(
        Sight(
            rule.id, rule.limit_ratio, sigma,
            None if is_blind else smallest_visible(sigma, last.k, last.alpha),
            None
            if is_blind
            else smallest_failing(sigma, last.k, rule.limit_ratio, last.alpha),
        )
        for rule in gate.relative
        if (sigma := sigma_of.get(rule.id)) is not None
    )  # fmt: skip
