"""`harness expand`: the points a run would make, before anything is sent."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from harness.cli import _expected_words as words
from harness.cli._options import Voice, out_root, set_option, voice_options
from harness.cli._target_options import target_options
from harness.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.cli._gate_plan import GatePlan
    from harness.cli._search_size import SearchSize
    from harness.decisions.expected_cost import Expected
    from harness.notices import Notice
    from harness.scenario import Materials, Scenario
    from harness.scenario.budget import PointBudget
    from harness.scenario.expand import Point

_HEADER = ("point", "label", "target", "load", "time", "requests", "tokens in", "tokens out")
_AUDIO = "audio min"
_RIGHT = {"time", "requests", "tokens in", "tokens out", _AUDIO, "USD"}


@click.command()
@click.argument("scenario")
@set_option
@target_options
@voice_options
def command(scenario: str, overrides: tuple[str, ...], flags: dict[str, Any], voice: Voice) -> int:
    """Show the points SCENARIO makes: load, time, expected requests, tokens and dollars.

    Time is warm-up plus window; requests are those measured; tokens and minutes of audio are of
    all that is sent; dollars, where the scenario has a cost block, are of these or of the GPU time.
    A dash means that only the target decides; a bill that is not known says why, and what one
    request costs.
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
    costs = _costs(loaded.document, sized)
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
            _row(point, budget) | (_bill(cost) if cost is not None else {})
            for (point, budget), cost in zip_longest(sized, costs)
        ],
        "total_s": total_s,
        "notices": [{**n.to_json(), "sentence": n.sentence} for n in notices],
        **({"gate": plan.to_json()} if plan else {}),
        **({"search": search.to_json()} if search else {}),
    }
    voice.result(_text(sized, costs, total_s, plan, search), data)
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
        "expected_input_tok": _rounded(budget.total.input_tok),
        "expected_output_tok": _rounded(budget.total.output_tok),
        "expected_audio_min": budget.total.audio_min,
    }  # fmt: skip


def _plan(document: Scenario, materials: Materials) -> GatePlan | None:
    if document.gate is None:
        return None
    from harness.cli._gate_plan import gate_plan

    return gate_plan(document, materials, out_root())


def _costs(document: Scenario, sized: list[tuple[Point, PointBudget]]) -> list[Expected]:
    """Of each point; empty without a cost block."""
    cost = document.cost
    if cost is None:
        return []
    from harness.cli._expected import point_cost

    return [point_cost(cost, point, size) for point, size in sized]


def _bill(cost: Expected) -> dict[str, Any]:
    return {
        "expected_usd": cost.usd, "expected_usd_per_request": cost.usd_per_req,
        "usd_unknown": cost.why,
    }  # fmt: skip


def _search(document: Scenario, materials: Materials) -> SearchSize | None:
    from harness.scenario.document import SearchSweep

    if not isinstance(document.sweep, SearchSweep):
        return None
    from harness.cli._search_size import search_size

    return search_size(document, document.sweep, materials)


def _text(
    sized: list[tuple[Point, PointBudget]],
    costs: list[Expected],
    total_s: float | None,
    plan: GatePlan | None,
    search: SearchSize | None,
) -> str:
    from harness.scenario.budget import describe_load

    hears = any(size.each.audio_min != 0 for _, size in sized)
    header = (*_HEADER, *([_AUDIO] if hears else []), *(["USD"] if costs else []))
    rows: list[tuple[str, ...]] = [header]
    for index, (point, budget) in enumerate(sized):
        time = format_seconds(budget.load_s) if budget.load_s is not None else "-"
        counts = (budget.num_measured, budget.total.input_tok, budget.total.output_tok)
        shown = [f"{round(n):,}" if n is not None else "-" for n in counts]
        if hears:
            minutes = budget.total.audio_min
            shown.append("-" if minutes is None else f"{minutes:,.1f}")
        if costs:
            shown.append(words.usd(costs[index].usd))
        rows.append((str(point.index), point.label, point.target_name, describe_load(point),
                     time, *shown))  # fmt: skip
    lines = [*_table(rows), *words.unknown_lines(costs)]
    if plan is not None:
        return "\n".join([*lines, *plan.lines, *words.block_lines(costs, plan)])
    if search is not None:
        return "\n".join([*lines, *search.lines, *words.window_lines(costs, search)])
    num = f"{len(sized)} point{'' if len(sized) == 1 else 's'}"
    least = f"at least {format_seconds(total_s)}" if total_s is not None else "time unknown"
    return "\n".join([*lines, f"{num}, {least} of load{words.total_words(costs)}"])


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
