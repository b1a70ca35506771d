"""What claims are judged from: windows of stored runs, a price sheet, and what only people know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from harness.analysis import PointSummary
from harness.analysis.frame import FloatArray, Frame
from harness.estimate import Estimate
from harness.scenario.claims import Claim, Facts
from harness.scenario.prices import PriceSheet

MOST_RUNS = 3  # named in a sentence


@dataclass(frozen=True, slots=True)
class Measured:
    """One window of one point of one run. model: the id that was sent.  url: where to.

    replicas: what a label of that name says, None where there is none.  due_s: of an attempt that
    was cut short, its scheduled arrivals from the window's start.  attempt: at its point.
    """

    run_id: str
    summary: PointSummary
    frame: Frame
    model: str
    replicas: int | None = None
    url: str = ""
    due_s: FloatArray | None = None
    attempt: int = 0

    @property
    def target(self) -> str:
        return self.summary.meta.target

    @property
    def is_usable(self) -> bool:
        return self.summary.is_valid

    def withheld(self, metric: str) -> str:
        """Why the window says nothing of a metric, such as a backlog that grew or prompts that a
        cache knew; empty where it does."""
        checks = self.summary.checks
        return next((c.sentence for c in checks if metric in c.withholds), "")


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
    """Everything a claim may be judged from; all of it may be absent but the sheet.

    cut_short: attempts at parts of an uptime run that later ones replaced.  unrecorded: runs that
    sent requests of which nothing is on record, a client having been lost.
    """

    sheet: PriceSheet
    today: date
    measured: tuple[Measured, ...] = ()
    facts: Facts = field(default_factory=lambda: Facts(schema="harness/evidence/v1"))
    capacities: tuple[Capacity, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    cut_short: tuple[Measured, ...] = ()
    unrecorded: frozenset[str] = frozenset()

    def of(self, claim: Claim, metric: str = "") -> tuple[Measured, ...]:
        """Valid windows of the target a claim speaks of; unless it wants that one only, of the
        only target where the runs have one, whatever its name. Of several none is guessed: windows
        of two deployments are no sample of one.

        metric: what they must tell; windows in which it is withheld are left out.
        """
        return tuple(m for m in self._of(claim, self.measured) if not m.withheld(metric))

    def cut_short_of(self, claim: Claim) -> tuple[Measured, ...]:
        """As of, among the attempts that were cut short."""
        names = {m.target for m in self.of(claim)}
        return tuple(m for m in self.cut_short if m.is_usable and m.target in names)

    def _of(self, claim: Claim, measured: Sequence[Measured]) -> tuple[Measured, ...]:
        usable = [m for m in measured if m.is_usable]
        named = [m for m in usable if m.target == claim.scope.target]
        is_one = len({m.target for m in usable}) == 1 and not claim.scope.only
        return tuple(named or (usable if is_one else ()))

    def absence(self, claim: Claim, metric: str = "") -> str:
        """Why `of` has nothing: no run, none that can be believed, none of that target, or none
        that tells the metric."""
        void = [m for m in self.measured if not m.is_usable]
        if not self.measured:
            return "no run was given"
        if len(void) == len(self.measured):
            first = void[0].summary.invalid_reasons[0]
            return f"no window of the runs is a valid measurement: {first}"
        silent = [why for m in self._of(claim, self.measured) if (why := m.withheld(metric))]
        if silent:
            return f"no window of the runs tells {metric}: {silent[0]}"
        told = f"no run has a target called {claim.scope.target}"
        names = sorted({m.target for m in self.measured if m.is_usable})
        if len(names) > 1:
            told += f" but {', '.join(names)}: --set {claim.id}.scope.target={names[0]} names one"
        return told

    def exactly(self, target: str) -> tuple[Measured, ...]:
        """Valid windows of that target and no other: for claims that compare two."""
        return tuple(m for m in self.measured if m.is_usable and m.target == target)


def targets_of(measured: Sequence[Measured]) -> str:
    """`tiny at http://127.0.0.1:8000/v1 (target main of run 20261127T...-probe)`."""
    runs = sorted({m.run_id for m in measured})
    more = f" and {len(runs) - MOST_RUNS} more" if len(runs) > MOST_RUNS else ""
    told = f"run{'s' if len(runs) > 1 else ''} {', '.join(runs[:MOST_RUNS])}{more}"
    names = sorted({m.target for m in measured})
    servers = sorted({f"{m.model} at {m.url}" if m.url else m.model for m in measured})
    return f"{', '.join(servers)} (target {', '.join(names)} of {told})"
