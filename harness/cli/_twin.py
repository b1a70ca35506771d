"""What the planning verbs ask of a calibrated twin: the sustained rate of a mix at an SLO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.cli._calibrated import Calibration, Limits, calibrate_on
from harness.cli._compiling import telling_compilation
from harness.cli._options import Voice
from harness.cli._plan_options import TwinWishes
from harness.cli._traffic_mix import read_traffic, with_trace
from harness.decisions.twin_capacity import Mix, Objective, TwinCapacity, twin_capacity
from harness.errors import UsageError
from harness.records import Run
from harness.scenario import Scenario
from harness.scenario.forecast import Forecast
from harness.scenario.slo import GoodRequest, Slo
from harness.units import parse_seconds, parse_share

DEFAULT_TRAFFIC = "sweep"
_LIMITS = {"ttft": "ttft_s", "tpot": "tpot_s", "e2e_latency": "e2e_s"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A mix at an objective, and what the twin says one replica sustains of it."""

    calibration: Calibration
    mix: Mix
    objective: Objective
    capacity: TwinCapacity


def ask_twin(
    run: Run, document: Scenario, wishes: TwinWishes, voice: Voice, forecast: Forecast | None,
) -> Asked:  # fmt: skip
    """Calibrate on a run and search. The limits are those of the scenario `wishes.traffic`, else
    of the run's own (document); `wishes.slo` replaces them by name. Lengths are that scenario's
    too; where none is named and the forecast is a trace, the trace's.

    Raises MeasurementError where the run is no calibration.
    """
    known = read_traffic(wishes.traffic or DEFAULT_TRAFFIC)
    is_named = wishes.traffic is not None
    mix = with_trace(known.mix, forecast, keeps_lengths=is_named, seed=wishes.seed)
    own = known.slo if known.slo.good_request is not None else document.slo
    objective = objective_of(own, wishes.slo)
    limits = Limits(wishes.max_batch, wishes.step_tok, wishes.kv_tok)
    calibration = calibrate_on(run, limits)
    with telling_compilation(voice):
        capacity = twin_capacity(
            calibration.fit, calibration.deployment, mix, objective, seed=wishes.seed
        )
    return Asked(calibration, mix, objective, capacity)


def objective_of(slo: Slo, given: Sequence[str]) -> Objective:
    """good_request and attainment (99 % unless said), replaced name by name by `given`.

    given: such as `ttft=1s`, `tpot=100ms`, `e2e_latency=10s`, `attainment=99%`.
    Raises UsageError on other words, on limits the twin cannot predict, and where there is none.
    """
    good = slo.good_request or GoodRequest()
    found = Objective(good.ttft, good.tpot, good.e2e_latency, slo.attainment or 0.99)
    for text in given:
        name, sign, value = text.partition("=")
        try:
            if name == "attainment" and sign:
                found = replace(found, attainment=parse_share(value))
            elif name in _LIMITS and sign:
                found = replace(found, **{_LIMITS[name]: parse_seconds(value)})
            else:
                raise ValueError(f"names are {', '.join(_LIMITS)} and attainment")
        except ValueError as error:
            raise UsageError(
                f"--slo {text} is no limit", why=str(error),
                do="write --slo ttft=1s --slo tpot=100ms --slo attainment=99%",
            ) from error  # fmt: skip
    others = [n for n, v in good.model_dump().items() if v is not None and n not in _LIMITS]
    if others and not given:
        raise UsageError(
            f"the twin cannot predict {', '.join(others)}",
            where="slo.good_request",
            why="it simulates TTFT, TPOT and E2E",
            do="name the limits to plan for with --slo",
        )
    if not found.text:
        raise UsageError(
            "there is no SLO to plan for",
            where="slo.good_request",
            why="without a limit any rate is sustained",
            do="give --slo ttft=1s, or a scenario with slo.good_request",
        )
    if not 0 < found.attainment < 1:
        raise UsageError(
            f"an attainment of {found.attainment:.0%} cannot be planned for",
            why="no finite sample shows that every request is good",
            do="--slo attainment=99%",
        )
    return found
