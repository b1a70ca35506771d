"""Arrival processes keep their law: rate, variation, burstiness, and no seam at the window."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.scenario.document import Ramp
from harness.scenario.materials import Materials, Trace
from harness.traffic import build_schedule, realised
from harness.traffic.arrivals import (
    GammaProcess,
    PoissonProcess,
    rate_profile,
    trace_arrivals,
    unit_times,
)
from harness.traffic.realised import dispersion_index, gap_cv
from harness.traffic.schedule import Schedule

NS = 1_000_000_000


def window(schedule, index: int = 0) -> np.ndarray:
    stage = schedule.stages[index]
    end = stage.warmup_ns + stage.window_ns
    return stage.intended_ns[(stage.intended_ns >= stage.warmup_ns) & (stage.intended_ns < end)]


@pytest.mark.parametrize("rate", ["8/s", "97/s", "0.3/s", "333.333/s"])
def test_constant_has_cv_exactly_zero_and_its_exact_count(
    make_point, open_load, materials, rate
) -> None:
    point = make_point(open_load({"kind": "constant"}, rate, duration="10min"))
    schedule = build_schedule(point, materials)
    inside = window(schedule)
    assert len(inside) == pytest.approx(600 * point.load.rate, abs=1)
    if float(rate[:-2]).is_integer():
        assert len(inside) == 600 * point.load.rate
    assert gap_cv(inside) == 0.0
    # no drift: every stamp is within rounding of its own place
    steps = np.rint(inside / NS * point.load.rate)
    assert np.max(np.abs(inside - steps / point.load.rate * NS)) <= 1


@pytest.mark.parametrize("cv", [0.4, 1.0, 2.0])
def test_law_of_renewal_arrivals(make_point, open_load, materials, cv) -> None:
    """Bounds at z = 4.9 of the asymptotic laws: false alarm below 1e-6 a figure, seed fixed."""
    arrival = {"kind": "poisson"} if cv == 1.0 else {"kind": "gamma", "cv": cv}
    point = make_point(open_load(arrival, "50/s", duration="600s"))
    inside = window(build_schedule(point, materials))
    n = 50 * 600
    z = 4.9
    # counts of a renewal process: variance n cv^2
    assert abs(len(inside) - n) < z * cv * math.sqrt(n)
    # the count is what the process says, not a multiple of the asked rate
    assert len(inside) != n
    gaps = np.diff(inside)
    # delta method with the gamma's kurtosis: var(cv_hat)/cv^2 ~ (1 + 2 cv^2)/(2 n) + ...
    assert gap_cv(inside) == pytest.approx(cv, rel=z * math.sqrt((1 + 3 * cv**2) / n))
    # 100 bins of 300: index ~ cv^2 chi2(99)/99
    low, high = stats.chi2(99).ppf([5e-7, 1 - 5e-7]) / 99
    stage_end = 610 * NS
    assert low * cv**2 < dispersion_index(inside, 10 * NS, stage_end) < high * cv**2
    shape = 1 / cv**2
    assert stats.kstest(gaps / NS * 50, stats.gamma(shape, scale=1 / shape).cdf).pvalue > 1e-6


def test_reported_p_value_is_scipys_and_catches_the_wrong_law(
    make_point, open_load, materials
) -> None:
    point = make_point(open_load({"kind": "gamma", "cv": 2.0}, duration="200s"))
    schedule = build_schedule(point, materials)
    reported = realised(schedule)[0]
    gaps = np.diff(window(schedule)) / NS * 8
    direct = stats.kstest(gaps, stats.gamma(0.25, scale=4).cdf).pvalue
    assert reported.ks_p == pytest.approx(direct, rel=1e-6)
    assert reported.ks_p > 1e-6
    assert stats.kstest(gaps, stats.expon.cdf).pvalue < 1e-9


@pytest.mark.parametrize("process", [PoissonProcess(), GammaProcess(2.0), GammaProcess(0.3)])
def test_processes_are_stationary_from_their_first_instant(process) -> None:
    """Mean count in [0, 1) of the unit-rate process is 1; 4,000 runs, z = 5 (false alarm 6e-7)."""
    counts = [
        int(np.sum(unit_times(process, np.random.default_rng(k), 1.0) < 1.0)) for k in range(4000)
    ]
    assert abs(np.mean(counts) - 1) < 5 * np.std(counts) / math.sqrt(len(counts))


def test_longer_windows_only_add_arrivals(make_point, open_load, materials) -> None:
    load = open_load({"kind": "gamma", "cv": 1.6})
    short = build_schedule(make_point(load | {"duration": "20s"}), materials).stages[0]
    long = build_schedule(make_point(load | {"duration": "300s"}), materials).stages[0]
    assert np.array_equal(short.intended_ns, long.intended_ns[: len(short)])
    assert short.intended_ns[-1] > 45 * NS  # warm-up, window and cool-down without a seam


def test_same_pattern_at_every_rate(make_point, open_load, materials) -> None:
    slow = build_schedule(
        make_point(open_load({"kind": "poisson"}, "2/s", duration="50s")), materials
    )
    fast = build_schedule(
        make_point(open_load({"kind": "poisson"}, "4/s", duration="50s")), materials
    )
    a, b = slow.stages[0].intended_ns, fast.stages[0].intended_ns
    assert np.max(np.abs(a - 2 * b[: len(a)])) <= 2  # rounding to ns


@pytest.mark.parametrize("kind", ["constant", "poisson", "gamma"])
def test_requests_n_measures_exactly_n(make_point, open_load, materials, kind) -> None:
    arrival = {"kind": kind, "cv": 1.6} if kind == "gamma" else {"kind": kind}
    stage = build_schedule(make_point(open_load(arrival, requests=321)), materials).stages[0]
    end = stage.warmup_ns + stage.window_ns
    inside = (stage.intended_ns >= stage.warmup_ns) & (stage.intended_ns < end)
    assert inside.sum() == stage.num_measured == 321
    assert end in stage.intended_ns  # the window ends at the arrival that comes next
    if kind == "constant":
        assert stage.window_ns == 321 * NS // 8


def test_ramp_inverse_undoes_its_integral() -> None:
    profile = rate_profile(
        Ramp.model_validate({"kind": "ramp", "from": "2/s", "to": "10/s"}), 10, 50
    )
    times = np.linspace(0, 100, 1001)
    assert np.allclose(profile.inverse(profile.expected(times)), times, atol=1e-9)
    # by hand: 2/s x 10 s, then 50 s at 6/s on average, then 40 s at 10/s
    assert profile.expected(np.array([10.0, 60.0, 100.0])) == pytest.approx([20, 320, 720])
    assert profile.at(np.array([0.0, 35.0, 99.0])) == pytest.approx([2, 6, 10])


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_ramp_counts_follow_the_integral(make_point, open_load, materials, kind) -> None:
    """Poisson counts a tenth within 5 standard deviations: false alarm 6e-6 over ten bins."""
    ramp = {"kind": "ramp", "from": "20/s", "to": "200/s"}
    point = make_point(open_load({"kind": kind}, ramp, duration="100s"))
    schedule = build_schedule(point, materials)
    edges = np.linspace(10, 110, 11)
    counts, _ = np.histogram(window(schedule) / NS, edges)
    profile = rate_profile(point.load.rate, 10, 100)
    expected = np.diff(profile.expected(edges))
    allowed = 5 * np.sqrt(expected) if kind == "poisson" else 1
    assert np.all(np.abs(counts - expected) <= allowed)
    if kind == "poisson":
        assert realised(schedule)[0].ks_p > 1e-6  # after the ramp is undone gaps are exponential


def bursty_trace(n: int = 4000) -> Trace:
    """Bursts of 40 rows within 1 s, every 50 s."""
    rng = np.random.default_rng(5)
    times = np.sort(np.repeat(np.arange(n // 40) * 50.0, 40) + rng.random(n))
    times[0] = 0.0
    rows = np.arange(n, dtype=np.int32)
    return Trace(times, 100 + rows, 1 + rows % 50)


def test_thinning_keeps_bursts_and_nests() -> None:
    trace = bursty_trace()
    half = trace_arrivals(trace, 0.5, 0.0, np.random.default_rng(1))
    tenth = trace_arrivals(trace, 0.1, 0.0, np.random.default_rng(1))
    assert set(tenth.row) < set(half.row)
    assert abs(len(half.row) - 2000) < 5 * math.sqrt(1000)  # binomial, 5 sd: 6e-7
    assert np.array_equal(half.t_s, trace.arrival_s[half.row])
    # stretched time would spread each burst over 2 s; thinned bursts keep their second
    assert np.all(half.t_s % 50 < 1.1)
    assert gap_cv((half.t_s * NS).astype(np.int64)) > 3


def test_jitter_spreads_forward_only() -> None:
    trace = Trace(
        np.repeat(np.arange(10) * 3.0, 20), np.ones(200, np.int32), np.ones(200, np.int32)
    )
    found = trace_arrivals(trace, 1.0, 3.0, np.random.default_rng(2))
    delay = found.t_s - trace.arrival_s[found.row]
    assert np.all((delay >= 0) & (delay < 3))
    assert stats.kstest(delay / 3, "uniform").pvalue > 1e-6
    assert np.all(np.diff(found.t_s) >= 0)


def test_trace_rows_stay_joined_to_their_times(make_point, open_load) -> None:
    trace = bursty_trace(400)
    arrival = {"kind": "trace", "file": "t", "format": "azure_csv", "thin": "70%"}
    workload = {"kind": "trace", "file": "t", "format": "azure_csv"}
    load = open_load(arrival, None, duration="300s")
    schedule = build_schedule(
        make_point(load, {"workload": workload}), Materials(traces={"t": trace})
    )
    stage = schedule.stages[0]
    assert np.array_equal(stage.intended_ns, np.rint(trace.arrival_s[stage.content_id] * NS))
    assert np.array_equal(stage.asked_in, trace.input_tok[stage.content_id])
    assert np.array_equal(stage.asked_out, trace.output_tok[stage.content_id])


def test_trace_rows_longer_than_allowed_are_dropped(make_point, open_load) -> None:
    trace = bursty_trace(400)
    arrival = {"kind": "trace", "file": "t", "format": "azure_csv"}
    workload = {"kind": "trace", "file": "t", "format": "azure_csv", "max_input_tokens": 300}
    load = open_load(arrival, None, duration="400s")
    schedule = build_schedule(
        make_point(load, {"workload": workload}), Materials(traces={"t": trace})
    )
    assert schedule.stages[0].asked_in.max() == 300
    assert len(schedule.stages[0]) == 201


def test_window_never_outlasts_the_trace(make_point, open_load) -> None:
    trace = bursty_trace(400)  # ten bursts: about 451 s
    arrival = {"kind": "trace", "file": "t", "format": "azure_csv"}
    load = open_load(arrival, None, duration="2h")
    schedule = build_schedule(make_point(load), Materials(traces={"t": trace}))
    assert schedule.stages[0].window_ns < 443 * NS


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.5, 5.0])
def test_bursts_that_share_a_nanosecond_do_not_speak_against_their_own_law(
    make_point, open_load, materials, cv: float
) -> None:
    """At cv 5 four gaps in ten round to 0 ns, where the law has none.

    60 seeds at 5%: 9 rejections or fewer but for 1 chance in 1,000; the wrong law is seen at once.
    """
    load = open_load({"kind": "gamma", "cv": cv}, "50/s", duration="40s")
    stages = [build_schedule(make_point(load, seed=s), materials).stages[0] for s in range(60)]
    found = [realised(Schedule((stage,), 0))[0].ks_p for stage in stages]
    assert sum(p < 0.05 for p in found) <= 9
    wrong = [replace(s, law=replace(s.law, cv=cv * 1.5)) for s in stages[:10]]
    assert all(realised(Schedule((stage,), 0))[0].ks_p < 0.01 for stage in wrong)
