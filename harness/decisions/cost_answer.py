"""The crossover of a run as it is stored in plan.json and read back by reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.decisions.at_traffic import AtTraffic, Commitment, Zero
from harness.decisions.cost_curve import Cell, Curve
from harness.decisions.crossover import Crossover, find_crossover
from harness.decisions.crossover_words import Assumption, assumptions, sentences
from harness.decisions.headline import Headline
from harness.decisions.question import Question
from harness.decisions.simulated_fleet import FleetDay, SimulatedFleet
from harness.decisions.staircase import Regime
from harness.estimate import Estimate, Outcome, from_plain, to_plain


@dataclass(frozen=True, slots=True)
class CostAnswer:
    """headlines: the analyst's sentences.  assumptions: all they rest on."""

    crossover: Crossover
    headlines: tuple[Headline, ...]
    assumptions: tuple[Assumption, ...]

    def to_json(self) -> dict[str, Any]:
        """The part `crossover` of plan.json; infinity is written "inf"."""
        found = to_plain(asdict(self.crossover))
        return {
            "answer": " ".join(f"{h.answer} {h.detail}" for h in self.headlines),
            "outcome": self.crossover.outcome.value,
            "headlines": [asdict(h) for h in self.headlines],
            "assumptions": [a._asdict() for a in self.assumptions],
            **{k: v for k, v in found.items() if k != "outcome"},
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> CostAnswer:
        own = from_plain(row)
        at = own["at_traffic"]
        crossover = Crossover(
            required=Estimate(**own["required"]),
            feasibility=own["feasibility"],
            one_replica=Estimate(**own["one_replica"]),
            crossing=_estimates(own["crossing"]),
            reach=own["reach"],
            regimes=tuple(Regime(*r) for r in own["regimes"]),
            scaling=own["scaling"],
            load_target=own["load_target"],
            serverless_usd_per_mtok=own["serverless_usd_per_mtok"],
            group_usd_per_h=own["group_usd_per_h"],
            at_traffic=_at_traffic(at) if at is not None else None,
            outcome=Outcome(own["outcome"]),
            curve=Curve(**own["curve"]),
            cells=tuple(Cell(**cell) for cell in own["cells"]),
            simulated=_simulated(own.get("simulated")),
        )
        return cls(
            crossover,
            tuple(Headline(**h) for h in own["headlines"]),
            tuple(Assumption(**a) for a in own["assumptions"]),
        )


def answer(question: Question, *, traffic_source: str) -> CostAnswer:
    """Solve it, and say it."""
    found = find_crossover(question)
    rows = assumptions(found, question, traffic_source)
    return CostAnswer(found, sentences(found, question), tuple(rows))


def _at_traffic(own: dict[str, Any]) -> AtTraffic:
    commitment, zero = own["commitment"], own["zero"]
    return AtTraffic(
        **own
        | {name: Estimate(**own[name]) for name in ("serverless", "saving", "used")}
        | {name: _estimates(own[name]) for name in ("fleets", "usd_per_mtok")}
        | {
            "commitment": Commitment(**commitment) if commitment else None,
            "zero": Zero(**zero) if zero else None,
            "day": FleetDay(**own["day"]) if own.get("day") else None,
        }
    )


def _simulated(own: dict[str, Any] | None) -> SimulatedFleet | None:
    if own is None:
        return None
    days = {name: tuple(FleetDay(**d) for d in own[name]) for name in ("days", "to_zero")}
    return SimulatedFleet(**own | days)


def _estimates(own: dict[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**e) for name, e in own.items()}
