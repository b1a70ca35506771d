"""Traffic of the twin's validation: scenarios, and their runs held against the twin's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.analysis.frame import Frame, read_frame
from harness.analysis.steady_state import steady_state
from harness.analysis.steps import as_arrays, point_steps
from harness.analysis.tokens import token_times
from harness.cli._calibrated import Calibration, Limits, calibrate_on
from harness.cli._traffic_mix import read_mix
from harness.decisions.step_fit import StepFit, step_times
from harness.decisions.swept_hull import SweptHull
from harness.decisions.twin import Requests, simulate
from harness.decisions.twin_capacity import Served, beyond_sweep, serve, step_model
from harness.records import PointRecords, Run

FloatArray = npt.NDArray[np.float64]

LOADS = (0.30, 0.50, 0.70, 0.85, 0.95)
STATS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
NEEDED = {"p50": 6, "p95": 72, "p99": 368}  # requests from which an interval exists
AROUND_S = 9.0  # of a point beside its window: start, warm-up, cool-down, drain, merge
NUM_BAND = 20  # draws of the prediction's band
BLOCK_S = 2.0  # requests closer than this are resampled together
SCENARIO = """\
schema: harness/v1
name: twin-{name}
description: {about}
seed: {seed}
targets:
  main: {{kind: reference, model: tiny}}
traffic:
  - name: {name}
    workload:
      kind: chat
      input_tokens: {{kind: lognormal, median: {n_in[0]}, p95: {n_in[1]}, max: {n_in[2]}}}
      output_tokens: {{kind: lognormal, median: {n_out[0]}, p95: {n_out[1]}, max: {n_out[2]}}}
load:
  kind: open
  arrival: {{kind: poisson}}
  rate: 1/s
  warmup: 3s
  duration: {duration_s:.0f}s
  cooldown: 4s
  drain: 10s
sweep:
  kind: list
  repeat: {repeats}
  over: {{load.rate: [{rates}]}}
validity: {{max_send_lag: {{p99: 1s}}, max_client_cpu: 100%, steady_state: "off"}}
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of traffic. n_in, n_out: median, p95, most tokens."""

    name: str
    about: str
    n_in: tuple[int, int, int]
    n_out: tuple[int, int, int]
    seed: int

    def scenario(self, calibration: Calibration, budget_s: float) -> str:
        """Five loads of what the twin thinks the engine serves, as often as the time allows."""
        repeats = next((r for r in (5, 3, 2) if budget_s / (5 * r) - AROUND_S >= 9), 1)
        duration_s = max(4.0, min(60.0, budget_s / (5 * repeats) - AROUND_S))
        plain = self._text("1/s", 1, 60)
        most = saturation_req_per_s(calibration, plain)
        rates = ", ".join(f"{most * load:.2f}/s" for load in LOADS)
        return self._text(rates, repeats, duration_s)

    def _text(self, rates: str, repeats: int, duration_s: float) -> str:
        return SCENARIO.format(
            name=self.name, about=self.about, seed=self.seed, n_in=self.n_in, n_out=self.n_out,
            rates=rates, repeats=repeats, duration_s=duration_s,
        )  # fmt: skip


KINDS = (
    Kind("chat", "Questions and answers of a few sentences.", (150, 450, 1000), (40, 110, 200), 11),
    Kind("code", "Long prompts, few tokens back.", (400, 1300, 2000), (8, 24, 48), 12),
    Kind("reasoning", "Short prompts, long answers.", (80, 220, 400), (110, 260, 400), 13),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity of one cell. unit: s or tok/s.  n: requests behind it.  accepted: None where
    the protocol has no bar or too few requests were measured.  at_pace: predicted by the law at the
    pace of each run's own clean decode steps.  by_run: measured, each run alone."""

    name: str
    unit: str
    measured: float
    low: float
    high: float
    predicted: float
    band: tuple[float, float]
    n: int
    accepted: bool | None
    at_pace: float
    accepted_at_pace: bool | None
    by_run: tuple[float, ...]

    @property
    def error_ratio(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def error_at_pace_ratio(self) -> float:
        return self.at_pace / self.measured - 1

    @property
    def is_inside(self) -> bool:
        """Whether the prediction lies in the interval of the measurement."""
        return self.low <= self.predicted <= self.high

    def covers(self, value: float) -> bool:
        """Whether the prediction's band holds it."""
        return self.band[0] <= value <= self.band[1]

    @property
    def is_covered(self) -> bool:
        return self.covers(self.measured)

    @property
    def apart_ratio(self) -> float:
        """Of the runs of this cell: most over least, less one."""
        return max(self.by_run) / min(self.by_run) - 1


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind at a load. unstable: runs in which backlog grew, measured and predicted.  batch_mean:
    of the prediction.  extrapolated: ways in which it leaves the swept region.  paces: of each run.
    """

    kind: str
    load_ratio: float
    rate: float
    num_runs: int
    num_failed: int
    unstable: tuple[int, int]
    batch_mean: float
    extrapolated: tuple[str, ...]
    figures: tuple[Figure, ...]
    paces: tuple[float, ...]


def read_calibration(out: Path) -> Calibration:
    """The twin of the calibration run; its error says what is missing."""
    return calibrate_on(Run.open(out / "latest", out_root=out), Limits())


def saturation_req_per_s(calibration: Calibration, scenario: str) -> float:
    """What the twin serves of this traffic when all of it is there at once."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(scenario)
        file.flush()
        mix = read_mix(file.name)
    at_once = Requests(np.zeros(len(mix.n_in)), mix.n_in, mix.n_out)
    fit = calibration.fit
    outcome = simulate(step_model(fit.hinge), calibration.deployment, at_once)
    return len(at_once) / outcome.totals.end_s


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of a cell: [m] measured requests; predicted by the fit and by each draw.

    pace: time of its clean decode steps, which know no queue, over what the law says of them: how
    fast the machine was then.  paced: predicted by the fit at that pace.
    """

    begin_s: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    tok_per_s: float
    predicted: tuple[tuple[FloatArray, FloatArray, float], ...]
    unstable: tuple[bool, bool]
    num_failed: int
    served: Served
    pace: float
    paced: tuple[FloatArray, FloatArray, float]


def measure_kind(kind: Kind, calibration: Calibration, out: Path) -> list[Cell]:
    """Every load that was measured at least once."""
    from harness.scenario import expand, load_resolved

    if not (out / "latest").exists():
        return []
    run = Run.open(out / "latest", out_root=out)
    points = expand(load_resolved(run.path / "scenario.resolved.yaml").document)
    by_rate: dict[float, list[Seen]] = {}
    for records in run.points:
        if not records.is_partial:
            load = points[records.index].load
            rate = float(getattr(load, "rate", 0.0))
            by_rate.setdefault(rate, []).append(look(records, calibration))
    return [
        cell_of(kind.name, load, rate, by_rate[rate], calibration.fit.hull)
        for load, rate in zip(LOADS, sorted({float(getattr(p.load, "rate", 0)) for p in points}),
                              strict=True)
        if rate in by_rate
    ]  # fmt: skip


def look(records: PointRecords, calibration: Calibration) -> Seen:
    """The records of a point beside the twin's answer to the very same arrivals and lengths."""
    stage = records.meta["stages"][0]
    frame = read_frame(records.requests(), stage["t0_ns"], stage["t1_ns"])
    n_out = np.where(np.isfinite(frame.n_out) & frame.is_success, frame.n_out, frame.asked_out)
    n_in = np.where(np.isfinite(frame.n_in), frame.n_in, frame.asked_in)
    requests = Requests(
        frame.intended_s, np.maximum(n_in, 1).astype(np.int64),
        np.maximum(n_out, 1).astype(np.int64),
    )  # fmt: skip
    chosen = frame.is_measured & frame.is_success
    fit = calibration.fit
    answers = [
        serve(fit, hinge, calibration.deployment, requests)
        for hinge in (fit.hinge, *fit.likely[:NUM_BAND])
    ]
    pace = pace_of(frame, fit)
    paced = serve(fit, fit.hinge.at_pace(pace), calibration.deployment, requests)
    dispersion = (records.meta.get("realised") or [{}])[0].get("dispersion")
    told = replace(frame, end_s=frame.intended_s + answers[0].e2e_s)
    return Seen(
        frame.intended_s[chosen],
        (frame.first_token_s - frame.intended_s)[chosen],
        token_times(frame).tpot_s[chosen],
        _measured_rate(frame),
        tuple((a.ttft_s[chosen], a.tpot_s[chosen], _rate(frame, a)) for a in answers),
        (
            steady_state(frame, "open", dispersion).is_unstable,
            steady_state(told, "open", dispersion).is_unstable,
        ),
        int((frame.is_measured & frame.is_failed).sum()),
        answers[0],
        pace,
        (paced.ttft_s[chosen], paced.tpot_s[chosen], _rate(frame, paced)),
    )


def pace_of(frame: Frame, fit: StepFit) -> float:
    """1 where there was no clean step."""
    rows = [
        row for row in point_steps(frame, 0, budget_tok=fit.budget_tok).rows if row.kind == "decode"
    ]
    if not rows:
        return 1.0
    law_s, num = fit.hinge.predict(step_times(rows, fit.budget_tok)), as_arrays(rows, "num")
    return float((as_arrays(rows, "seconds") * num).sum() / (law_s * num).sum())


def _measured_rate(frame: Frame) -> float:
    inside = (frame.chunk_s >= 0) & (frame.chunk_s < frame.window_s)
    return float(frame.chunk_tok[inside].sum() / frame.window_s)


def _rate(frame: Frame, served: Served) -> float:
    """Tokens a second in the window: the first of each at its time, the rest evenly after it."""
    first_s = frame.intended_s + served.ttft_s
    last_s = frame.intended_s + served.e2e_s
    span_s = np.maximum(last_s - first_s, 1e-9)
    inside_s = np.clip(last_s, 0, frame.window_s) - np.clip(first_s, 0, frame.window_s)
    rest = (served.requests.n_out - 1) * inside_s / span_s
    is_first = (first_s >= 0) & (first_s < frame.window_s)
    return float((rest + is_first).sum() / frame.window_s)


def cell_of(kind: str, load: float, rate: float, runs: Sequence[Seen], hull: SweptHull) -> Cell:
    figures = [*_figures("ttft", load, runs, 0), *_figures("tpot", load, runs, 1)]
    rates = [run.tok_per_s for run in runs]
    told = [
        float(np.mean([r.predicted[k][2] for r in runs])) for k in range(len(runs[0].predicted))
    ]
    measured = float(np.mean(rates))
    paced = float(np.mean([run.paced[2] for run in runs]))
    bar = 0.1 if load < 0.9 else None
    figures.append(
        Figure("throughput", "tok/s", measured, min(rates), max(rates), told[0],
               (min(told), max(told)), len(runs), _is_near(told[0], measured, bar),
               paced, _is_near(paced, measured, bar), tuple(rates))
    )  # fmt: skip
    outcomes = [run.served.outcome for run in runs]
    busy = [o.totals.running_s / max(o.totals.busy_s, 1e-9) for o in outcomes]
    return Cell(
        kind, load, rate, len(runs), sum(r.num_failed for r in runs),
        (sum(r.unstable[0] for r in runs), sum(r.unstable[1] for r in runs)),
        float(np.mean(busy)), beyond_sweep(runs[0].served, hull), tuple(figures),
        tuple(run.pace for run in runs),
    )  # fmt: skip


def _is_near(told: float, measured: float, bar: float | None) -> bool | None:
    """None where the protocol has no bar."""
    return None if bar is None else abs(told / measured - 1) <= bar


def _figures(name: str, load: float, runs: Sequence[Seen], which: int) -> Iterator[Figure]:
    """Quantiles over the requests of all runs, with an interval from resampled runs, and resampled
    blocks of time in each: what requests of one run share is no less an error."""
    seen = [(r.ttft_s, r.tpot_s)[which] for r in runs]
    blocks = [
        [values[keys == key] for key in np.unique(keys)]
        for values, run in zip(seen, runs, strict=True)
        for keys in [np.floor(run.begin_s / BLOCK_S)]
    ]
    rng = np.random.default_rng(5)
    pools = [
        np.concatenate([
            blocks[r][i]
            for r in rng.integers(0, len(runs), len(runs))
            for i in rng.integers(0, len(blocks[r]), len(blocks[r]))
        ])
        for _ in range(400)
    ]  # fmt: skip
    told = [
        np.concatenate([r.predicted[k][which] for r in runs])
        for k in range(len(runs[0].predicted))
    ]  # fmt: skip
    everything = np.concatenate(seen)
    paced_s = np.concatenate([r.paced[which] for r in runs])
    n = int(np.isfinite(everything).sum())
    for stat, p in STATS.items():
        measured = float(np.nanquantile(everything, p))
        ends = np.percentile([np.nanquantile(pool, p) for pool in pools], [2.5, 97.5])
        predicted = [float(np.nanquantile(values, p)) for values in told]
        bar = {"p50": 0.10, "p99": 0.20}.get(stat)
        if load > 0.9 or n < NEEDED[stat]:
            bar = None
        paced = float(np.nanquantile(paced_s, p))
        yield Figure(
            f"{name} {stat}", "s", measured, float(ends[0]), float(ends[1]), predicted[0],
            (min(predicted), max(predicted)), n, _is_near(predicted[0], measured, bar),
            paced, _is_near(paced, measured, bar),
            tuple(float(np.nanquantile(values, p)) for values in seen),
        )  # fmt: skip
