"""What a claim came to: standing, reason, the argument line by line, and the figures behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.errors import ExitCode, strongest
from harness.scenario.claims import Claim

LEAST_TAIL = 2  # draws
# tests that a price sheet, a bill or a plan decides
ARITHMETIC = ("audio_price", "bill", "crossover", "gpu_prices")


class Standing(StrEnum):
    """supported: a one-sided bound lies on the claimed side.  refuted: the opposite bound does.
    inconsistent: it contradicts its own source by arithmetic.  inconclusive: neither.
    not testable: the evidence is absent, and `run` says what would give it."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONSISTENT = "inconsistent"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not testable"


@dataclass(frozen=True, slots=True)
class Finding:
    """reason: one sentence.  lines: the argument, for people.  figures: name, text, raw number.

    low, high: the one-sided bounds at 1 - alpha that judged, in base units; None where it was
    arithmetic.
    """

    claim: Claim
    standing: Standing
    reason: str
    lines: tuple[str, ...] = ()
    figures: tuple[tuple[str, str, float | None], ...] = ()
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0

    @property
    def is_expected(self) -> bool:
        return self.claim.expect == self.standing.value

    @property
    def measured_on(self) -> str:
        """Which server, target and runs; empty where nothing was measured."""
        return next((text for name, text, _ in self.figures if name == "measured on"), "")

    @property
    def is_sampled(self) -> bool:
        """Whether chance has a part in it: judged by a sample, not by arithmetic."""
        is_open = self.standing is Standing.NOT_TESTABLE
        return self.claim.test not in ARITHMETIC and not is_open

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.claim.id, "text": self.claim.text, "test": self.claim.test,
            "standing": self.standing.value, "expected": self.claim.expect,
            "reason": self.reason, "lines": list(self.lines),
            "value": _finite(self.value), "low": _finite(self.low), "high": _finite(self.high),
            "n": self.n, "alpha": self.claim.alpha, "measured_on": self.measured_on,
            "source": self.claim.source,
            "run": self.claim.run if self.standing is Standing.NOT_TESTABLE else "",
            "figures": [
                {"name": name, "text": text, "value": _finite(number)}
                for name, text, number in self.figures
            ],
        }  # fmt: skip


@dataclass(slots=True)
class Figures:
    """Collects rows of evidence."""

    rows: list[tuple[str, str, float | None]] = field(default_factory=list)

    def add(self, name: str, text: str, value: float | None = None) -> None:
        self.rows.append((name, text, value))

    def done(self) -> tuple[tuple[str, str, float | None], ...]:
        return tuple(self.rows)


def missing(claim: Claim, what: str) -> Finding:
    """Not testable, and what to run."""
    return Finding(claim, Standing.NOT_TESTABLE, f"{what}; run: {claim.run}")


def by_bounds(
    claim: Claim, low: float | None, high: float | None, limit: float, *, is_max: bool
) -> Standing:
    """The bound on the claimed side supports, the opposite one refutes. is_max: at most `limit`."""
    if is_max:
        keeping, breaking = high, low
        keeps = keeping is not None and keeping <= limit
        breaks = breaking is not None and breaking > limit
    else:
        keeping, breaking = low, high
        keeps = keeping is not None and keeping >= limit
        breaks = breaking is not None and breaking < limit
    return Standing.SUPPORTED if keeps else Standing.REFUTED if breaks else Standing.INCONCLUSIVE


def unless_too_fine(
    alpha: float, num_draws: int, standing: Standing, reason: str
) -> tuple[Standing, str]:
    """The same, but open where fewer than LEAST_TAIL of the draws lie beyond a bound: the bound is
    then the luck of the draw."""
    if alpha * num_draws >= LEAST_TAIL or standing not in (Standing.SUPPORTED, Standing.REFUTED):
        return standing, reason
    told = f"{reason}; but {num_draws:,} draws cannot tell an error of {alpha:.2g}"
    return Standing.INCONCLUSIVE, told


def exit_code_of(findings: list[Finding], is_only: bool) -> ExitCode:
    """1 for what is refuted or inconsistent against its expectation, 3 for what stays open.

    is_only: single claims were asked for, so that absent evidence is an open question too.
    """
    codes = [ExitCode.OK]
    for finding in findings:
        if finding.is_expected:
            continue
        if finding.standing in (Standing.REFUTED, Standing.INCONSISTENT):
            codes.append(ExitCode.FAILED)
        elif finding.standing is Standing.INCONCLUSIVE or (
            is_only and finding.standing is Standing.NOT_TESTABLE
        ):
            codes.append(ExitCode.INCONCLUSIVE)
    return strongest(codes)


def _finite(value: float | None) -> float | str | None:
    if value is None or value != value:
        return None
    return "inf" if value in (float("inf"), float("-inf")) else float(value)
