"""What claims are judged from: windows of stored runs, a price sheet, and what only people know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from harness.analysis import PointSummary
from harness.analysis.frame import Frame
from harness.estimate import Estimate
from harness.scenario.claims import Claim, Facts
from harness.scenario.prices import PriceSheet


@dataclass(frozen=True, slots=True)
class Measured:
    """One window of one point of one run. model: the id that was sent.  labels: the scenario's.

    replicas: what a label of that name says, None where there is none.
    """

    run_id: str
    summary: PointSummary
    frame: Frame
    model: str
    replicas: int | None = None

    @property
    def target(self) -> str:
        return self.summary.meta.target

    @property
    def is_usable(self) -> bool:
        return self.summary.is_valid


@dataclass(frozen=True, slots=True)
class Capacity:
    """Sustained rate at a number of replicas, in req/s with its 95 % interval."""

    replicas: int
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Crossing:
    """Tokens/h from which on-demand is cheaper for good, of one deployment: ends of its interval.

    low: None where it never is.  high: None where that is not sure.  is_feasible: False where the
    deployment cannot carry as much (u_required above 1).
    """

    name: str
    low_tok_per_h: float | None
    is_feasible: bool | None
    high_tok_per_h: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a claim may be judged from; all of it may be absent but the sheet."""

    sheet: PriceSheet
    today: date
    measured: tuple[Measured, ...] = ()
    facts: Facts = field(default_factory=lambda: Facts(schema="harness/evidence/v1"))
    capacities: tuple[Capacity, ...] = ()
    crossings: tuple[Crossing, ...] = ()

    def of(self, claim: Claim) -> tuple[Measured, ...]:
        """Valid windows of the target a claim speaks of; unless it wants that one only, of the
        only target where the runs have one, whatever its name. Of several none is guessed: windows
        of two deployments are no sample of one."""
        usable = [m for m in self.measured if m.is_usable]
        named = [m for m in usable if m.target == claim.scope.target]
        is_one = len({m.target for m in usable}) == 1 and not claim.scope.only
        return tuple(named or (usable if is_one else ()))

    def absence(self, claim: Claim) -> str:
        """Why `of` has nothing: no run, none that can be believed, or none of that target."""
        void = [m for m in self.measured if not m.is_usable]
        if not self.measured:
            return "no run was given"
        if len(void) == len(self.measured):
            first = void[0].summary.invalid_reasons[0]
            return f"no window of the runs is a valid measurement: {first}"
        told = f"no run has a target called {claim.scope.target}"
        names = sorted({m.target for m in self.measured if m.is_usable})
        if len(names) > 1:
            told += f" but {', '.join(names)}: --set {claim.id}.scope.target={names[0]} names one"
        return told

    def exactly(self, target: str) -> tuple[Measured, ...]:
        """Valid windows of that target and no other: for claims that compare two."""
        return tuple(m for m in self.measured if m.is_usable and m.target == target)


def targets_of(measured: Sequence[Measured]) -> str:
    """`run 20261127T...-probe, target main`."""
    runs = sorted({m.run_id for m in measured})
    names = sorted({m.target for m in measured})
    return f"{', '.join(runs)}; target {', '.join(names)}"
