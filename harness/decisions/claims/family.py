"""Several claims held against the same runs: which refutations stand among all of them.

Each claim is judged by itself, at its own error. Of twenty true ones, one would be refuted at 5 %
by chance, and whoever is accused may ask for that to be counted. Holm's procedure does: with m
claims judged by a sample, a refutation stands if it does at 1/m of its error; it is then put aside
and the others are asked at 1/(m - 1), until none is added (Holm 1979). It changes no standing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.decisions.claims.finding import Finding, Standing
from harness.scenario.claims import Claim


@dataclass(frozen=True, slots=True)
class Family:
    """num: claims judged by a sample.  by_chance: how many of them would be refuted, on average,
    if all were true."""

    num: int
    by_chance: float

    @property
    def sentence(self) -> str:
        """Empty where a claim stands alone."""
        if self.num < 2:
            return ""
        return (
            f"{self.num} were judged by measurement, each at its own error: were all of them true,"
            f" {self.by_chance:.2g} would be refuted by chance."
        )


def family_of(findings: Sequence[Finding]) -> Family:
    sampled = [f for f in findings if f.is_sampled]
    return Family(len(sampled), sum(f.claim.alpha for f in sampled))


def among_all(findings: Sequence[Finding], judge: Callable[[Claim], Finding]) -> list[Finding]:
    """The same findings; one that is refuted says whether it is among all of them too.

    judge: a claim by its test, at the error it names.
    """
    family = family_of(findings)
    refuted = {i for i, f in enumerate(findings) if f.is_sampled and _is_refuted(f)}
    if family.num < 2:
        return list(findings)
    standing: set[int] = set()
    while True:
        share = family.num - len(standing)
        more = {i for i in refuted - standing if _is_refuted(judge(_at(findings[i].claim, share)))}
        if not more:
            break
        standing |= more
    return [
        _told(f, family.num, is_standing=i in standing) if i in refuted else f
        for i, f in enumerate(findings)
    ]


def _is_refuted(found: Finding) -> bool:
    return found.standing is Standing.REFUTED


def _at(claim: Claim, share: int) -> Claim:
    return claim.model_copy(update={"alpha": claim.alpha / share})


def _told(found: Finding, num: int, *, is_standing: bool) -> Finding:
    word = "refuted all the same" if is_standing else "not surely refuted"
    row = (f"among the {num} claims judged by measurement here (Holm)", word, None)
    reason = found.reason
    if not is_standing:
        reason += f"; by itself: among the {num} judged here together (Holm) it is not surely so"
    return replace(found, reason=reason, figures=(*found.figures, row))
