"""The published tables of cost, to the printed digit; formulas against cases done by hand."""

from __future__ import annotations

import csv
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.decisions import cost, roofline, staircase
from harness.decisions.prices import Mix, blend_usd_per_mtok, tariff_of, usd_per_request
from harness.scenario.forecast import load_forecast
from harness.scenario.prices import load_prices

TRACES = os.environ.get("HARNESS_TRACES")
GUIDE = load_prices("fireworks-guide")
GPUS = ("a10g", "a100-40", "a100-80", "h100")


def printed(value: float, like: str) -> str:
    """value with as many decimals as the printed figure."""
    return f"{value:,.{len(like.partition('.')[2])}f}"


@pytest.mark.parametrize(
    ("row", "mix", "cells", "seconds"),
    [
        # M tokens/h for one GPU, and tokens/s; of a mix at one price for in and out
        ("llama-v3p3-70b-instruct", Mix(1000, 200), (".889", "2.778", "3.889", "5.556"),
         ("247", "772", "1,080", "1,543")),
        ("llama-v3p1-405b-instruct", Mix(1000, 200), (".267", ".833", "1.167", "1.667"),
         ("74", "231", "324", "463")),
        ("nomic-embed-text-v1.5", Mix(256, 0), ("100", "312.5", "437.5", "625"),
         ("27,778", "86,806", "121,528", "173,611")),
    ],
)  # fmt: skip
def test_crossing_of_one_gpu(
    row: str, mix: Mix, cells: tuple[str, ...], seconds: tuple[str, ...]
) -> None:
    blend = blend_usd_per_mtok(mix, tariff_of(GUIDE, row).point())
    batch = Mix(mix.input_tok, mix.output_tok, batch_share=1.0)
    half = blend_usd_per_mtok(batch, tariff_of(GUIDE, row).point())
    for gpu, cell, per_s in zip(GPUS, cells, seconds, strict=True):
        found = cost.one_replica_crossing(GUIDE.on_demand[gpu].price.point, blend)
        assert printed(float(found), cell).removeprefix("0") == cell.removeprefix("0")
        assert printed(float(found) * 1e6 / 3600, per_s) == per_s
        twice = cost.one_replica_crossing(GUIDE.on_demand[gpu].price.point, half)
        assert twice == pytest.approx(2 * found)


def test_crossing_of_audio_minutes() -> None:
    bill = usd_per_request(Mix(0, 0, audio_min=1), tariff_of(GUIDE, "whisper-v3").point())
    found = [cost.one_replica_crossing(GUIDE.on_demand[g].price.point, bill) for g in GPUS]
    assert [f"{float(f):.1f}" for f in found] == ["4.0", "12.5", "17.5", "25.0"]


MIXES = (Mix(1155, 211), Mix(2048, 28), Mix(1268, 1527), Mix(8000, 300))  # conv code reason RAG
# model, precision, GPU, number, $/h, weights, KV, T1, tok/s, capacities, u_required
DEPLOYMENTS = [
    ("llama-70b", "fp8", "h100", 2, "10.00", "71", "73", "11.11", "3,086",
     ("42.1", "44.7", "25.5", "35.8"), (".26", ".25", ".44", ".31")),
    ("llama-70b", "fp16", "h100", 4, "20.00", "141", "147", "22.22", "6,173",
     ("42.1", "44.7", "25.5", "35.8"), (".53", ".50", ".87", ".62")),
    ("llama-70b", "int4", "h100", 1, "5.00", "35", "37", "5.56", "1,543", None, None),
    ("llama-70b", "fp16", "a100-80", 4, "14.00", "141", "147", "15.56", "4,321",
     ("14.3", "14.3", "12.4", "12.4"), ("1.09", "1.09", "1.25", "1.25")),
    ("llama-70b", "int4", "a100-80", 1, "3.50", "35", "37", "3.89", "1,080",
     ("3.6", "3.6", "3.1", "3.1"), ("1.09", "1.09", "1.26", "1.26")),
    ("llama-70b", "int4", "a10g", 4, "3.20", "35", "51", "3.56", "988",
     ("5.7", "5.7", "4.6", "4.9"), (".62", ".62", ".77", ".73")),
    ("llama-70b", "int4", "a10g", 2, "1.60", "35", "8", "1.78", "494",
     None, ("4.3", ".94", "13.8", "1.5")),
    ("llama-405b", "fp8", "h100", 8, "40.00", "406", "170", "13.33", "3,704",
     ("31.4", "31.5", "28.1", "28.5"), (".42", ".42", ".47", ".47")),
    ("llama-405b", "fp16", "h100", 16, "80.00", "812", "340", "26.67", "7,407", None, None),
]  # fmt: skip


@pytest.mark.parametrize("case", DEPLOYMENTS, ids=lambda c: "-".join(map(str, c[:4])))
def test_deployments_by_roofline(case) -> None:  # type: ignore[no-untyped-def]
    model, precision, gpu, num, per_h, weights, kv, t1, per_s, capacities, required = case
    price = 0.90 if model == "llama-70b" else 3.00
    group = GUIDE.on_demand[gpu].price.point * num
    found = roofline.Deployment(roofline.MODELS[model], precision, roofline.GPUS[gpu], num)
    crossing = float(cost.one_replica_crossing(group, price))
    assert printed(group, per_h) == per_h
    assert printed(found.weight_bytes / 1e9, weights) == weights
    assert printed(found.kv_bytes / 1e9, kv) == kv
    assert printed(crossing, t1) == t1
    assert printed(crossing * 1e6 / 3600, per_s) == per_s
    for i, mix in enumerate(MIXES):
        capacity = roofline.roofline_tok_per_h(found, mix)
        used = float(cost.required_utilisation(group, capacity, price))
        if capacities:
            assert printed(capacity / 1e6, capacities[i]) == capacities[i]
        if required:
            assert printed(used, required[i]).removeprefix("0") == required[i]


SHAPES = [  # ServeGen column, mean load in replicas -> fixed, autoscaled replicas over mean load
    ("m-large", ("6.67/3.34", "4.00/1.85", "4.00/1.48", "3.80/1.37", "3.73/1.33")),
    ("m-mid", ("3.33/3.33", "3.00/1.76", "2.67/1.48", "2.50/1.36", "2.43/1.32")),
    ("m-small", ("6.67/3.34", "5.00/1.82", "4.33/1.47", "4.20/1.35", "4.13/1.32")),
    ("deepseek-r1", ("3.33/3.33", "4.00/1.76", "3.33/1.50", "3.40/1.38", "3.33/1.35")),
]


def servegen(column: str) -> np.ndarray:  # type: ignore[type-arg]
    return load_forecast(Path(str(TRACES)) / "servegen" / "rates_10min.csv", column=column).shape


@pytest.mark.skipif(not TRACES, reason="HARNESS_TRACES is unset: no public traces")
@pytest.mark.parametrize(("column", "cells"), SHAPES)
def test_what_a_shape_of_traffic_costs(column: str, cells: tuple[str, ...]) -> None:
    shape = servegen(column)
    for load, cell in zip((0.3, 1, 3, 10, 30), cells, strict=True):
        told = []
        for scaling in ("fixed", "autoscaled"):
            need = staircase.demand(shape, scaling)  # type: ignore[arg-type]
            x = load / 0.8
            direct = staircase.replicas(need, x).mean() / load
            by_steps = float(staircase.Staircase.of(need).mean_replicas(x)) / load
            assert by_steps == pytest.approx(direct, rel=1e-12)
            told.append(f"{direct:.2f}")
        assert "/".join(told) == cell


@pytest.mark.skipif(not TRACES, reason="HARNESS_TRACES is unset: no public traces")
def test_lasting_crossings_of_the_guide() -> None:
    """70B fp8 on 2 H100, m-large, C = 20/30/42 M/h: autoscaled 22.3/11.3/11.2 (printed to the next
    tenth at which all that follows wins); fixed never/never/no lasting win below 400."""
    shape = servegen("m-large")
    found, fixed = [], []
    for capacity in (20.0, 30.0, 42.0):
        kappa, full = 0.90 * capacity * 0.8 / 10, capacity * 0.8
        by_need = staircase.Staircase.of(staircase.demand(shape, "autoscaled"), end=400 / full)
        found.append(float(by_need.crossing(kappa)[0]) * full)
        steps = staircase.Staircase.of(staircase.demand(shape, "fixed"), end=400 / full)
        fixed.append((float(steps.crossing(kappa)[0]), steps.regimes(kappa)))
    assert [f"{math.ceil(t * 10) / 10:.1f}" for t in found] == ["22.3", "11.3", "11.2"]
    assert [t for t, _ in fixed] == [math.inf] * 3
    for _, never in fixed[:2]:
        assert [r.is_on_demand for r in never] == [False]
    first, second, third = fixed[2][1][:3]
    assert not first.is_on_demand
    assert second.is_on_demand
    assert second.low * 33.6 < 11.2 < second.high * 33.6  # 11.2 wins, the next replica loses
    assert not third.is_on_demand
    assert third.low * 33.6 == pytest.approx(second.high * 33.6)


@pytest.mark.skipif(not TRACES, reason="HARNESS_TRACES is unset: no public traces")
def test_lasting_crossings_in_exact_arithmetic() -> None:
    """The same three in fractions, from the file's own decimals: 22.29, 11.24, 11.11 M/h. The
    published 22.3/11.3/11.2 are the next tenths at which on-demand wins, not these rounded; the
    third is T1 itself, 100/9: one replica (m-large's peak of 2.98 stays below 33.6/11.11)."""
    path = Path(str(TRACES)) / "servegen" / "rates_10min.csv"
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["m-large_rps"]]
    rates = [Fraction(row["m-large_rps"]) for row in rows]
    mean = sum(rates) / len(rates)
    need = [max(a, b) / mean for a, b in zip(rates, [rates[0], *rates], strict=False)]
    found = []
    for capacity in (20, 30, 42):
        full = Fraction(8, 10) * capacity  # M/h that one replica is loaded to
        edges = sorted(k * full / m for m in need for k in range(1, int(400 * m / full) + 1))
        level, last = Fraction(1), Fraction(1)
        for edge in edges:
            level += Fraction(1, len(need))
            if 10 * level > Fraction(9, 10) * edge:  # just above this step on-demand is dearer
                last = level
        found.append(10 * last / Fraction(9, 10))
    assert [f"{float(t):.2f}" for t in found] == ["22.29", "11.24", "11.11"]
    assert found[2] == Fraction(100, 9)
    shape = servegen("m-large")
    for capacity, exact in zip((20, 30, 42), found, strict=True):
        steps = staircase.Staircase.of(
            staircase.demand(shape, "autoscaled"), end=400 / (0.8 * capacity)
        )
        own = float(steps.crossing(0.9 * capacity * 0.8 / 10)[0]) * 0.8 * capacity
        assert own == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(
    ("per_h", "idle_s", "up", "wakes"), [(1, 3600, ".632", ".368"), (1, 300, ".080", ".920")]
)
def test_scale_to_zero_as_published(per_h: float, idle_s: float, up: str, wakes: str) -> None:
    found = cost.scale_to_zero(per_h / 3600, idle_s)
    assert f"{found.up_share:.3f}".removeprefix("0") == up
    assert f"{found.wakes_per_h:.3f}".removeprefix("0") == wakes
    assert found.misses_per_h == 0


def test_scale_to_zero_against_simulated_arrivals() -> None:
    """Poisson arrivals walked one by one, 300,000 of them; 4 standard errors of the wakes, seed 1:
    a false alarm has probability below 1e-3."""
    rate, idle, cold, limit = 1 / 60, 90.0, 40.0, 10.0
    rng = np.random.default_rng(1)
    at = np.cumsum(rng.exponential(1 / rate, 300_000))
    up, wakes, misses, down_at, late_until = 0.0, 0, 0, -math.inf, -math.inf
    for t in at.tolist():
        if t > down_at:
            wakes += 1
            late_until = t + cold - limit
            up += idle
        else:
            up += t + idle - down_at
        misses += t <= late_until
        down_at = t + idle
    hours = at[-1] / 3600
    found = cost.scale_to_zero(rate, idle, cold, limit)
    error = 4 / math.sqrt(wakes)
    assert up / at[-1] == pytest.approx(found.up_share, rel=error)
    assert wakes / hours == pytest.approx(found.wakes_per_h, rel=error)
    assert misses / hours == pytest.approx(found.misses_per_h, rel=error)
    assert found.miss_share == pytest.approx(found.misses_per_h / (rate * 3600))


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60), st.floats(0.0, 0.99), st.floats(0.1, 50)
)
def test_best_commitment_is_the_cheapest(
    replicas: list[int], discount: float, group: float
) -> None:
    needed = np.array(replicas)
    best = cost.best_commitment(needed, discount)
    bills = [cost.committed_usd_per_h(needed, group, discount, c) for c in range(42)]
    own = cost.committed_usd_per_h(needed, group, discount, best)
    assert own == pytest.approx(min(bills), rel=1e-9, abs=1e-9)
    if discount > 0 and best:  # the d-quantile: one less would be used too often
        assert (needed <= best).mean() >= discount - 1e-9
        assert (needed <= best - 1).mean() < discount + 1e-9


def test_commitment_by_hand() -> None:
    """R = 1 1 2 4, d = 50 %: P(R <= 1) = .5, so one; 10 (.5 x 1 + (0 + 0 + 1 + 3)/4) = 15."""
    needed = np.array([1, 1, 2, 4])
    assert cost.best_commitment(needed, 0.5) == 1
    assert cost.committed_usd_per_h(needed, 10.0, 0.5, 1) == 15.0
    assert cost.best_commitment(needed, 0.0) == 0


def test_utilisation_and_cost_of_a_token_by_hand() -> None:
    """30 M tok/h on 2 replicas of 20 M at $10: 75 % used, $20/30 M = $0.667 a million."""
    used = cost.utilisation(30e6, 20e6, 2)
    assert used == 0.75
    assert cost.usd_per_mtok(10.0, 20e6, used) == pytest.approx(20 / 30)
    assert cost.on_demand_usd_per_h(10.0, 2) == 20.0
    rates = tariff_of(GUIDE, "deepseek-v3").point()
    # 10 requests/s of 1,200 tokens are 43.2 M tok/h at $0.90
    assert cost.serverless_usd_per_h(10, Mix(1000, 200), rates) == pytest.approx(43.2 * 0.9)
