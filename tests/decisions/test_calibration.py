"""A calibration finds the noise that was put in: of runs, of schedules, of order, of drift."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.power import noise_floor
from harness.analysis.run_sample import RunSample, run_sample
from harness.decisions.calibration import Calibration, Noise, calibrate
from harness.decisions.gate import Block
from harness.scenario.gate import Gate

GATE = Gate.model_validate(
    {
        "candidate": "twin", "baseline": {"kind": "target", "target": "main"}, "blocks": 8,
        "rules": [{"kind": "relative", "id": "ttft", "metric": "ttft", "stat": "p50",
                   "max_increase": "5%"}],
    }
)  # fmt: skip
NUM = 40


@pytest.fixture(scope="module")
def base(rows) -> RunSample:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    made = [
        rows.row(i / 3, [i / 3 + wait + 0.02 * k for k in range(5)])
        for i, wait in enumerate(rng.exponential(0.1, 300))
    ]
    return run_sample(rows.requests(made), rows.clients(100), rows.meta(100.0))


def calibrated(
    base: RunSample, *, run: float = 0.03, schedule: float = 0.0, order: float = 0.0,
    drift: float = 0.0,
) -> Calibration:  # fmt: skip
    """NUM blocks: run, schedule are SDs of logs; order makes a block's second run slower."""
    rng = np.random.default_rng(1)
    blocks = []
    for i in range(NUM):
        level = rng.normal(0, schedule) + drift * i
        first, second = level + rng.normal(0, run, 2) + np.array([0.0, order])
        pair = (first, second) if i % 2 == 0 else (second, first)
        arms = [
            {"main": replace(base, samples={k: v * math.exp(x) for k, v in base.samples.items()})}
            for x in pair
        ]
        blocks.append(Block(i, "AB" if i % 2 == 0 else "BA", arms[0], arms[1]))
    return calibrate(GATE, blocks, np.random.default_rng(2))


def ttft(found: Calibration) -> Noise:
    return next(n for n in found.noise if n.key == "main/ttft/p50")


def test_sigma_and_both_variances_are_recovered(base: RunSample) -> None:
    """sigma = sqrt 2 x 3 %; 40 blocks tell an SD to 11 %, so three standard errors are a third."""
    noise = ttft(calibrated(base, run=0.03, schedule=0.10))
    assert noise.sigma == pytest.approx(math.sqrt(2) * 0.03, rel=0.33)
    assert math.sqrt(noise.run_var) == pytest.approx(0.03, rel=0.33)
    assert math.sqrt(noise.schedule_var) == pytest.approx(0.10, rel=0.33)
    assert noise.floor(8) == noise_floor(noise.sigma, 8)


def test_order_and_drift_are_told_with_their_errors(base: RunSample) -> None:
    quiet = ttft(calibrated(base))
    assert abs(quiet.order_effect) < 3 * quiet.order_se
    assert abs(quiet.drift) < 3 * quiet.drift_se
    moved = ttft(calibrated(base, order=0.10, drift=0.01))
    # the second run of a block is 10 % slower: AB has +.1, BA has -.1
    assert moved.order_effect == pytest.approx(0.2, abs=3 * moved.order_se)
    assert moved.drift == pytest.approx(0.01, abs=3 * moved.drift_se)


def test_false_alarms_carry_an_interval(base: RunSample) -> None:
    found = calibrated(base)
    assert (found.alarms.k, found.alarms.num_disjoint) == (8, 5)
    assert found.alarms.num_alarms == 0
    # 0 of 5: 1 - .025^(1/5)
    assert found.alarms.interval.high == pytest.approx(1 - 0.025**0.2)
    assert found.alarms.resampled < 0.05
    assert set(found.sigma) >= {"main/ttft/p50", "main/tpot/p95", "main/output_tok_per_s/rate"}
