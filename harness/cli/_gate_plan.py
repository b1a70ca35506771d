"""What a gate will cost and what it can see, told before it starts: by `expand` and by `run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.power import blocks_for_floor, noise_floor
from harness.analysis.sessions import LEAST_SESSIONS
from harness.cli._gate_judge import sigma_of
from harness.decisions.looks import Look, plan_looks, sights
from harness.decisions.wording import counted, percent_change
from harness.errors import UsageError
from harness.records import provenance
from harness.scenario import Materials, Scenario, expand
from harness.scenario.budget import point_budget
from harness.scenario.gate import Gate
from harness.units import format_seconds

START_S = 5.0  # a fresh process of the reference engine, the probe and the cool-down, about
UNKNOWN_SIGMA = 0.04  # shown as an example where no calibration is on record
_OWN = ("reference", "scripted")


@dataclass(frozen=True, slots=True)
class Seen:
    """One relative rule. sigma: calibrated, or the example; visible, failing, floor: ratio - 1."""

    rule: str
    limit_ratio: float
    sigma: float
    visible: float | None
    failing: float | None
    floor: float


@dataclass(frozen=True, slots=True)
class GatePlan:
    """looks: in order.  run_s: load of one run, None where only the target decides.

    can_fail: whether any look's blocks can reach a small enough p.
    """

    gate: Gate
    looks: tuple[Look, ...]
    runs_per_block: int
    run_s: float | None
    start_s: float
    seen: tuple[Seen, ...]
    is_calibrated: bool
    can_fail: bool

    @property
    def lines(self) -> list[str]:
        first, last = self.looks[0].k, self.looks[-1].k
        design = counted(first, "block") if first == last else (
            f"{first} to {last} blocks (looks at {', '.join(str(k.k) for k in self.looks)})"
        )  # fmt: skip
        runs = "two runs each" if self.runs_per_block == 2 else "one run each, against stored ones"
        lines = [f"gate: {design}, {runs}, alpha {self.gate.alpha:g}"]
        if self.run_s is None:
            lines.append("  time: only the target decides how long a run takes")
        else:
            once = (self.run_s + self.start_s) * self.runs_per_block
            least, most = (format_seconds(k * once, 2) for k in (first, last))
            span = least if first == last else f"{least} to {most}"
            lines.append(f"  time: about {span} ({format_seconds(once, 2)} a block)")
        if not self.can_fail and self.gate.relative:
            least_p = min(1.0, 2.0 ** (1 - last) * len(self.gate.relative))
            end = (
                ""
                if self.looks[-1].can_pass
                else " nor pass one: the gate can only be inconclusive"
            )
            lines.append(
                f"  {counted(last, 'block')} can fail no relative rule (least p {least_p:.2g}){end}"
            )
        lines += [self._line(seen) for seen in self.seen]
        if self.runs_per_block == 1:
            lines.append(
                "  what it sees depends on how the stored sessions scatter; below"
                f" {LEAST_SESSIONS} of them every relative rule is inconclusive"
            )
        if self.seen and not self.is_calibrated:
            lines.append(
                "  how blocks scatter on this machine is not on record: harness calibrate measures"
                " it"
            )
        return lines

    def _line(self, seen: Seen) -> str:
        size = "cannot tell any change" if seen.visible is None else (
            f"sees a change of {_size(seen.visible)}, fails from {_size(seen.failing)}"
        )  # fmt: skip
        how = "calibrated" if self.is_calibrated else "if blocks scatter by"
        return (
            f"  {seen.rule}: limit {_size(seen.limit_ratio)}; {size} 8 times of 10"
            f" ({how} {_size(seen.sigma)})"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "looks": [{"blocks": look.k, "alpha": look.alpha} for look in self.looks],
            "runs_per_block": self.runs_per_block,
            "run_s": self.run_s,
            "is_calibrated": self.is_calibrated,
            "can_fail": self.can_fail,
            "rules": [
                {
                    "id": s.rule, "limit_ratio": s.limit_ratio, "sigma": s.sigma,
                    "visible_ratio": s.visible, "failing_ratio": s.failing,
                    "noise_floor_ratio": s.floor,
                }
                for s in self.seen
            ],
        }  # fmt: skip


def gate_plan(document: Scenario, materials: Materials, root: Path) -> GatePlan:
    """Of a scenario with a gate; reads the calibrations below root."""
    gate = document.gate
    assert gate is not None
    known = sigma_of(gate, document, provenance(), root)
    looks = plan_looks(gate)
    is_paired = gate.baseline.kind == "target"
    example = {rule.id: UNKNOWN_SIGMA for rule in gate.relative}
    last = looks[-1]
    seen = tuple(
        Seen(s.rule, s.limit_ratio, s.sigma, s.visible, s.failing, noise_floor(s.sigma, last.k))
        for s in (sights(gate, known or example) if is_paired else ())
    )
    is_own = document.targets[gate.candidate].kind in _OWN
    return GatePlan(
        gate=gate,
        looks=looks,
        runs_per_block=2 if is_paired else 1,
        run_s=point_budget(expand(document)[0], materials).load_s,
        start_s=START_S if is_own else 1.0,
        seen=seen,
        is_calibrated=bool(known),
        can_fail=any(look.can_fail(len(gate.relative)) for look in looks) or not is_paired,
    )


def require_above_floor(plan: GatePlan) -> None:
    """Raises UsageError where a limit lies below the calibrated noise of its own design."""
    for seen in plan.seen if plan.is_calibrated else ():
        if seen.floor > seen.limit_ratio:
            k = blocks_for_floor(seen.sigma, seen.limit_ratio)
            raise UsageError(
                f"the limit of rule {seen.rule} lies below this machine's noise",
                where=f"gate.rules.{seen.rule}",
                why=(
                    f"{plan.looks[-1].k} blocks of the same thing differ by up to"
                    f" {_size(seen.floor)} (95%), the limit is {_size(seen.limit_ratio)}"
                ),
                do=f"raise gate.max_blocks to {k}, the limit, or the quiet of this machine",
            )


def _size(ratio: float | None) -> str:
    return percent_change(ratio).lstrip("+")
