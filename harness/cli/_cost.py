"""What the verbs need for money: points chosen, capacity and forecast found, the question asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis import PointSummary
from harness.cli._plan_file import keep_part, read_plan
from harness.decisions import find_capacity
from harness.decisions.cost_answer import CostAnswer, answer
from harness.decisions.cost_question import question_of
from harness.decisions.point_cost import PointCost, point_costs
from harness.errors import ExitCode, MeasurementError, UsageError
from harness.estimate import Estimate
from harness.records import Run, write_bytes
from harness.scenario import Scenario
from harness.scenario.cost import Cost, sides
from harness.scenario.forecast import Forecast, load_forecast

if TYPE_CHECKING:
    from harness.cli._judge import Judgement

CSV = "crossover.csv"
_JUDGED = (ExitCode.OK, ExitCode.FAILED, ExitCode.INCONCLUSIVE)
MEASURED = "measured by this run"


def models_of(document: Scenario) -> dict[str, str]:
    """Target -> the id that is sent for its model, or `auto`."""
    return {
        name: str(getattr(t, "sent_model", getattr(t, "model", "auto")))
        for name, t in document.targets.items()
    }


def costs_of(document: Scenario, summaries: Sequence[PointSummary]) -> tuple[PointCost, ...]:
    """Of each measured point; empty without a cost block."""
    if document.cost is None:
        return ()
    return point_costs(summaries, document.cost, models_of(document))


def compares(document: Scenario) -> bool:
    """Whether the scenario names both tariffs."""
    cost = document.cost
    return cost is not None and cost.serverless is not None and cost.on_demand is not None


def crossover_of(
    document: Scenario, summaries: Sequence[PointSummary], folders: Sequence[Path] = ()
) -> CostAnswer:
    """The answer of a run whose scenario compares both tariffs.

    Raises MeasurementError where the run holds no capacity, UsageError where a file is missing.
    """
    cost = document.cost
    assert cost is not None
    models = models_of(document)
    of_side = {side: name for name, side in sides(cost, models).items()}
    points = [s for s in summaries if s.meta.target == of_side["on_demand"] and s.is_valid]
    cached = [s for s in summaries if s.meta.target == of_side.get("serverless")] or points
    forecast = _forecast(cost, folders)
    capacity = _capacity(points)
    try:
        question = question_of(
            cost, models.get(of_side.get("serverless", ""), "auto"), points, cached, capacity,
            forecast,
        )  # fmt: skip
    except ValueError as error:
        raise MeasurementError(
            "the run cannot be priced", why=str(error), do="measure rates up to where one misses"
        ) from error
    source = forecast.source if forecast is not None else "no forecast: steady"
    return answer(question, traffic_source=source, capacity_source=MEASURED)


def _capacity(points: Sequence[PointSummary]) -> Estimate:
    if not points:
        raise MeasurementError(
            "the run has no valid point of the on-demand target",
            do="harness report tells why; cost.on_demand.target names another target",
        )
    found = find_capacity(points).estimate
    if found.value is None:
        raise MeasurementError(
            "the run holds no capacity, so nothing can be priced", why=found.reason,
            do="measure several rates with an SLO: a sweep or search over load.rate, slo.attainment"
            " and slo.good_request",
        )  # fmt: skip
    return found


def _forecast(cost: Cost, folders: Sequence[Path]) -> Forecast | None:
    block = cost.forecast
    if block is None:
        return None
    try:
        found = load_forecast(
            block.file, column=block.column, window_s=block.window, search_paths=folders
        )
    except ValueError as error:
        raise UsageError("the forecast cannot be read", where=block.file, why=str(error)) from error
    return found.at_mean(block.mean) if block.mean is not None else found


def csv_text(found: CostAnswer) -> str:
    """The curve as a spreadsheet reads it: a row a traffic, both bills with their intervals."""
    header = [
        "tok_per_h", "mtok_per_day", "serverless_low_usd_per_h", "serverless_usd_per_h",
        "serverless_high_usd_per_h", "on_demand_low_usd_per_h", "on_demand_usd_per_h",
        "on_demand_high_usd_per_h", "cheaper",
    ]  # fmt: skip
    curve = found.crossover.curve
    rows: list[list[Any]] = [header]
    for t, used, paid in zip(curve.tok_per_h, curve.serverless, curve.on_demand, strict=True):
        is_sure = used[0] > paid[2] or paid[0] > used[2]
        cheaper = "on_demand" if paid[1] <= used[1] else "serverless"
        numbers = [t, t * 24 / 1e6, *used, *paid]
        rows.append([*(f"{x:.6g}" for x in numbers), cheaper if is_sure else "too_close"])
    return "\n".join(",".join(map(str, row)) for row in rows) + "\n"


def keep_answer(run: Run, found: CostAnswer) -> list[Path]:
    """plan.json's part and the curve, in the run."""
    curve = run.path / CSV
    write_bytes(curve, csv_text(found).encode())
    return [keep_part(run, "crossover", found.to_json()), curve]


def stored_answer(run: Run) -> CostAnswer | None:
    """What was planned from this run before; None where nothing was."""
    part = read_plan(run)["crossover"]
    return CostAnswer.from_json(part) if part is not None else None


def answer_at_end(run: Run, document: Scenario, judgement: Judgement) -> None:
    """The answer of a run that just ended and compares both tariffs; without a capacity there is
    none, which the capacity section explains."""
    if not compares(document) or judgement.exit_code not in _JUDGED:
        return
    with suppress(MeasurementError):
        keep_answer(run, crossover_of(document, judgement.summaries, (run.path,)))
