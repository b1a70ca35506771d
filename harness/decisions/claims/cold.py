"""C9: what the first request after a silence pays, against the others of its burst."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.multiplicity import holm
from harness.analysis.paired import SubsetMeans
from harness.decisions.claims.counted import OURS, ttft
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, Standing, missing
from harness.decisions.claims.paired import bounds
from harness.decisions.wording import percent_change
from harness.scenario.claims import Claim
from harness.units import write_seconds


def cold_start(claim: Claim, evidence: Evidence) -> Finding:
    """Of each burst after a silence: log TTFT of the first request over the others' mean log.

    `<=`: no cold start beyond the value, supported where every silence shows it, refuted where one
    contradicts it after Holm. `>`: there is one, the other way round.
    """
    measured = evidence.of(claim, "ttft")
    if not measured:
        return missing(claim, evidence.absence(claim, "ttft"))
    runs = [m for m in measured if m.summary.meta.idle_s]
    if not runs:
        return missing(claim, "no run with silences (load kind idle_burst) was given")
    limit, figures = math.log1p(claim.number), Figures()
    figures.add("measured on", targets_of(runs))
    pairs = {s: [d for m in runs for d in cold_pairs(m, s)] for s in _silences(runs)}
    lost = sum(not math.isfinite(d) for found in pairs.values() for d in found)
    # a first request that never came was colder than any: left out, it must not make one warm
    is_hidden = any(
        sum(math.isinf(d) for d in found) > claim.scope.margin * len(found)
        for found in pairs.values()
    )
    tests = {}
    for silence, found in pairs.items():
        known = [d for d in found if math.isfinite(d)]
        if known:
            tests[silence] = SubsetMeans.of(known)
    if lost:
        figures.add("bursts left out, a request of theirs failed", f"{lost}", float(lost))
    if not tests:
        return missing(claim, "no burst was answered whole")
    adjusted = holm([t.p_worse(limit) for t in tests.values()])
    few = min(t.k for t in tests.values())
    for (silence, t), p in zip(tests.items(), adjusted, strict=True):
        low, high = (percent_change(None if e is None else math.expm1(e)) for e in
                     bounds(t, claim.alpha))  # fmt: skip
        told = (
            f"{percent_change(math.expm1(t.mean))} ({low} to {high}), {t.k} bursts,"
            f" p = {p:.2g} after Holm"
        )
        figures.add(f"first after {write_seconds(silence)} against warm", told, t.mean)
    is_cold = any(p <= claim.alpha + 1e-12 for p in adjusted)
    is_warm = not is_hidden and len(tests) == len(pairs) and all(
        t.p_better(limit) <= claim.alpha + 1e-12 for t in tests.values()
    )  # fmt: skip
    worst = max(tests.values(), key=lambda t: t.mean)
    reason = (
        f"the first request after a silence takes {percent_change(math.expm1(worst.mean))} TTFT at"
        f" worst (limit {percent_change(claim.number)}, {len(tests)} silences)"
    )
    if few < claim.min_n:
        standing = Standing.INCONCLUSIVE
        reason = f"{few} bursts of a silence where {claim.min_n} are asked for; {reason}"
    elif claim.operator in ("<", "<="):
        standing = Standing.REFUTED if is_cold else (
            Standing.SUPPORTED if is_warm else Standing.INCONCLUSIVE
        )  # fmt: skip
    else:
        standing = Standing.SUPPORTED if is_cold else (
            Standing.REFUTED if is_warm else Standing.INCONCLUSIVE
        )  # fmt: skip
    if is_hidden:
        reason += "; of some, the first request failed in more bursts than can be left out"
    least, most = (None if e is None else math.expm1(e) for e in bounds(worst, claim.alpha))
    return Finding(
        claim, standing, reason, (), figures.done(), math.expm1(worst.mean), least, most, few
    )


def _silences(runs: Sequence[Measured]) -> list[float]:
    return sorted({s for m in runs for s in m.summary.meta.idle_s})


def cold_pairs(m: Measured, silence_s: float) -> list[float]:
    """One d a burst after that silence, in order; inf where its first request failed, NaN where it
    was refused (429, 4xx) or another failed."""
    frame = m.frame
    first = np.flatnonzero(frame.is_first)
    before = np.diff(frame.intended_s[first], prepend=-np.inf)
    known = np.unique(np.asarray(m.summary.meta.idle_s))
    index = np.searchsorted(known, before + 1e-6, side="right") - 1
    values_of, is_ours = ttft(frame).values, frame.is_class(*OURS)
    begins = [i for i in range(len(first)) if index[i] >= 0]
    found = []
    for place, i in enumerate(begins):
        end = begins[place + 1] if place + 1 < len(begins) else len(first)
        rows = first[i:end]
        if known[index[i]] != silence_s or not frame.is_measured[rows[0]] or len(rows) < 2:
            continue
        values = values_of[rows]
        if not np.isfinite(values).all() or (values <= 0).any():
            hides = not np.isfinite(values[0]) and not is_ours[rows[0]]
            found.append(math.inf if hides else math.nan)
            continue
        logs = np.log(values)
        found.append(float(logs[0] - logs[1:].mean()))
    return found
