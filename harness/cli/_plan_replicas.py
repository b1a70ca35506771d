"""`harness plan replicas`: a day of traffic on a calibrated twin -> replicas, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli._options import Voice, out_root, voice_options
from harness.cli._plan_options import (
    PlanOutput,
    TwinWishes,
    output_options,
    twin_options,
    write_csv,
)
from harness.errors import ExitCode, MeasurementError, UsageError
from harness.units import format_seconds, parse_rate, parse_seconds, parse_share, parse_volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.cli._twin import Asked
    from harness.decisions.replicas import Fleet
    from harness.records import Run
    from harness.scenario import Scenario
    from harness.scenario.forecast import Forecast

FORECAST = "servegen-day"
CSV = "plan-replicas.csv"


@click.command()
@click.argument("run")
@click.option(
    "--forecast", default=FORECAST, show_default=True, metavar="FILE",
    help="Rates by window, a trace, or a forecast that ships.",
)  # fmt: skip
@click.option("--column", metavar="NAME", help="Which rate of a file that has several.")
@click.option(
    "--window", default="10min", show_default=True, metavar="DURATION",
    help="A trace is counted in these.",
)  # fmt: skip
@click.option(
    "--jitter", default="0s", show_default=True, metavar="DURATION",
    help="Spread a trace's times over so much, to which they were rounded down.",
)  # fmt: skip
@click.option("--mean", metavar="RATE", help="Scale the forecast to this mean, such as 12/s.")
@click.option("--volume", metavar="TOKENS", help="Or to this volume, such as 2Gtok/month.")
@twin_options
@click.option(
    "--spare", type=click.IntRange(0, 100), default=1, show_default=True,
    help="Replicas beside those needed.",
)  # fmt: skip
@click.option("--load-target", default="80%", show_default=True, help="The autoscaler's.")
@click.option("--cold-start", default="1min", show_default=True, help="Of a replica.")
@output_options
@voice_options
def command(
    run: str, forecast: str, column: str | None, window: str, jitter: str, mean: str | None,
    volume: str | None, twin: TwinWishes, spare: int, load_target: str, cold_start: str,
    output: PlanOutput, voice: Voice,
) -> int:  # fmt: skip
    """Replicas for a forecast within the SLO, from the twin calibrated on RUN.

    RUN is a directory, a name, or `latest`, of a `twin-sweep`. A replica's limits are those that
    its endpoint told, unless given here. Of a forecast that is a trace each request is played when
    it came, thinned or several times over where --mean or --volume asks for another rate.

    \b
      harness run twin-sweep --url URL --model NAME
      harness plan replicas latest --forecast servegen-day --mean 12/s
      harness plan replicas latest --forecast day.csv --traffic chat-azure --slo ttft=2s

    Writes plan.json and plan-replicas.csv into the run and renders its report again. Exit 0: sized
    and simulated within the SLO; 1: no fleet keeps it; 3: the plan leaves what was swept, or the
    calibration leaves it open.
    """
    from harness.cli._twin import ask_twin
    from harness.decisions.replica_document import hours_csv
    from harness.decisions.replicas import Fleet
    from harness.records import Run
    from harness.scenario import load_resolved

    fleet = Fleet(
        spare, _value(parse_share, load_target, "--load-target"),
        _value(parse_seconds, cold_start, "--cold-start"),
    )  # fmt: skip
    if not 0 < fleet.load_target <= 1:
        raise UsageError(f"--load-target {load_target} leaves nothing to serve with")
    scale = _scale(mean, volume)
    window_s = _value(parse_seconds, window, "--window")
    jitter_s = _value(parse_seconds, jitter, "--jitter")
    found = _forecast(forecast, column, window_s, jitter_s, twin.seed)
    opened = Run.open(run, out_root=out_root(output.out))
    opened.require_whole()
    document = load_resolved(opened.path / "scenario.resolved.yaml").document
    asked = ask_twin(opened, document, twin, voice, found)
    scaled = scale(found, float((asked.mix.n_in + asked.mix.n_out).mean()))
    part = _plan(asked, scaled, fleet, twin.seed)
    paths = _keep(opened, part)
    paths += _render_again(opened, document) if output.has_report else []
    codes = {"pass": ExitCode.OK, "fail": ExitCode.FAILED}
    code = int(codes.get(part["verdict"], ExitCode.INCONCLUSIVE))
    if output.csv is not None:
        write_csv(output.csv, hours_csv(part))
        if str(output.csv) == "-":
            return code
    data = {"run": opened.manifest.run_id, **part, "files": [str(path) for path in paths]}
    voice.result(_text(part, asked, paths), data)
    return code


def _plan(asked: Asked, forecast: Forecast, fleet: Fleet, seed: int) -> dict[str, Any]:
    from harness.decisions.cost_question import other_lengths
    from harness.decisions.replica_document import replica_document
    from harness.decisions.replica_words import headline_of, verdict_of
    from harness.decisions.replicas import plan_replicas

    calibration, plan = asked.calibration, None
    own = float(asked.mix.n_in.mean()), float(asked.mix.n_out.mean())
    off = other_lengths(forecast.lengths, own)
    assumed = [*calibration.assumed, *([f"{off}: --traffic names the latter"] if off else [])]
    assumed += [f"{forecast.name}: {text}" for text in forecast.remarks]
    if forecast.trace is not None and forecast.trace.hash_ids is not None:
        assumed.append("no cached prefixes: whatever prompts of the trace share is read anew")
    if asked.capacity.low > 0:
        try:
            plan = plan_replicas(
                calibration.fit, calibration.deployment, asked.capacity, asked.mix,
                asked.objective, forecast.rates, forecast.window_s, fleet, seed=seed,
            )  # fmt: skip
        except ValueError as error:
            raise MeasurementError(
                "no plan can be made of this calibration", why=str(error),
                do="calibrate on a quiet target, or scale the forecast with --mean",
            ) from error  # fmt: skip
    return replica_document(
        fit=calibration.fit, deployment=calibration.deployment, assumed=assumed,
        capacity=asked.capacity, mix=asked.mix, objective=asked.objective, fleet=fleet, plan=plan,
        forecast={
            "name": forecast.name, "source": forecast.source, "window_s": forecast.window_s,
            "remarks": list(forecast.remarks),
        },
        headline=headline_of(asked.capacity, plan, asked.objective, fleet.spare, asked.mix),
        reason=verdict_of(asked.capacity, plan, asked.objective)[1],
    )  # fmt: skip


def _forecast(
    source: str, column: str | None, window_s: float, jitter_s: float, seed: int
) -> Forecast:
    from harness.scenario.forecast import load_forecast

    try:
        if window_s <= 0:
            raise ValueError("a window of --window has no length")
        found = load_forecast(source, column=column, window_s=window_s)
        return found.spread(jitter_s, seed) if jitter_s else found
    except ValueError as error:
        raise UsageError(
            "the forecast cannot be read", where=source, why=str(error),
            do="give a CSV with t_s (or hour) and req_per_s, or a trace of more than one --window",
        ) from error  # fmt: skip


def _scale(mean: str | None, volume: str | None) -> Callable[[Forecast, float], Forecast]:
    """(forecast, tokens a request) -> the forecast at the mean or the volume asked for."""
    if mean is not None and volume is not None:
        raise UsageError("--mean and --volume both scale the forecast", do="give one of them")
    if mean is not None:
        rate = _value(parse_rate, mean, "--mean")
        return lambda found, tok_per_req: found.at_mean(rate)
    if volume is not None:
        tok_per_h = _value(parse_volume, volume, "--volume")
        return lambda found, tok_per_req: found.at_volume(tok_per_h, tok_per_req)
    return lambda found, tok_per_req: found


def _value(parser: Callable[[object], float], text: str, option: str) -> float:
    try:
        return parser(text)
    except ValueError as error:
        raise UsageError(f"{option} {text} cannot be read", why=str(error)) from error


def _keep(run: Run, part: dict[str, Any]) -> list[Path]:
    from harness.cli._plan_file import keep_part
    from harness.decisions.replica_document import hours_csv
    from harness.records import write_bytes

    if not part["hours"]:
        return [keep_part(run, "replicas", part)]
    table = run.path / CSV
    write_bytes(table, hours_csv(part).encode())
    return [keep_part(run, "replicas", part), table]


def _render_again(run: Run, document: Scenario) -> list[Path]:
    """The run's reports with the plan in them, where it has any; the page to open."""
    from harness.cli._finish import render_again
    from harness.cli._judge import judge
    from harness.scenario import expand

    if not (run.path / "report.html").exists() or run.manifest.status == "running":
        return []
    written = render_again(run, document, judge(run, expand(document)))
    return [path for path in written if path.suffix == ".html"]


def _text(part: dict[str, Any], asked: Asked, paths: list[Path]) -> str:
    """The sentence, the calibration it rests on, the hours, the files."""
    from harness.cli._finish import _short

    fit, mix, source = asked.calibration.fit, part["mix"], part["forecast"]
    held, mean = fit.held_out, part.get("mean_req_per_s")  # no mean where no fleet was sized
    lines = [
        f"{part['answer']} {part['detail']}", "",
        f"traffic     {mix['name']}: {mix['mean_in_tok']:.0f} tokens in, {mix['mean_out_tok']:.0f}"
        f" out on average; {source['name']}" + (f", mean {mean:.3g} req/s" if mean else ""),
        f"arrivals    {part['arrivals']['told']}",
        f"calibrated  on {fit.num_decode} batches and {fit.num_prefill} lengths of prompts; points"
        f" held out are met within {held.median_ratio:.1%} (median), {held.p90_ratio:.0%} (nine of"
        f" ten)",
    ]  # fmt: skip
    if fit.drift.is_seen:
        lines[-1] += f"; pace from one half minute to the next: SD {fit.drift.sd:.1%}"
    lines += [f"assumed     {text}" for text in part["assumed"]]
    if part["fixed"]:
        fixed = part["fixed"]
        lines += [
            f"one down    {fixed['replicas'] - 1} of {fixed['replicas']} replicas keep"
            f" {_share(fixed['good_without_one'])} good in the busiest"
            f" {format_seconds(source['window_s'])}",
            "", *_hours(part),
        ]  # fmt: skip
    lines += ["", *(f"{_NAMES.get(p.suffix, 'plan')}  {_short(p)}" for p in paths)]
    return "\n".join(lines)


_NAMES = {".json": "plan     ", ".csv": "sheet    ", ".html": "report   "}


def _share(ratio: float | None) -> str:
    """None: no request came."""
    return "-" if ratio is None else f"{ratio:.2%}"


def _hours(part: dict[str, Any]) -> list[str]:
    """A line an hour of the first day; the sheet has all."""
    lines = ["hour   mean   peak req/s  replicas needed (95% CI)  fixed  autoscaled  good, fixed"]
    for row in part["hours"][:24]:
        good = _share(row["good_fixed"])
        span = f"{row['needed']} ({row['fewest']} to {row['needed']})"
        lines.append(
            f"{row['hour']:>4} {row['mean_req_per_s']:>6.3g} {row['peak_req_per_s']:>12.3g}"
            f"  {span:>24}  {part['fixed']['replicas']:>5}  {row['autoscaled']:>10.1f}  {good:>11}"
        )
    more = len(part["hours"]) - 24
    return [*lines, f"and {more} hours more in the sheet"] if more > 0 else lines
