"""What A/A blocks tell of a machine: how much two runs of the same thing differ, and what follows.

d is a block's log(second arm / first arm), both arms being the same thing, so its scatter is noise
and nothing else. Var(d) / 2 is the variance between runs of one schedule; what Var(log m) has
beyond that is the schedule's. A limit below the noise floor asks for what cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.intervals import Interval, clopper_pearson
from harness.analysis.paired import SubsetMeans
from harness.analysis.power import noise_floor, smallest_visible
from harness.decisions.comparison import SHOWN
from harness.decisions.gate import Block
from harness.decisions.looks import Look
from harness.decisions.relative import Evidence, judge_relative, worse
from harness.decisions.stored import key_of, metric_key
from harness.estimate import Outcome
from harness.scenario.gate import Gate, RelativeRule

NUM_RESAMPLED = 2000
RECOMMENDED = 20


@dataclass(frozen=True, slots=True)
class Noise:
    """Of one metric, all on the scale of logs (about: shares). sigma: SD of d over k blocks.

    order_effect: mean d of AB blocks less that of BA blocks, with its standard error.  drift: of
    log m a block, with its own.  run_var, schedule_var: variance components (the second may come
    out below 0 where schedules hardly differ; then it is 0).
    """

    key: str
    k: int
    sigma: float
    order_effect: float
    order_se: float
    drift: float
    drift_se: float
    run_var: float
    schedule_var: float

    def floor(self, k: int) -> float:
        return noise_floor(self.sigma, k)

    def visible(self, k: int) -> float | None:
        return smallest_visible(self.sigma, k)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Alarms:
    """Gates of k blocks of the same thing that failed. disjoint: each block used once."""

    k: int
    num_disjoint: int
    num_alarms: int
    interval: Interval
    resampled: float


@dataclass(frozen=True, slots=True)
class Calibration:
    noise: tuple[Noise, ...]
    alarms: Alarms
    num_blocks: int

    @property
    def sigma(self) -> dict[str, float]:
        """metric key -> SD of d, as a gate reads it."""
        return {n.key: n.sigma for n in self.noise}


def calibrate(gate: Gate, blocks: Sequence[Block], rng: np.random.Generator) -> Calibration:
    """blocks: sound ones, at least 4, both arms the same thing.  rng: of the resampled gates."""
    keys = list(dict.fromkeys([*_usual(blocks), *map(key_of, gate.relative)]))
    found = [n for key in keys if (n := _noise(key, blocks)) is not None]
    return Calibration(tuple(found), _alarms(gate, blocks, rng), len(blocks))


def _usual(blocks: Sequence[Block]) -> list[str]:
    return [metric_key(m, s, stage) for stage in blocks[0].candidate for m, s in SHOWN]


def _logs(key: str, blocks: Sequence[Block]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """[k, 2] log of baseline and candidate; None where a run has no such number."""
    stage, metric, stat = key.split("/")
    rows = []
    for block in blocks:
        pair = [
            runs[stage].number(metric, stat).value for runs in (block.baseline, block.candidate)
        ]
        if any(v is None or not 0 < v < math.inf for v in pair):
            return None
        rows.append([math.log(v) for v in pair if v])
    return np.asarray(rows, dtype=np.float64)


def _noise(key: str, blocks: Sequence[Block]) -> Noise | None:
    logs = _logs(key, blocks)
    if logs is None:
        return None
    d, level = logs[:, 1] - logs[:, 0], logs.mean(axis=1)
    is_ab = np.array([b.order == "AB" for b in blocks])
    groups = [d[is_ab], d[~is_ab]]
    has_both = all(len(g) > 1 for g in groups)
    effect = float(groups[0].mean() - groups[1].mean()) if has_both else 0.0
    error = math.sqrt(sum(g.var(ddof=1) / len(g) for g in groups)) if has_both else math.nan
    drift, drift_se = _slope(level)
    run_var = float(d.var(ddof=1)) / 2
    # the mean of two runs of one schedule holds half of the run's own variance
    schedule_var = max(0.0, float(level.var(ddof=1)) - run_var / 2)
    return Noise(
        key, len(d), float(d.std(ddof=1)), effect, error, drift, drift_se, run_var, schedule_var
    )


def _slope(y: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Least squares against the block's place, and its standard error."""
    x = np.arange(len(y)) - (len(y) - 1) / 2
    sxx = float((x**2).sum())
    slope = float((x * y).sum() / sxx)
    residual = y - y.mean() - slope * x
    return slope, math.sqrt(float((residual**2).sum()) / (len(y) - 2) / sxx)


def _alarms(gate: Gate, blocks: Sequence[Block], rng: np.random.Generator) -> Alarms:
    """How often a gate of `blocks` blocks fails although both arms are the same."""
    k = min(gate.blocks, len(blocks))
    logs = {rule.id: _logs(key_of(rule), blocks) for rule in gate.relative}
    known = [(r, found) for r in gate.relative if (found := logs[r.id]) is not None]
    d = {
        rule.id: np.array([worse(rule.metric, *np.exp(pair)) for pair in found])
        for rule, found in known
    }
    rules = [rule for rule, _ in known]
    num = len(blocks) // k
    alarms = sum(
        _fails(rules, {i: v[j * k : (j + 1) * k] for i, v in d.items()}, gate.alpha)
        for j in range(num)
    )
    hits = 0
    for _ in range(NUM_RESAMPLED):
        chosen = rng.integers(0, len(blocks), k)
        # signs are flipped at random too: under A/A either arm may be called the first
        flips = rng.choice((-1.0, 1.0), k)
        hits += _fails(rules, {i: v[chosen] * flips for i, v in d.items()}, gate.alpha)
    return Alarms(k, num, alarms, clopper_pearson(alarms, num, 0.975), hits / NUM_RESAMPLED)


def _fails(
    rules: Sequence[RelativeRule], d: dict[str, np.ndarray[Any, np.dtype[np.float64]]], alpha: float
) -> bool:
    if not rules:
        return False
    evidence = []
    for rule in rules:
        shift = SubsetMeans.of(d[rule.id])
        evidence.append(Evidence(rule, shift, shift.k, shift.sd))
    judged = judge_relative(evidence, Look(len(d[rules[0].id]), alpha))
    return any(j.outcome is Outcome.FAIL for j in judged)
