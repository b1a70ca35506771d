"""`harness expand`: the points a run would make, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli._options import Voice, out_root, set_option, voice_options
from harness.cli._target_options import target_options
from harness.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.cli._gate_plan import GatePlan
    from harness.cli._search_size import SearchSize
    from harness.notices import Notice
    from harness.scenario import Materials, Scenario
    from harness.scenario.budget import PointBudget
    from harness.scenario.expand import Point

_HEADER = ("point", "label", "target", "load", "time", "requests", "tokens in", "tokens out")
_RIGHT = {"time", "requests", "tokens in", "tokens out", "USD"}


@click.command()
@click.argument("scenario")
@set_option
@target_options
@voice_options
def command(scenario: str, overrides: tuple[str, ...], flags: dict[str, Any], voice: Voice) -> int:
    """Show the points SCENARIO makes: load, time, expected requests, tokens and dollars.

    Time is warm-up plus window; requests are those measured; tokens are of all that is sent;
    dollars, where the scenario has a cost block, are of these tokens or of the GPU time.
    A dash means that only the target decides.
    """
    from harness.scenario import expand, load_scenario, read_materials
    from harness.scenario.budget import point_budget

    loaded = load_scenario(scenario, overrides=overrides, **flags)
    points = expand(loaded.document)
    materials = read_materials(loaded.document, loaded.search_paths)
    plan = _plan(loaded.document, materials)
    if plan is not None:  # the runs of all blocks are alike
        points = tuple(p for p in points if p.repeat == 0)
    search = _search(loaded.document, materials)
    if search is not None:  # of all that it may visit, one window of the rates it is sure to try
        points = search.sure(points)
    sized = [(p, point_budget(p, materials)) for p in points]
    dollars = _dollars(loaded.document, sized)
    notices = _distinct(loaded.notices, [n for _, budget in sized for n in budget.notices])
    voice.notices(notices)
    pause_s = loaded.document.sweep.cooldown if loaded.document.sweep else 0.0
    total_s = _total_s([budget.load_s for _, budget in sized], pause_s)
    if plan is not None and total_s is not None:
        total_s *= plan.gate.most_blocks
    if search is not None:
        total_s = search.least_s
    data = {
        "scenario": loaded.name,
        "points": [
            _row(point, budget) | ({"expected_usd": usd} if dollars else {})
            for (point, budget), usd in zip(sized, dollars or [None] * len(sized), strict=True)
        ],
        "total_s": total_s,
        "notices": [{**n.to_json(), "sentence": n.sentence} for n in notices],
        **({"gate": plan.to_json()} if plan else {}),
        **({"search": search.to_json()} if search else {}),
    }
    voice.result(_text(sized, dollars, total_s, plan, search), data)
    return 0


def _distinct(loaded: Sequence[Notice], sized: Sequence[Notice]) -> list[Notice]:
    """Of the points' warnings about one quantile only that of the smallest point."""
    least = {n.args["quantile"]: n for n in sorted(sized, key=lambda n: -n.args["requests"])}
    return [*(n for n in loaded if n.code != "too_few_requests"), *least.values()]


def _row(point: Point, budget: PointBudget) -> dict[str, Any]:
    return {
        "index": point.index, "label": point.label, "target": point.target_name,
        "swept": dict(point.swept), "repeat": point.repeat, "seed": point.seed,
        "stages": [stage.name for stage in point.stages],
        "load_s": budget.load_s, "expected_measured": _rounded(budget.num_measured),
        "expected_sent": _rounded(budget.num_sent),
        "expected_input_tok": _rounded(budget.input_tok),
        "expected_output_tok": _rounded(budget.output_tok),
    }  # fmt: skip


def _plan(document: Scenario, materials: Materials) -> GatePlan | None:
    if document.gate is None:
        return None
    from harness.cli._gate_plan import gate_plan

    return gate_plan(document, materials, out_root())


def _dollars(document: Scenario, sized: list[tuple[Point, PointBudget]]) -> list[float | None]:
    """Of each point, None where it is not known before; empty without a cost block."""
    cost = document.cost
    if cost is None:
        return []
    from harness.decisions.expected_cost import Asked, expected_usd
    from harness.scenario.cost import sides

    of_target, found = sides(cost, document.targets), []
    for point, b in sized:
        side = of_target.get(point.target_name)
        model = str(getattr(point.target, "sent_model", getattr(point.target, "model", "auto")))
        asked = Asked(b.load_s, b.num_sent, b.input_tok, b.output_tok)
        found.append(expected_usd(cost, side, model, asked) if side else None)
    return found


def _search(document: Scenario, materials: Materials) -> SearchSize | None:
    from harness.scenario.document import SearchSweep

    if not isinstance(document.sweep, SearchSweep):
        return None
    from harness.cli._search_size import search_size

    return search_size(document, document.sweep, materials)


def _text(
    sized: list[tuple[Point, PointBudget]],
    dollars: list[float | None],
    total_s: float | None,
    plan: GatePlan | None,
    search: SearchSize | None,
) -> str:
    from harness.scenario.budget import describe_load

    rows: list[tuple[str, ...]] = [(*_HEADER, "USD") if dollars else _HEADER]
    for index, (point, budget) in enumerate(sized):
        time = format_seconds(budget.load_s) if budget.load_s is not None else "-"
        counts = (budget.num_measured, budget.input_tok, budget.output_tok)
        shown = tuple(f"{round(n):,}" if n is not None else "-" for n in counts)
        rows.append((str(point.index), point.label, point.target_name, describe_load(point),
                     time, *shown))  # fmt: skip
        if dollars:
            rows[-1] = (*rows[-1], "-" if dollars[index] is None else f"{dollars[index]:.2f}")
    lines = _table(rows)
    if plan is not None:
        return "\n".join([*lines, *plan.lines])
    if search is not None:
        return "\n".join([*lines, *search.lines])
    num = f"{len(sized)} point{'' if len(sized) == 1 else 's'}"
    least = f"at least {format_seconds(total_s)}" if total_s is not None else "time unknown"
    known = [usd for usd in dollars if usd is not None]
    bill = f", {'at least ' * (len(known) < len(sized))}{sum(known):.2f} USD" if known else ""
    return "\n".join([*lines, f"{num}, {least} of load{bill}"])


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for cell, width, name in zip(row, widths, rows[0], strict=True)
        ).rstrip()
        for row in rows
    ]


def _total_s(parts: list[float | None], pause_s: float) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) + pause_s * (len(parts) - 1) if len(known) == len(parts) else None


def _rounded(value: float | None) -> int | None:
    return round(value) if value is not None else None
