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
from harness.decisions.traffic_unit import UNITS
from harness.estimate import Estimate, Outcome, from_plain, to_plain


@dataclass(frozen=True, slots=True)
class CostAnswer:
    """headlines: the analyst's sentences.  assumptions: all they rest on."""

    crossover: Crossover
    headlines: tuple[Headline, ...]
    assumptions: tuple[Assumption, ...]

    def to_json(self) -> dict[str, Any]:
        """The part `crossover` of plan.json; infinity is written "inf"."""
        found = _named(to_plain(asdict(self.crossover)), self.crossover.unit)
        found["traffic_unit"] = found.pop("unit")
        return {
            "answer": " ".join(f"{h.answer} {h.detail}" for h in self.headlines),
            "outcome": self.crossover.outcome.value,
            "headlines": [asdict(h) for h in self.headlines],
            "assumptions": [a._asdict() for a in self.assumptions],
            **{k: v for k, v in found.items() if k != "outcome"},
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> CostAnswer:
        unit = row.get("traffic_unit", "tok")  # older plans know tokens alone
        own = _unnamed(from_plain(row), unit) | {"unit": unit}
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
            serverless_usd_per_priced=own["serverless_usd_per_priced"],
            group_usd_per_h=own["group_usd_per_h"],
            at_traffic=_at_traffic(at) if at is not None else None,
            outcome=Outcome(own["outcome"]),
            curve=Curve(**own["curve"]),
            cells=tuple(Cell(**cell) for cell in own["cells"]),
            simulated=_simulated(own.get("simulated")),
            unit=own["unit"],
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
        | {name: _estimates(own[name]) for name in ("fleets", "usd_per_priced")}
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


def _keys(unit: str) -> dict[str, str]:
    """Name of a field -> its key, which says what is counted."""
    priced = UNITS[unit].price_unit.lower()
    return {
        "units_per_h": f"{unit}_per_h", "usd_per_priced": f"usd_per_{priced}",
        "serverless_usd_per_priced": f"serverless_usd_per_{priced}",
    }  # fmt: skip


def _named(found: dict[str, Any], unit: str) -> dict[str, Any]:
    """With the keys of the unit, in the blocks that have them."""
    keys = _keys(unit)
    return {
        keys.get(k, k): _named(v, unit) if k in ("at_traffic", "curve") and v else v
        for k, v in found.items()
    }


def _unnamed(own: dict[str, Any], unit: str) -> dict[str, Any]:
    keys = {key: name for name, key in _keys(unit).items()}
    return {
        keys.get(k, k): _unnamed(v, unit) if k in ("at_traffic", "curve") and v else v
        for k, v in own.items()
    }
