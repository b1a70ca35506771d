"""The gate's promises on the simulated engine: false alarms, power, drift, looks, coverage.

Seeds are fixed, so these are facts, not chances; each bound states how rarely another seed would
break it. Numbers of gates are such that the whole file takes some ten seconds.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from harness.analysis.autocorrelation import design_effect
from harness.analysis.bootstrap import ratio_intervals
from harness.analysis.intervals import clopper_pearson
from harness.analysis.paired import SubsetMeans
from harness.analysis.pooled import effective_size
from harness.analysis.quantiles import STATS, Sample, interval, pair_at, type7
from harness.analysis.sessions import SessionShift
from harness.decisions.looks import Look, plan_looks
from harness.decisions.relative import Evidence, judge_relative
from harness.estimate import Outcome
from harness.scenario.gate import Gate


def _load() -> ModuleType:
    path = Path(__file__).with_name("s1.py")
    spec = importlib.util.spec_from_file_location("s1", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["s1"] = module
    spec.loader.exec_module(module)
    return module


s1 = _load()
LIGHT, MEDIUM = 4.0, 8.0  # requests/s: 35 % and 70 % of what it serves
GATE = Gate.model_validate(
    {
        "candidate": "b",
        "baseline": {"kind": "target", "target": "a"},
        "blocks": 8,
        "max_blocks": 16,
        "rules": [
            {"kind": "relative", "id": name.replace(" ", "-"), "metric": name.split()[0],
             "stat": name.split()[1], "max_increase": limit}
            for name, limit in zip(s1.NAMES, ("5%", "10%", "5%"), strict=True)
        ],
    }
)  # fmt: skip
ONE_LOOK = GATE.model_copy(update={"max_blocks": None})


def gates(num: int, rate: float, slowdown: float, blocks: int, seed: int, **how: object):  # type: ignore[no-untyped-def]
    """[num, blocks, 3] differences."""
    rng = np.random.default_rng(seed)
    return np.array([s1.differences(rng, rate, blocks, slowdown, **how) for _ in range(num)])


def verdict(d, gate: Gate, look: Look) -> Outcome:  # type: ignore[no-untyped-def]
    evidence = []
    for column, rule in enumerate(gate.relative):
        shift = SubsetMeans.of(d[: look.k, column])
        evidence.append(Evidence(rule, shift, shift.k, shift.sd))
    outcomes = [j.outcome for j in judge_relative(evidence, look)]
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    return Outcome.INCONCLUSIVE if Outcome.INCONCLUSIVE in outcomes else Outcome.PASS


def with_looks(d) -> tuple[Outcome, int]:  # type: ignore[no-untyped-def]
    """The verdict of a gate that looks at 8, 12 and 16 blocks, and how many it took."""
    found, look = Outcome.INCONCLUSIVE, Look(8, 0.05)
    for look in plan_looks(GATE):
        found = verdict(d, GATE, look)
        if found is not Outcome.INCONCLUSIVE:
            break
    return found, look.k


@pytest.fixture(scope="module")
def alike():  # type: ignore[no-untyped-def]
    """400 A/A gates of 16 blocks at 70 % load."""
    return gates(400, MEDIUM, 0.0, 16, seed=1)


# -- 1: false alarms ---------------------------------------------------------------------------


def test_each_test_rejects_five_percent_of_gates_without_a_change(alike) -> None:  # type: ignore[no-untyped-def]
    """5 +- 2 %: with 400 gates the standard error is 1.1 %, so another seed breaks it 1 in 15."""
    for column in range(3):
        p = [SubsetMeans.of(d[:8, column]).p_two_sided() for d in alike]
        assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07


def test_the_whole_gate_rarely_fails_without_a_change(alike) -> None:  # type: ignore[no-untyped-def]
    one = [verdict(d, ONE_LOOK, plan_looks(ONE_LOOK)[0]) for d in alike]
    looked = [with_looks(d)[0] for d in alike]
    assert one.count(Outcome.FAIL) / 400 <= 0.05
    assert looked.count(Outcome.FAIL) / 400 <= 0.05


def test_tests_over_pooled_requests_fail_the_same_check() -> None:
    """What the gate does not do: requests taken as replicates, 8 runs x 300 an arm."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(40):
        arms = [
            np.concatenate([s1.run(s1.schedule(rng, MEDIUM, 300), rng)[1] for _ in range(8)])
            for _ in range(2)
        ]
        alarms += stats.mannwhitneyu(*arms).pvalue < 0.05
    assert alarms / 40 > 0.3  # where 5 % is promised


# -- 2: power ----------------------------------------------------------------------------------


def test_five_percent_slower_steps_are_seen_with_eight_blocks() -> None:
    """At 70 % load: each test rejects >= 90 %, the gate fails >= 80 %, with looks >= 90 %."""
    slow = gates(150, MEDIUM, 0.05, 16, seed=2)
    for column in range(3):
        p = np.array([SubsetMeans.of(d[:8, column]).p_two_sided() for d in slow])
        assert np.mean(p <= 0.05) >= 0.90
    one = [verdict(d, ONE_LOOK, plan_looks(ONE_LOOK)[0]) for d in slow]
    assert one.count(Outcome.FAIL) / len(slow) >= 0.80
    looked = [with_looks(d) for d in slow]
    assert sum(found is Outcome.FAIL for found, _ in looked) / len(slow) >= 0.90
    assert np.mean([k for _, k in looked]) < 12  # most are decided at the first look
    assert sum(found is Outcome.PASS for found, _ in looked) == 0


def test_a_quiet_load_passes_what_did_not_change() -> None:
    """At 35 % load, where engine latency should be gated: most gates of the same thing pass."""
    found = [with_looks(d)[0] for d in gates(100, LIGHT, 0.0, 16, seed=3)]
    assert found.count(Outcome.PASS) >= 80
    assert found.count(Outcome.FAIL) <= 5


# -- 3: drift ----------------------------------------------------------------------------------


def test_interleaving_is_proof_against_drift() -> None:
    """10 % slower from the first run to the last, the same engine in both arms."""
    rates = {}
    for order in ("ABBA", "AAAABBBB"):
        drifting = gates(150, LIGHT, 0.0, 8, seed=4, drift=0.10, order=order)
        p = [SubsetMeans.of(d[:, 0]).p_two_sided() for d in drifting]
        rates[order] = float(np.mean(np.array(p) <= 0.05))
    assert rates["ABBA"] < 0.07
    assert rates["AAAABBBB"] > 0.80


def test_one_schedule_in_both_arms_buys_most_of_the_power() -> None:
    """SD of log(B / A) of ttft p95: one schedule against two independent ones."""
    rng = np.random.default_rng(5)
    paired = s1.differences(rng, MEDIUM, 60)[:, 1].std(ddof=1)
    lone = [s1.numbers(s1.schedule(rng, MEDIUM, 300), rng, 0.0, 0.0)[1] for _ in range(120)]
    apart = np.log(np.array(lone[:60]) / np.array(lone[60:])).std(ddof=1)
    assert apart > 2.5 * paired


# -- 4: coverage -------------------------------------------------------------------------------


def test_coverage_of_the_paired_interval_on_the_engine(alike) -> None:  # type: ignore[no-untyped-def]
    """The truth is 0; exact under symmetry. 400 gates: three standard errors are 3.3 %."""
    for column in range(3):
        hits = 0
        for d in alike:
            ends = SubsetMeans.of(d[:8, column]).interval()
            assert ends.low is not None
            assert ends.high is not None
            hits += ends.low <= 0 <= ends.high
        assert hits / 400 >= 0.93


@pytest.fixture(scope="module")
def long_runs():  # type: ignore[no-untyped-def]
    """200 runs of 3,000 requests at 70 % load, all at one speed: what differs is the requests."""
    rng = np.random.default_rng(6)
    return [s1.run(s1.schedule(rng, MEDIUM, 3000), rng, cv=0.0) for _ in range(200)]


@pytest.mark.parametrize(
    ("column", "stat", "naive_at_most"), [(0, "p50", 0.85), (0, "p95", 0.75), (1, "p50", 0.40)]
)
def test_coverage_of_a_quantile_with_autocorrelation(  # type: ignore[no-untyped-def]
    long_runs, column: int, stat: str, naive_at_most: float
) -> None:
    """>= 90 % with the design effect, where the naive interval holds the truth far too rarely.

    The truth: the quantile of all runs pooled. 200 runs: the standard error of 95 % is 1.5 %.
    """
    p = STATS[stat]
    series = [run[column] for run in long_runs]
    truth = type7(np.sort(np.concatenate(series)), p)
    hits = naive = 0
    for values in series:
        ordered = np.sort(values)
        deff = design_effect(values <= type7(ordered, p))
        with_deff = interval(ordered, p, len(values) / deff)
        without = interval(ordered, p, float(len(values)))
        assert with_deff.low is not None
        assert with_deff.high is not None
        assert without.low is not None
        assert without.high is not None
        hits += with_deff.low <= truth <= with_deff.high
        naive += without.low <= truth <= without.high
    assert hits / len(series) >= 0.90
    assert naive / len(series) <= naive_at_most


def test_coverage_of_a_pooled_quantile_over_runs() -> None:
    """8 runs whose medians scatter by 10 %: requests alone claim a width that is not there."""
    rng = np.random.default_rng(8)
    hits = naive = 0
    for _ in range(300):
        level = np.exp(rng.normal(0, 0.10, 8))
        parts = [m * rng.lognormal(0, 0.5, 300) for m in level]
        ordered = np.sort(np.concatenate(parts))
        value = type7(ordered, 0.5)
        n_eff = effective_size([part <= value for part in parts])
        ends, plain = interval(ordered, 0.5, n_eff), interval(ordered, 0.5, 2400.0)
        assert ends.low is not None
        assert ends.high is not None
        assert plain.low is not None
        assert plain.high is not None
        hits += ends.low <= 1.0 <= ends.high
        naive += plain.low <= 1.0 <= plain.high
    assert hits / 300 >= 0.90
    assert naive / 300 < 0.70


def test_coverage_of_a_share_whose_events_cluster() -> None:
    """Errors in bursts of 5 (a two-state chain, 3 % of the time): one-sided bounds of a verdict.

    18 bursts a run. With bursts of 20, four or five a run, the bound holds the truth in 84 % only:
    so few outages tell their own size badly, which is why uptime counts windows.
    """
    rng = np.random.default_rng(9)
    hits = naive = 0
    for _ in range(200):
        bad = _bursts(rng, 3000, enter=0.03 / 0.97 / 5, leave=1 / 5)
        k, n = int(bad.sum()), len(bad)
        wide = clopper_pearson(k, n, 0.95, design_effect(bad))
        plain = clopper_pearson(k, n, 0.95)
        assert wide.high is not None
        assert plain.high is not None
        hits += wide.high >= 0.03
        naive += plain.high >= 0.03
    assert hits / 200 >= 0.90
    assert naive / 200 < hits / 200


def _bursts(rng: np.random.Generator, n: int, enter: float, leave: float):  # type: ignore[no-untyped-def]
    state, rows = rng.random() < enter / (enter + leave), np.empty(n, dtype=np.bool_)
    for i, u in enumerate(rng.random(n)):
        rows[i] = state
        state = (u >= leave) if state else (u < enter)
    return rows


def test_coverage_of_a_throughput() -> None:
    """A rate that drifts about its mean (AR(1) over bins): block bootstrap of the ratio of sums."""
    rng = np.random.default_rng(10)
    hits = 0
    for _ in range(150):
        noise = rng.normal(0, 1, 150)
        series = np.empty(150)
        series[0] = noise[0] / math.sqrt(1 - 0.6**2)
        for i in range(1, 150):
            series[i] = 0.6 * series[i - 1] + noise[i]
        found = ratio_intervals(100 + 5 * series, np.ones(150), 1.0, 2.0, rng)
        assert found.shown.low is not None
        assert found.shown.high is not None
        hits += found.shown.low <= 100 <= found.shown.high
    assert hits / 150 >= 0.90


def test_coverage_of_a_new_session_against_stored_ones() -> None:
    """t with S - 1 degrees is exact for normal sessions: 95 % up to three standard errors."""
    rng = np.random.default_rng(11)
    hits = 0
    for row in rng.normal(0, 0.03, (1000, 7)):
        shift = SessionShift.of(list(row[:6]), float(row[6]))
        assert shift is not None
        ends = shift.interval()
        assert ends.low is not None
        assert ends.high is not None
        hits += ends.low <= 0 <= ends.high
    assert abs(hits / 1000 - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize(
    ("n", "p", "low", "high"),
    [
        (1000, 0.5, 469, 532), (300, 0.95, 277, 293), (1000, 0.99, 983, 997),
        (10_000, 0.99, 9_880, 9_920),
    ],
)  # fmt: skip
def test_ranks_of_a_quantile(n: int, p: float, low: int, high: int) -> None:
    ends = interval(np.arange(1.0, n + 1), p, float(n))
    assert (ends.low, ends.high) == (low, high)
    name = {0.5: "p50", 0.95: "p95", 0.99: "p99"}[p]
    shown = pair_at(Sample("ttft", "s", np.arange(1.0, n + 1)), np.arange(1.0, n + 1), name, p,
                    float(n), "m").shown  # fmt: skip
    assert (shown.low, shown.high) == (low, high)
