"""From the records of a point to its summary. Reads like the summary itself.

Pure: the tables come in, a PointSummary goes out; the bootstrap draws from the point's own seed. A
stage of a point is analysed by the same function with the stage's own window in its meta.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from harness.analysis import availability, tallies
from harness.analysis._evidence import Evidence
from harness.analysis.billing import usage_of
from harness.analysis.censoring import estimate_censored
from harness.analysis.client_health import ClientHealth, read_health
from harness.analysis.cold import cold_pairs
from harness.analysis.curves import NINES, cdf_curve, nines_curve
from harness.analysis.fitness import call_samples, fitness_pairs
from harness.analysis.frame import FloatArray, Frame, elapsed_s, read_frame
from harness.analysis.goodput import Goodness, good_parts, goodput_pairs, judge_requests
from harness.analysis.heatmap import latency_heatmap
from harness.analysis.latency import end_samples, latency_samples
from harness.analysis.little import little
from harness.analysis.point_meta import PointMeta
from harness.analysis.quantiles import Pair, Sample, estimate_quantiles
from harness.analysis.reconcile import Reconciled, reconcile, wire_overhead
from harness.analysis.series import time_series
from harness.analysis.server_series import read_server
from harness.analysis.slo_grid import SloGrid, slo_grids
from harness.analysis.steady_state import steady_state
from harness.analysis.summary import Check, Curve, PointSummary
from harness.analysis.throughput import throughput_pairs
from harness.analysis.tokens import Gaps, TokenTimes, gap_pairs, token_samples, token_times
from harness.analysis.validity import run_checks
from harness.analysis.waterfall import waterfall
from harness.estimate import Estimate, Outcome


def analyse_point(
    requests: pa.Table, clients: pa.Table, meta: PointMeta, server: pa.Table | None = None
) -> PointSummary:
    """Every estimate, check and curve of one window.

    requests: rows of the whole point (all phases, all stages: throughput and in-flight need those
    around the window).  clients: the load workers' one-second rows.  server: what the target said
    of itself, in SERVER_SCHEMA; None where it was not asked.
    """
    frame = read_frame(requests, meta.t0_ns, meta.t1_ns)
    health = read_health(clients, meta.t0_ns, meta.t1_ns)
    steady = steady_state(frame, meta.kind, _dispersion(meta))
    if meta.stopped_by == "over_saturated":  # seen live; the window that is left may be too short
        steady = replace(steady, is_unstable=True)
    both = reconcile(frame, read_server(server), meta)
    checks = (*run_checks(Evidence(frame, health, meta, steady)), *both.checks)
    times = token_times(frame)
    values = request_values(frame, times)
    goodness = judge_requests(frame, values, meta.slo, meta.class_slos)
    windows = availability.uptime_windows(frame, meta.slo.uptime)
    scopes = ("all", *(meta.classes if len(meta.classes) > 1 else ()))
    samples = {scope: _samples(frame, times, both, meta, scope) for scope in scopes}
    pairs = [
        *_pairs(frame, times.gaps, goodness, samples, meta),
        *availability.uptime_pairs(frame, windows, meta.slo.uptime),
        *cold_pairs(frame, meta.idle_s),
        *_receive_lag(health),
    ]
    return PointSummary(
        meta=meta,
        estimates=_withhold((pair.shown for pair in pairs), checks),
        bounds=_withhold((pair.bound for pair in pairs), checks),
        checks=(*checks, *_skipped(goodness, frame)),
        validity=_validity(checks),
        is_stable=not steady.is_unstable,
        backlog=steady.backlog,
        counts={**tallies.count_requests(frame), **_skip_counts(goodness)},
        errors=tallies.error_rows(frame),
        class_rows=tallies.class_rows(frame, meta.classes),
        series=time_series(frame, meta.stage_index),
        curves=_curves(frame, times.gaps, samples["all"], checks),
        uptime_windows=windows,
        server=both.side,
        good_parts=good_parts(frame, goodness),
        slo_grids=_slo_grids(frame, values, meta),
        little=little(frame),
        usage=usage_of(frame, goodness, [meta.seed, meta.index, meta.stage_index, 7]),
        heatmap=None if "ttft" in _withheld(checks) else latency_heatmap(frame),
        waterfall=waterfall(frame, np.random.default_rng([meta.seed, meta.index, 11])),
    )


def _slo_grids(frame: Frame, values: dict[str, FloatArray], meta: PointMeta) -> tuple[SloGrid, ...]:
    """Only where rates are compared: a gate's hundreds of runs need none."""
    if meta.kind != "open" or not meta.swept or not frame.has_tokens("all"):
        return ()
    return slo_grids(frame, values, meta.slo, meta.class_slos, meta.classes)


def _samples(
    frame: Frame, times: TokenTimes, both: Reconciled, meta: PointMeta, scope: str
) -> list[Sample]:
    return [
        *latency_samples(frame, scope),
        *call_samples(frame, meta, scope),
        *token_samples(frame, times, scope),
        *wire_overhead(frame, both.server_ttft_s, scope),
    ]


def _pairs(
    frame: Frame,
    gaps: Gaps,
    goodness: Goodness,
    samples: dict[str, list[Sample]],
    meta: PointMeta,
) -> Iterable[Pair]:
    """Every estimate of every scope."""
    rng = np.random.default_rng([meta.seed, meta.index, meta.stage_index, meta.repeat])
    for scope, own in samples.items():
        for sample in own:
            yield from estimate_quantiles(sample)
        for censored in end_samples(frame, scope):
            yield from estimate_censored(censored)
        yield from gap_pairs(frame, gaps, scope)
        yield from throughput_pairs(frame, scope, rng)
        yield from fitness_pairs(frame, meta, scope, rng)
        yield from goodput_pairs(frame, goodness, scope, rng, meta.slo.attainment)
        yield from availability.rate_pairs(frame, scope)


def request_values(frame: Frame, times: TokenTimes) -> dict[str, FloatArray]:
    """What the limits of a good request are held against."""
    return {
        "ttft": elapsed_s(frame.first_token_s, frame.intended_s),
        "ttfv": elapsed_s(frame.first_visible_s, frame.intended_s),
        "tpot": times.tpot_s,
        "e2e_latency": elapsed_s(frame.end_s, frame.intended_s),
        "max_stall": times.max_stall_s,
        "time_to_first_argument": elapsed_s(frame.first_argument_s, frame.intended_s),
        "time_to_tool_call": elapsed_s(frame.call_done_s, frame.intended_s),
    }


def _receive_lag(health: ClientHealth) -> list[Pair]:
    if health.receive_lag_p99_s is None:
        return []
    row = Estimate(
        metric="receive_lag",
        stat="p99",
        unit="s",
        value=health.receive_lag_p99_s,
        n=health.num_rows,
        method="pooled from one-second rows",
        population="receives",
    )
    return [Pair(row, row)]


def _withhold(rows: Iterable[Estimate], checks: tuple[Check, ...]) -> tuple[Estimate, ...]:
    """Take away the value of every metric that a check withholds, leaving the reason."""
    reasons = {metric: check.sentence for check in reversed(checks) for metric in check.withholds}
    return tuple(
        replace(row, value=None, low=None, high=None, reason=reasons[row.metric])
        if row.metric in reasons
        else row
        for row in rows
    )


def _withheld(checks: tuple[Check, ...]) -> set[str]:
    return {metric for check in checks for metric in check.withholds}


def _validity(checks: tuple[Check, ...]) -> Outcome:
    is_invalid = any(check.status == "invalid" for check in checks)
    return Outcome.INVALID if is_invalid else Outcome.PASS


def _skip_counts(goodness: Goodness) -> dict[str, int]:
    return {f"skipped_{metric}": n for metric, n in goodness.num_skipped.items()}


def _skipped(goodness: Goodness, frame: Frame) -> list[Check]:
    """Limits that some successes could not have, with the share of successes they skipped."""
    total = int((frame.is_measured & frame.is_success).sum())
    checks = []
    for metric, count in goodness.num_skipped.items():
        share = count / total if total else 0.0
        told = f"{count} of {total} successes have no {metric}: its limit was skipped for them"
        checks.append(
            Check(
                code=f"skipped_{metric}",
                title=f"successes without {metric}",
                value=share,
                unit="ratio",
                limit_notice=0.0,
                limit_invalid=None,
                status="notice" if count else "ok",
                sentence=told if count else "",
            )
        )
    return checks


def _curves(
    frame: Frame, gaps: Gaps, samples: list[Sample], checks: tuple[Check, ...]
) -> tuple[Curve, ...]:
    """Curves of every metric that no check withholds."""
    withheld = _withheld(checks)
    ends = [censored.sample for censored in end_samples(frame, "all") if not censored.is_cut.any()]
    curves = [
        nines_curve(sample)
        for sample in [*samples, *ends]
        if sample.population == "valid" and sample.metric in NINES
    ]
    for sample in samples:
        if (sample.metric, sample.population) == ("ttft", "success"):
            curves.append(cdf_curve("ttft", "s", "success", sample.values))
    chosen = (frame.is_measured & frame.is_success)[gaps.owner]
    if not frame.has_tokens("all"):  # then this one tells most
        curves += [
            cdf_curve("e2e_latency", "s", "success", s.values)
            for s in ends
            if (s.metric, s.population) == ("e2e_latency", "success")
        ]
    curves.append(cdf_curve("icl", "s", "gaps", gaps.gap_s[chosen]))
    return tuple(c for c in curves if c is not None and c.metric not in withheld)


def _dispersion(meta: PointMeta) -> float | None:
    value = meta.realised.get("dispersion")
    return None if value is None else float(value)
