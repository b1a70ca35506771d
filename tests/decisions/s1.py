"""S1, the simulated engine: a naive stepper of a batching server, compiled, a run in half a ms.

Decode step 8 ms + 30 us x batch + 40 ns x KV tokens; prefill 6 ms + 50 us n + 0.1 ns n^2, one
prompt at a time before decoding; first come first served, batch 256, 400,000 KV tokens reserved for
input + output; step noise 2 %, run-to-run speed CV 2 %; Poisson arrivals, lengths like the public
Azure conversation trace (lognormal fits of its quantiles). Saturates a little above 11 requests/s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
MOST_BATCH, MOST_KV = 256, 400_000.0
STEP_NOISE, RUN_CV = 0.02, 0.02
WARMUP, COOLDOWN = 60, 20


@dataclass(frozen=True, slots=True)
class Schedule:
    """[n] arrivals in seconds, input and output tokens."""

    at_s: FloatArray
    n_in: npt.NDArray[np.int64]
    n_out: npt.NDArray[np.int64]


def schedule(rng: np.random.Generator, rate: float, requests: int) -> Schedule:
    """Warm-up and cool-down requests beside the measured ones. Means about 1,155 in, 211 out."""
    n = requests + WARMUP + COOLDOWN
    at_s = np.cumsum(rng.exponential(1 / rate, n))
    n_in = np.clip(rng.lognormal(np.log(1000), 0.55, n), 8, 4000).astype(np.int64)
    n_out = np.clip(rng.lognormal(np.log(160), 0.70, n), 4, 1000).astype(np.int64)
    return Schedule(at_s, n_in, n_out)


def run(
    plan: Schedule,
    rng: np.random.Generator,
    slowdown: float = 0.0,
    drift: float = 0.0,
    cv: float = RUN_CV,
) -> tuple[FloatArray, FloatArray]:
    """(ttft_s, tpot_s) of the measured requests; slowdown 0.05: every step 5 % longer."""
    speed = float(np.exp(rng.normal(0, cv))) * (1 + slowdown) * (1 + drift)
    first, last = _simulate(plan.at_s, plan.n_in, plan.n_out, speed, int(rng.integers(2**31)))
    ttft = first - plan.at_s
    tpot = (last - first) / np.maximum(plan.n_out - 1, 1)
    window = slice(WARMUP, len(ttft) - COOLDOWN)
    return ttft[window], tpot[window]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _simulate(at_s, n_in, n_out, speed, seed):  # type: ignore[no-untyped-def]
    np.random.seed(seed)
    n = len(at_s)
    first, last = np.zeros(n), np.zeros(n)
    active = np.zeros(MOST_BATCH, np.int64)
    left = np.zeros(n, np.int64)
    t, head, batch, kv, context = 0.0, 0, 0, 0.0, 0.0
    while head < n or batch > 0:
        if batch == 0 and at_s[head] > t:
            t = at_s[head]
        reserve = float(n_in[head] + n_out[head]) if head < n else 0.0
        fits = head < n and at_s[head] <= t and batch < MOST_BATCH and kv + reserve <= MOST_KV
        noise = speed * (1.0 + STEP_NOISE * np.random.standard_normal())
        if fits:
            i = head
            head += 1
            t += noise * (0.006 + 5e-5 * n_in[i] + 1e-10 * n_in[i] * n_in[i])
            first[i] = t
            last[i] = t
            if n_out[i] > 1:
                left[i] = n_out[i] - 1
                active[batch] = i
                batch += 1
                kv += reserve
                context += n_in[i] + 1.0
            continue
        t += noise * (0.008 + 3e-5 * batch + 4e-8 * context)
        j = 0
        while j < batch:
            i = active[j]
            left[i] -= 1
            context += 1.0
            if left[i] == 0:
                last[i] = t
                kv -= n_in[i] + n_out[i]
                context -= n_in[i] + n_out[i]
                batch -= 1
                active[j] = active[batch]
            else:
                j += 1
    return first, last


NAMES = ("ttft p50", "ttft p95", "tpot p50")


def numbers(plan: Schedule, rng: np.random.Generator, slowdown: float, drift: float) -> FloatArray:
    """[3] what one run gives: ttft p50 and p95, tpot p50."""
    ttft, tpot = run(plan, rng, slowdown, drift)
    return np.array([np.quantile(ttft, 0.5), np.quantile(ttft, 0.95), np.quantile(tpot, 0.5)])


def differences(
    rng: np.random.Generator,
    rate: float,
    num_blocks: int,
    slowdown: float = 0.0,
    requests: int = 300,
    drift: float = 0.0,
    order: str = "ABBA",
) -> FloatArray:
    """[num_blocks, 3] of log(B / A), each block one schedule in both arms.

    drift: by how much the last run is slower than the first.  order: ABBA, or AAAABBBB.
    """
    total = 2 * num_blocks
    rows = np.empty((num_blocks, 3))
    for block in range(num_blocks):
        plan = schedule(rng, rate, requests)
        if order == "ABBA":
            a_place, b_place = 2 * block, 2 * block + 1
            if block % 2:
                a_place, b_place = b_place, a_place
        else:
            a_place, b_place = block, num_blocks + block
        a = numbers(plan, rng, 0.0, drift * a_place / (total - 1))
        b = numbers(plan, rng, slowdown, drift * b_place / (total - 1))
        rows[block] = np.log(b / a)
    return rows
