"""`harness plan crossover`: serverless against on-demand, from a run and a price sheet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli._options import Voice, out_root, set_option, voice_options
from harness.cli._plan_options import (
    PlanOutput,
    TwinWishes,
    output_options,
    twin_options,
    write_csv,
)

if TYPE_CHECKING:
    from harness.cli._cost import Twin
    from harness.decisions.at_traffic import AtTraffic
    from harness.decisions.cost_answer import CostAnswer
    from harness.records import Run
    from harness.scenario import Scenario


@click.command()
@click.argument("run")
@click.option("--prices", metavar="SHEET", help="A price sheet's file or name.")
@click.option("--forecast", metavar="FILE", help="Rates, a trace, or a forecast that ships.")
@twin_options
@set_option
@output_options
@voice_options
def command(
    run: str, prices: str | None, forecast: str | None, twin: TwinWishes,
    overrides: tuple[str, ...], output: PlanOutput, voice: Voice,
) -> int:  # fmt: skip
    """From which traffic on is RUN's deployment, paid by the GPU-hour, cheaper than per token?

    RUN is a directory, a name, or `latest`: a sweep or search of an on-demand endpoint, whose
    fleet is the autoscaler on the forecast's rates, or a twin-sweep, whose twin is asked what it
    sustains and plays that fleet request by request (--traffic, --slo and a replica's limits are
    of the twin alone). Its scenario's cost block holds; --prices, --forecast and --set
    cost.PATH=VALUE change it:

    \b
      harness plan crossover latest --prices fireworks-guide --forecast servegen-day \\
        --set cost.serverless.model=llama-v3p3-70b-instruct \\
        --set cost.on_demand.gpu=h100 --set cost.on_demand.gpus_per_replica=2 \\
        --set cost.forecast.volume=2Gtok/month

    Traffic is counted in what the serverless row asks for: tokens, minutes of audio
    (cost.forecast.volume=100kaudio_min/month), or requests.

    Writes the part crossover of plan.json, crossover.csv, and the report anew. Exit 0: the answer
    is sure; 3: intervals leave it open; 4: the run holds no capacity.
    """
    from harness.cli._cost import Twin, csv_text
    from harness.errors import ExitCode
    from harness.estimate import Outcome
    from harness.records import Run

    opened = Run.open(run, out_root=out_root(output.out))
    opened.require_whole()
    document = _document(opened, run, prices, forecast, overrides)
    _say_age(document, voice)
    found, paths = _solve(opened, document, Twin(twin, voice), output.has_report)
    is_open = found.crossover.outcome is Outcome.INCONCLUSIVE
    code = ExitCode.INCONCLUSIVE if is_open else ExitCode.OK
    if output.csv is not None:
        write_csv(output.csv, csv_text(found))
        if str(output.csv) == "-":
            return code
    data = {"run": opened.manifest.run_id, **found.to_json(), "files": [str(p) for p in paths]}
    voice.result(_text(found, paths), data)
    return code


def _document(
    run: Run, asked: str, prices: str | None, forecast: str | None, overrides: tuple[str, ...]
) -> Scenario:
    """The run's scenario with the cost block that is asked for. Raises UsageError without one.

    asked: the run as the user named it.
    """
    from harness.cli._cost import compares
    from harness.errors import UsageError
    from harness.scenario import load_resolved
    from harness.scenario.planning import with_cost

    given = [f"cost.prices={prices}"] if prices else []
    given += [f"cost.forecast.file={forecast}"] if forecast else []
    document = load_resolved(run.path / "scenario.resolved.yaml").document
    if given or overrides:
        document = with_cost(document, (*given, *overrides), (run.path,), asked)
    if not compares(document):
        raise UsageError(
            f"run {run.manifest.run_id} names no two tariffs to compare",
            why="its scenario has no cost block with serverless and on_demand",
            do="harness plan crossover RUN --prices fireworks-guide"
            " --set cost.serverless.model=ROW --set cost.on_demand.gpu=ROW"
            " (rows: harness plan prices)",
        )  # fmt: skip
    return document


def _say_age(document: Scenario, voice: Voice) -> None:
    from harness.scenario.prices import sheet_notices

    assert document.cost is not None
    voice.notices(sheet_notices(document.cost.sheet, datetime.now(UTC).date()))


def _solve(
    run: Run, document: Scenario, twin: Twin, has_report: bool
) -> tuple[CostAnswer, list[Path]]:
    """Judge the run again, answer, and leave plan.json, the curve and the report."""
    from harness.cli._cost import crossover_of, keep_answer
    from harness.cli._judge import judge
    from harness.scenario import expand

    judgement = judge(run, expand(document))
    found = crossover_of(run, document, judgement.summaries, twin)
    paths = keep_answer(run, found)
    if not has_report:
        return found, paths
    from harness.cli._finish import render_again  # pictures take a second to import

    return found, [*paths, *render_again(run, document, judgement)]


def _text(found: CostAnswer, paths: list[Path]) -> str:
    lines = [f"{h.answer} {h.detail}" for h in found.headlines]
    lines += ["", *_crossings(found)]
    if found.crossover.at_traffic is not None:
        lines += ["", *_bills(found.crossover.at_traffic, found.crossover.unit)]
    lines += ["", *(f"  {a.what}: {a.value} ({a.source})" for a in found.assumptions)]
    lines += ["", *(f"wrote    {path}" for path in paths)]
    return "\n".join(lines)


def _crossings(found: CostAnswer) -> list[str]:
    """Of every fleet that the cost block describes."""
    from harness.decisions.crossover_words import FLEET_NAMES, crossing_span

    lines = ["on-demand is the cheaper for good above"]
    for name, e in found.crossover.crossing.items():
        value, span = crossing_span(e, found.crossover.unit)
        lines.append(f"  {FLEET_NAMES[name]:<26} {value:>14}{span}")
    return lines


def _bills(own: AtTraffic, unit: str) -> list[str]:
    from harness.decisions.crossover_words import FLEET_NAMES, per_day, usd, usd_span
    from harness.decisions.wording import counted

    lines = [f"bills at {per_day(own.units_per_h, unit)}, USD a day"]
    more = {}
    if own.commitment is not None:
        more["committed"] = f", {counted(own.commitment.replicas, 'replica')} paid day and night"
    if own.zero is not None:
        more["to_zero"] = (
            f", {own.zero.wakes_per_h:.3g} cold starts/h, {own.zero.miss_share:.2%} of requests too"
            " late for one"
        )
    bills: dict[str, Any] = {"serverless": own.serverless, **own.fleets}
    for name, e in bills.items():
        span = f"95% CI {usd_span(24 * e.low, 24 * e.high)}"
        told = FLEET_NAMES.get(name, name)
        lines.append(f"  {told:<26} {usd(24 * e.value):>14}  ({span}{more.get(name, '')})")
    return lines
