"""C7: "on-demand is cheaper above T tokens an hour", held against the prices of its own source.

T1 = GPU price / price per Mtok is the least traffic at which one GPU, busy with nothing else and
able to carry anything, costs what the tokens cost. No deployment crosses below it. A claim below
the smallest T1 of any cell of the sheet contradicts that sheet, whatever is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.decisions.claims.evidence import Evidence
from harness.decisions.claims.finding import Figures, Finding, Standing, missing
from harness.scenario.claims import Claim, Deployment
from harness.scenario.prices import PriceSheet
from harness.units import significant


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one kind of GPU. t1: tokens an hour."""

    model: str
    gpu: str
    t1: float
    usd_per_mtok: float
    usd_per_h: float


def cells_of(sheet: PriceSheet) -> tuple[Cell, ...]:
    """Every token-priced row with every GPU: the least T1 that its prices allow (the dearest token,
    fine-tuned copies included, and the cheapest end of the GPU's range, commitment included)."""
    found = []
    for model, row in sheet.serverless.items():
        prices = [
            price.high
            for kind in (row, row.fine_tuned) if kind is not None
            for price in (kind.input, kind.output) if price is not None
        ]  # fmt: skip
        if not prices or max(prices) <= 0:
            continue
        for gpu, unit in sheet.on_demand.items():
            usd_per_h = unit.price.low * (1 - unit.commitment_discount)
            t1 = usd_per_h / max(prices) * 1e6
            found.append(Cell(model, gpu, t1, max(prices), usd_per_h))
    return tuple(found)


def has_fees(sheet: PriceSheet) -> bool:
    """Whether requests cost anything beside their tokens: short ones may then cost any price a
    token, and no traffic is too small to cross at."""
    kinds = [k for row in sheet.serverless.values() for k in (row, row.fine_tuned) if k is not None]
    return any(k.request is not None and k.request.high > 0 for k in kinds)


def crossover(claim: Claim, evidence: Evidence) -> Finding:
    """Inconsistent below min T1; else refuted where every feasible deployment surely crosses above
    the value; supported where one surely crosses below it."""
    value, cells = claim.number, cells_of(evidence.sheet)
    if not cells:
        return missing(claim, "the sheet has no token price beside a GPU price")
    least = min(cells, key=lambda c: c.t1)
    figures = Figures()
    figures.add("claimed", _rate(value), value)
    figures.add(f"least T1 of {len(cells)} cells, {least.model} on one {least.gpu}",
                _rate(least.t1), least.t1)  # fmt: skip
    for d in claim.scope.deployments:
        t1 = _t1_of(evidence.sheet, d)
        if t1 is not None:
            figures.add(d.name, f"{_rate(t1)}, {_times(t1 / value)} the claim", t1)
    if value < least.t1 and not has_fees(evidence.sheet):
        lines = _why(claim, evidence.sheet, value, least)
        reason = (
            f"no cell of the sheet crosses below {_rate(least.t1)}, {_times(least.t1 / value)} the"
            " claim"
        )
        return Finding(
            claim, Standing.INCONSISTENT, reason, lines, figures.done(), least.t1, least.t1
        )
    return _from_plans(claim, evidence, value, figures)


def _from_plans(claim: Claim, evidence: Evidence, value: float, figures: Figures) -> Finding:
    feasible = [c for c in evidence.crossings if c.is_feasible]
    for c in feasible:
        told = "never" if c.low_tok_per_h is None else f"at least {_rate(c.low_tok_per_h)}"
        if c.high_tok_per_h is not None:
            told += f", at most {_rate(c.high_tok_per_h)}"
        figures.add(f"crosses, {c.name}", told, c.low_tok_per_h)
    if not evidence.crossings:
        return missing(claim, "the prices alone allow it, and no crossover was planned")
    if not feasible:
        reason = "no deployment that was planned can ever be cheaper: none carries what it must"
        return Finding(claim, Standing.REFUTED, reason, (), figures.done())
    lows = [c.low_tok_per_h for c in feasible]
    if all(low is None or low > value for low in lows):
        reason = f"every deployment that carries the load crosses above {_rate(value)}"
        return Finding(claim, Standing.REFUTED, reason, (), figures.done(), n=len(feasible))
    sure = [c for c in feasible if c.high_tok_per_h is not None and c.high_tok_per_h <= value]
    if sure:
        reason = f"{sure[0].name} is cheaper on demand from {_rate(value)} on at the latest"
        return Finding(claim, Standing.SUPPORTED, reason, (), figures.done(), n=len(feasible))
    reason = f"a deployment may cross below {_rate(value)}"
    return Finding(claim, Standing.INCONCLUSIVE, reason, (), figures.done(), n=len(feasible))


def _why(claim: Claim, sheet: PriceSheet, value: float, least: Cell) -> tuple[str, str, str]:
    """Three lines for a manager: what it costs, from where it pays, what would make it true."""
    told: list[str] = []
    models: dict[float, str] = {}
    for cell in cells_of(sheet):
        models.setdefault(cell.usd_per_mtok, cell.model)
    for price, model in sorted(models.items(), reverse=True):
        told.append(f"${_money(price * value / 1e6)} ({model})")
    gpus = {name: gpu.price.low for name, gpu in sheet.on_demand.items()}
    cheapest = min(gpus, key=lambda name: gpus[name])
    first = (
        f"{_rate(value)} cost {', '.join(told)} an hour by the token; the cheapest GPU,"
        f" {cheapest}, costs ${gpus[cheapest]:.2f} an hour, used or not."
    )
    second = (
        f"A GPU pays from {_rate(least.t1)} at the earliest ({least.model} on one {least.gpu}, if"
        f" it held it): {_times(least.t1 / value)} the claim."
    )
    far = [
        f"{d.name} {_times(t1 / value)}"
        for d in claim.scope.deployments
        if (t1 := _t1_of(sheet, d)) is not None
    ]
    if far:
        second += f" What can be deployed: {', '.join(far)}."
    needed = ", ".join(f"${gpus[g] / value * 1e6:,.0f} ({g})" for g in gpus)
    third = f"To be true, a million tokens would have to cost {needed}."
    third += _if_minutes(claim, sheet, value)
    return first, second, third


def _if_minutes(claim: Claim, sheet: PriceSheet, value: float) -> str:
    """Whether it would be right for a minute instead of an hour: the likely slip."""
    t1s = {d.name: t1 for d in claim.scope.deployments if (t1 := _t1_of(sheet, d)) is not None}
    right = {name: t1 for name, t1 in t1s.items() if t1 <= 60 * value}
    if not right:
        return ""
    nearest = max(right, key=lambda name: right[name])
    return (
        f" As many a minute ({_rate(60 * value)}) would do for {nearest}, which pays from"
        f" {_rate(right[nearest])}: a slip of the unit is likely."
    )


def _t1_of(sheet: PriceSheet, d: Deployment) -> float | None:
    """Tokens an hour from which the whole replica pays; None where the sheet lacks a price."""
    name = sheet.row(d.model)
    gpu = sheet.on_demand.get(d.gpu)
    if name is None or gpu is None:
        return None
    row = sheet.serverless[name]
    most = max((p.high for p in (row.input, row.output) if p is not None), default=0.0)
    return d.gpus * gpu.price.low / most * 1e6 if most > 0 else None


def _rate(tok_per_h: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if tok_per_h >= size:
            number = f"{tok_per_h / size:.3g}"
            return f"{number}{unit} tokens/h"
    return f"{tok_per_h:.3g} tokens/h"


def _times(factor: float) -> str:
    return f"{significant(factor, 2) if factor < 10 else f'{factor:,.0f}'} times"


def _money(usd: float) -> str:
    return f"{usd:.2f}" if usd >= 0.01 else f"{usd:.1g}"
