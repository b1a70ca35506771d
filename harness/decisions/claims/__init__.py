"""Published statements held against stored runs and price sheets: one function a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.decisions.claims.availability import uptime
from harness.decisions.claims.bills import batch_discount, bill
from harness.decisions.claims.caching import prefix_caching
from harness.decisions.claims.cold import cold_start
from harness.decisions.claims.crossover import cells_of, crossover
from harness.decisions.claims.evidence import Capacity, Crossing, Evidence, Measured
from harness.decisions.claims.family import Family, among_all, family_of
from harness.decisions.claims.finding import Finding, Standing, exit_code_of
from harness.decisions.claims.prices import audio_price, break_even_speed, gpu_prices
from harness.decisions.claims.scaling import linear_scaling, rate_limit
from harness.decisions.claims.two_targets import stability, tier_speed
from harness.decisions.claims.typical import output_speed, ttft_by_prompt
from harness.scenario.claims import Claim

TESTS: dict[str, Callable[[Claim, Evidence], Finding]] = {
    "ttft_by_prompt": ttft_by_prompt, "uptime": uptime, "bill": bill, "audio_price": audio_price,
    "break_even_speed": break_even_speed, "gpu_prices": gpu_prices, "crossover": crossover,
    "batch_discount": batch_discount, "cold_start": cold_start, "stability": stability,
    "linear_scaling": linear_scaling, "tier_speed": tier_speed, "prefix_caching": prefix_caching,
    "output_speed": output_speed, "rate_limit": rate_limit,
}  # fmt: skip


def judge_claims(claims: Sequence[Claim], evidence: Evidence) -> list[Finding]:
    """Every claim by its test, in order; where several are judged by a sample, what is refuted
    says whether it is among all of them."""

    def judge(claim: Claim) -> Finding:
        return _without_a_value(TESTS[claim.test](claim, evidence))

    return among_all([judge(claim) for claim in claims], judge)


def _without_a_value(found: Finding) -> Finding:
    """What is measured stands; against a figure that the source never gave nothing is judged."""
    judged = (Standing.SUPPORTED, Standing.REFUTED, Standing.INCONSISTENT)
    if not found.claim.placeholder or found.standing not in judged:
        return found
    name = found.claim.id
    reason = (
        f"{found.reason}; but {found.claim.value} is ours, the source gives no figure:"
        f" --set {name}.value=... judges it"
    )
    return replace(found, standing=Standing.INCONCLUSIVE, reason=reason)


__all__ = [
    "TESTS", "Capacity", "Crossing", "Evidence", "Family", "Finding", "Measured", "Standing",
    "cells_of", "exit_code_of", "family_of", "judge_claims",
]  # fmt: skip
