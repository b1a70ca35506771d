"""What a plan takes for its traffic: lengths of a scenario, and the very arrivals of a trace."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli._traffic_mix import read_mix, with_trace
from harness.decisions.twin_capacity import Mix
from harness.scenario.forecast import load_forecast

LENGTHS = Mix("lengths", np.array([1000]), np.array([50]), cv=1.5)


def trace_of(folder: Path, times: list[float], name: str = "t.csv") -> Path:
    """In a known layout: request k has 100 + k tokens in and k + 1 out."""
    rows = "".join(f"{t},{100 + k},{k + 1}\n" for k, t in enumerate(times))
    path = folder / name
    path.write_text("Timestamp,Request tokens,Response tokens\n" + rows, encoding="utf-8")
    return path


def scenario_of(folder: Path, times: list[float]) -> str:
    file = {"file": trace_of(folder, times).name, "format": "burstgpt_csv"}
    document: dict[str, Any] = {
        "schema": "harness/v1", "name": "replayed",
        "targets": {"main": {"kind": "reference", "model": "tiny"}},
        "traffic": [{"name": "replay", "workload": {"kind": "trace", **file}}],
        "load": {"kind": "open", "arrival": {"kind": "trace", **file}, "duration": "10s"},
    }  # fmt: skip
    path = folder / "replayed.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def test_a_trace_forecast_is_planned_with_its_own_rows(tmp_path: Path) -> None:
    """Unsorted on disk, two at once, one in no whole window."""
    path = trace_of(tmp_path, [5.0, 0.0, 61.0, 5.0, 125.0])
    forecast = load_forecast(path, window_s=60.0)
    mix = with_trace(LENGTHS, forecast, keeps_lengths=False, seed=0)
    assert (mix.name, mix.how, mix.cv) == ("t", "trace", 1.0)
    assert mix.recorded is not None
    played = mix.recorded.at(forecast.rates, np.random.default_rng(0))
    assert played.arrival_s.tolist() == [0.0, 5.0, 5.0, 61.0]
    assert played.n_in.tolist() == [101, 100, 103, 102]
    assert sorted(mix.n_in.tolist()) == [100, 101, 102, 103, 104]


def test_a_scenario_that_is_named_has_the_lengths(tmp_path: Path) -> None:
    forecast = load_forecast(trace_of(tmp_path, [0.0, 5.0, 61.0, 125.0]), window_s=60.0)
    mix = with_trace(LENGTHS, forecast, keeps_lengths=True, seed=0)
    assert (mix.name, mix.how) == ("lengths", "trace")
    assert mix.recorded is not None
    assert mix.recorded.requests.arrival_s.tolist() == [0.0, 5.0, 61.0, 125.0]
    assert set(mix.recorded.requests.n_in.tolist()) == {1000}
    table = load_forecast("servegen-day")
    assert with_trace(LENGTHS, table, keeps_lengths=False, seed=0) is LENGTHS
    assert with_trace(LENGTHS, None, keeps_lengths=False, seed=0) is LENGTHS


def test_a_traced_scenario_is_as_dispersed_as_its_whole_trace(tmp_path: Path) -> None:
    """20 requests at once every 10 s, 20 times, of which the load itself would send the first 10 s.
    Gaps: one of 10 s for each 19 of 0: CV sqrt(20 - 1); counts of 40 bins about 10: 20 or 0, their
    variance over mean 10. The gaps are the more irregular."""
    times = [10.0 * burst for burst in range(20) for _ in range(20)]
    mix = read_mix(scenario_of(tmp_path, times))
    assert len(mix.n_in) == 400
    gaps = np.diff(np.array(times))
    assert mix.cv == pytest.approx(gaps.std() / gaps.mean(), rel=1e-6)
    assert mix.cv == pytest.approx(math.sqrt(19), rel=0.03)
    assert mix.arrivals().endswith("within each window, as dispersed as its trace")


def test_bursts_longer_than_a_gap_show_in_the_counts(tmp_path: Path) -> None:
    """Ten a second for 100 s, one a second for 100 s, twice: gaps of .1 s and 1 s, CV 1.4. Of
    2,200 requests a hundredth of the 400 s holds 40 or 4: variance over mean 327 / 22."""
    one = [0.1 * k for k in range(1000)] + [100.0 + k for k in range(100)]
    mix = read_mix(scenario_of(tmp_path, [turn + t for turn in (0.0, 200.0) for t in one]))
    assert mix.cv == pytest.approx(math.sqrt(324 * 100 / 99 / 22), rel=0.02)


def test_even_arrivals_are_planned_as_poisson_at_the_least(tmp_path: Path) -> None:
    mix = read_mix(scenario_of(tmp_path, [float(k) for k in range(60)]))
    assert (mix.cv, mix.how) == (1.0, "poisson")
    assert mix.arrivals() == "drawn, Poisson within each window, its trace being no more irregular"
