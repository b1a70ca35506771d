"""What the verbs need for money: points chosen, capacity and forecast found, the question asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis import PointSummary
from harness.cli._plan_file import keep_part, read_plan, unreadable_plan
from harness.decisions import find_capacity
from harness.decisions.cost_answer import CostAnswer, answer
from harness.decisions.cost_question import (
    measured_mix,
    other_lengths,
    question_of,
    simulated_mix,
    ttft_limit_s,
    wait_limit_s,
)
from harness.decisions.fleet_scales import DayFleet
from harness.decisions.fluid_day import fluid_days
from harness.decisions.point_cost import PointCost, point_costs
from harness.decisions.prices import Mix
from harness.decisions.question import Capacity, Question
from harness.decisions.simulated_fleet import SimulatedFleet
from harness.decisions.wording import amount
from harness.errors import ExitCode, MeasurementError, UsageError
from harness.records import Run, write_bytes
from harness.scenario import Scenario
from harness.scenario.cost import Cost, sides
from harness.scenario.document import ReferenceTarget
from harness.scenario.forecast import Forecast, load_forecast

if TYPE_CHECKING:
    from harness.cli._judge import Judgement
    from harness.cli._options import Voice
    from harness.cli._plan_options import TwinWishes
    from harness.cli._twin import Asked

CSV = "crossover.csv"
_NO_CAPACITY = "the run holds no capacity, so nothing can be priced"
_MEASURE = (
    "measure several rates with an SLO: a sweep or search over load.rate, with slo.attainment and"
    " slo.good_request"
)
_LOOSEN = "loosen the limits (--slo ttft=2s), or plan for another deployment"
_JUDGED = (ExitCode.OK, ExitCode.FAILED, ExitCode.INCONCLUSIVE)


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


def gpus_of(document: Scenario, provenance: Mapping[str, Any]) -> dict[str, int]:
    """Target -> GPUs of a replica: those the prices are for, and the one of a reference engine.

    Left out where nobody tells: a GPU in this machine need not serve the target.
    """
    machine = provenance.get("machine")
    has_gpu = bool(machine.get("gpus")) if isinstance(machine, Mapping) else False
    found = {}
    for name, target in document.targets.items():
        if isinstance(target, ReferenceTarget):
            device = target.flags.get("device", "auto")
            if device == "cuda" or (device == "auto" and has_gpu):
                found[name] = 1
    cost = document.cost
    if cost is not None and cost.on_demand is not None:
        for name, side in sides(cost, document.targets).items():
            if side == "on_demand":
                found[name] = cost.on_demand.gpus_per_replica
    return found


def compares(document: Scenario) -> bool:
    """Whether the scenario names both tariffs."""
    cost = document.cost
    return cost is not None and cost.serverless is not None and cost.on_demand is not None


@dataclass(frozen=True, slots=True)
class Twin:
    """What a calibration is asked, where the run is one, and who is told that it takes a while."""

    wishes: TwinWishes
    voice: Voice


def crossover_of(
    run: Run,
    document: Scenario,
    summaries: Sequence[PointSummary],
    twin: Twin | None = None,
) -> CostAnswer:
    """The answer of a run whose scenario compares both tariffs. twin: where the run may be a
    calibration instead of a sweep of rates.

    Raises MeasurementError where the run holds no capacity, UsageError where a file is missing.
    """
    cost = document.cost
    assert cost is not None
    models = models_of(document)
    of_side = {side: name for name, side in sides(cost, models).items()}
    points = [s for s in summaries if s.meta.target == of_side["on_demand"] and s.is_valid]
    cached = [s for s in summaries if s.meta.target == of_side.get("serverless")] or points
    forecast = _forecast(cost, (run.path,))
    model = models.get(of_side.get("serverless", ""), "auto")
    asked = None
    try:
        if twin is not None and points and all(p.meta.kind == "closed" for p in points):
            asked = _ask(run, document, twin, forecast)
            mix, capacity = _simulated(cost, asked)
        else:
            mix, capacity = _measured(cost, points, cached)
        if forecast is not None and (
            off := other_lengths(forecast.lengths, (mix.input_tok, mix.output_tok))
        ):
            told = f"{off}; bills and capacity are of the latter, so measure the forecast's own"
            capacity = replace(capacity, doubts=(*capacity.doubts, told))
        question = question_of(cost, model, mix, capacity, forecast)
        if asked is not None:
            question = replace(question, simulated=_days(question, asked))
        elif len(question.traffic.shape) > 1:  # traffic that changes, and no twin to play it on
            question = replace(question, simulated=_fluid_days(question, points[0]))
    except ValueError as error:
        raise MeasurementError(
            "the run cannot be priced", why=str(error), do=_LOOSEN if asked else _MEASURE
        ) from error
    source = "no forecast: steady"
    if forecast is not None:
        source = "; ".join([forecast.source.rstrip("."), *forecast.remarks])
    return answer(question, traffic_source=source)


def _measured(
    cost: Cost, points: Sequence[PointSummary], cached: Sequence[PointSummary]
) -> tuple[Mix, Capacity]:
    """Of a sweep or search of rates."""
    if not points:
        raise MeasurementError(
            "the run has no valid point of the on-demand target",
            do="harness report tells why; cost.on_demand.target names another target",
        )
    found = find_capacity(points).estimate
    if found.value is None:
        raise MeasurementError(_NO_CAPACITY, why=found.reason, do=_MEASURE)
    capacity = Capacity(found, ttft_limit_s(points[0]), seed=points[0].meta.seed)
    return measured_mix(cost, points, cached), capacity


def _ask(run: Run, document: Scenario, twin: Twin, forecast: Forecast | None) -> Asked:
    """What the twin of a calibration sustains of the traffic that is planned for."""
    from harness.cli._twin import ask_twin  # compiles a kernel: only where it is needed

    try:
        return ask_twin(run, document, twin.wishes, twin.voice, forecast)
    except MeasurementError as error:
        raise MeasurementError(
            _NO_CAPACITY, why=f"closed load proves no rate, and {error.what}: {error.why}",
            do=f"{_MEASURE}; or calibrate the twin: harness run twin-sweep",
        ) from error  # fmt: skip


def _simulated(cost: Cost, asked: Asked) -> tuple[Mix, Capacity]:
    found = asked.capacity
    mix = simulated_mix(cost, float(asked.mix.n_in.mean()), float(asked.mix.n_out.mean()))
    noisy = (f"too noisy a calibration: {found.doubt}",) if found.doubt else ()
    doubts = (*noisy, *(f"outside what was swept: {text}" for text in found.extrapolated))
    source = (
        f"the twin calibrated by this run, traffic {asked.mix.name}, {asked.objective.text} for"
        f" {amount(asked.objective.attainment, 'ratio')} of requests"
    )
    given = {"ttft": asked.objective.ttft_s, "e2e_latency": asked.objective.e2e_s}
    limit_s = wait_limit_s({name: limit for name, limit in given.items() if limit is not None})
    # a draw of 0 stays: one that serves nothing is part of what is not known
    return mix, Capacity(
        found.estimate, limit_s, found.draws, source, is_measured=False, doubts=doubts
    )


def _days(question: Question, asked: Asked) -> SimulatedFleet | None:
    """The autoscaled fleet over a day of the traffic, on the same twin."""
    from harness.decisions.fleet_day import simulate_days

    traffic = question.traffic
    return simulate_days(
        asked.calibration.fit, asked.calibration.deployment, asked.mix, asked.objective,
        traffic.shape, traffic.window_s, _day_fleet(question), traffic.mean_req_per_s,
    )  # fmt: skip


def _fluid_days(question: Question, point: PointSummary) -> SimulatedFleet:
    """The same under the rates alone, at the capacity that was measured."""
    traffic, limit_s = question.traffic, question.capacity.limit_s
    # where no wait is too long steps are: beyond its capacity a fleet keeps no limit on TPOT
    limit_s = 0.0 if math.isinf(limit_s) else limit_s
    return fluid_days(
        traffic.shape, traffic.window_s, _day_fleet(question), limit_s,
        point.meta.slo.attainment or 0.0, traffic.mean_req_per_s,
    )  # fmt: skip


def _day_fleet(question: Question) -> DayFleet:
    own = question.fleet
    return DayFleet(
        question.capacity.estimate.value or 0.0, own.load_target, own.cold_start_s,
        own.bill_cold_start, own.commitment_discount, own.idle_s,
    )  # fmt: skip


def _forecast(cost: Cost, folders: Sequence[Path]) -> Forecast | None:
    block = cost.forecast
    if block is None:
        return None
    try:
        found = load_forecast(
            block.file, column=block.column, window_s=block.window, search_paths=folders
        )
    except ValueError as error:
        raise UsageError(
            "the forecast cannot be read", where=block.file, why=str(error),
            do="--forecast FILE: a CSV with t_s (or hour) and req_per_s, or a trace;"
            " --set cost.forecast.window=1min counts a short trace",
        ) from error  # fmt: skip
    return found.at_mean(block.mean) if block.mean is not None else found


def csv_text(found: CostAnswer) -> str:
    """The curve as a spreadsheet reads it: a row a traffic, both bills with their intervals, then
    every fleet's point value and the share of good requests where a twin simulated it."""
    unit = found.crossover.unit
    a_day = ("mtok_per_day", 24 / 1e6) if unit == "tok" else (f"{unit}_per_day", 24.0)
    header = [
        f"{unit}_per_h", a_day[0], "serverless_low_usd_per_h", "serverless_usd_per_h",
        "serverless_high_usd_per_h", "on_demand_low_usd_per_h", "on_demand_usd_per_h",
        "on_demand_high_usd_per_h", "cheaper",
    ]  # fmt: skip
    curve = found.crossover.curve
    header += [f"{name}_usd_per_h" for name in curve.fleets]
    header += ["good_ratio"] * bool(curve.good_ratio)
    rows: list[list[Any]] = [header]
    for i, (t, used, paid) in enumerate(
        zip(curve.units_per_h, curve.serverless, curve.on_demand, strict=True)
    ):
        is_sure = used[0] > paid[2] or paid[0] > used[2]
        cheaper = "on_demand" if paid[1] <= used[1] else "serverless"
        numbers = [t, t * a_day[1], *used, *paid]
        row = [*(f"{x:.6g}" for x in numbers), cheaper if is_sure else "too_close"]
        row += [f"{own[i][1]:.6g}" for own in curve.fleets.values()]
        if curve.good_ratio:
            good = curve.good_ratio[i]
            row.append("" if good is None else f"{good:.6g}")
        rows.append(row)
    return "\n".join(",".join(map(str, row)) for row in rows) + "\n"


def keep_answer(run: Run, found: CostAnswer) -> list[Path]:
    """plan.json's part and the curve, in the run."""
    curve = run.path / CSV
    write_bytes(curve, csv_text(found).encode())
    return [keep_part(run, "crossover", found.to_json()), curve]


def stored_answer(run: Run) -> CostAnswer | None:
    """What was planned from this run before; None where nothing was."""
    part = read_plan(run)["crossover"]
    if part is None:
        return None
    try:
        return CostAnswer.from_json(part)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable_plan(run, f"crossover: {error!r}") from error


def answer_at_end(run: Run, document: Scenario, judgement: Judgement) -> None:
    """The answer of a run that just ended and compares both tariffs; without a capacity there is
    none, which the capacity section explains."""
    if not compares(document) or judgement.exit_code not in _JUDGED:
        return
    with suppress(MeasurementError):
        keep_answer(run, crossover_of(run, document, judgement.summaries))
