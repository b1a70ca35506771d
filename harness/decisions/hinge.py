"""The step-time law fitted by weighted least absolute deviations, exactly.

    t = sum over steps of max(a0, b + a1 n) + d D + c K + e A + o + r N + g S + h I

n: tokens of a step, D: decoding sequences (what each costs beside its token: sampling, its row of
the block table), K: their context, A: sum of p (x + p/2) over chunks p after x earlier tokens, o:
what passes outside the engine, N: requests that came while others decoded, r: what one of them
keeps these waiting beside its tokens, S: prompt tokens read just before a step that reads none, g:
how much longer that takes for one of them, I: steps that are the first of their kind (reading
prompts, or not) since the server had nothing to do, h: how much longer these take.
With a1 >= 0 the maximum is flat up to one size and rising after it; for each place of that corner
the fit is a linear programme, so the best over all places is the best there is. Deviations are
relative (weight 1/t): a step of 2 ms counts as much as a prompt of 2 s. Least absolute deviations,
because a busy machine makes outliers, all late.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

NAMES = ("a0", "b", "a1", "d", "c", "e", "o", "r", "g", "h")
_NUM = len(NAMES)
MOST_CORNERS = 64  # tried one by one; of more sizes the best neighbourhood is searched
LEAST_COLD = 0.05  # share of a row's steps; a batch that starts once shows no cold step
_SMALL = 1e-9  # a0 is above this share of the smallest time


@dataclass(frozen=True, slots=True, eq=False)
class StepTimes:
    """n observations. sizes: [n, s] tokens of a step, counts: [n, s] steps of that size (0: none).
    num_seqs, context_tok, area, num_overheads, num_requests, after_tok, num_cold: [n].
    seconds: [n] > 0, of all steps of a row."""

    sizes: FloatArray
    counts: FloatArray
    num_seqs: FloatArray
    context_tok: FloatArray
    area: FloatArray
    num_overheads: FloatArray
    num_requests: FloatArray
    after_tok: FloatArray
    num_cold: FloatArray
    seconds: FloatArray

    def __len__(self) -> int:
        return len(self.seconds)

    def and_(self, other: StepTimes) -> StepTimes:
        """These rows, then the other's; both have s steps a row."""
        both = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return StepTimes(*(np.concatenate(pair) for pair in both))

    def take(self, index: npt.NDArray[np.int64]) -> StepTimes:
        return StepTimes(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Hinge:
    """Seconds, a token, a token squared, a request, as NAMES; loss: sum of |error| / time."""

    a0: float
    b: float
    a1: float
    d: float
    c: float
    e: float
    o: float
    loss: float
    corner: int  # how many of the distinct sizes lie on the flat part
    r: float = 0.0
    g: float = 0.0
    h: float = 0.0

    def predict(self, times: StepTimes) -> FloatArray:
        """[n] seconds."""
        linear = np.maximum(self.a0, self.b + self.a1 * times.sizes)
        steps = (linear * times.counts).sum(axis=1)
        extra = self.d * times.num_seqs + self.c * times.context_tok
        extra = extra + self.e * times.area + self.o * times.num_overheads
        extra = extra + self.r * times.num_requests + self.g * times.after_tok
        extra = extra + self.h * times.num_cold
        return np.asarray(steps + extra)

    def at_pace(self, pace: float) -> Hinge:
        """Everything takes that many times as long."""
        return replace(self, **{name: getattr(self, name) * pace for name in NAMES})


def fit_hinge(times: StepTimes, near: Hinge | None = None) -> Hinge:
    """The best fit; with `near`, found by descending from its corner (for resampled rows).

    Raises ValueError with fewer than two rows.
    """
    if len(times) < 2:
        raise ValueError("a step fit needs two observations at least")
    levels = _levels(times)
    known: dict[int, Hinge] = {}

    def loss_at(k: int) -> float:
        if k not in known:
            known[k] = _solve(times, levels, k)
        return known[k].loss

    if near is not None:
        corner_tok = max(0.0, (near.a0 - near.b) / near.a1) if near.a1 > 0 else np.inf
        begin = int(np.searchsorted(levels, corner_tok))
    else:
        stride = 1 + len(levels) // MOST_CORNERS
        begin = min((*range(0, len(levels), stride), len(levels)), key=loss_at)
    return known[_descend(loss_at, begin, len(levels))]


def _descend(loss_at: Callable[[int], float], begin: int, last: int) -> int:
    """The corner from which no smaller loss lies 4, 2 or 1 sizes away."""
    k = begin
    for stride in (4, 2, 1):
        while True:
            around = [j for j in (k - stride, k, k + stride) if 0 <= j <= last]
            best = min(around, key=loss_at)
            if loss_at(best) >= loss_at(k):
                break
            k = best
    return k


def _levels(times: StepTimes) -> FloatArray:
    """The distinct step sizes that occur, rising."""
    return np.unique(times.sizes[times.counts > 0])


def _solve(times: StepTimes, levels: FloatArray, corner: int) -> Hinge:
    """The linear programme where the first `corner` sizes are flat and the others rise.

    min sum u, u >= |A x - t| / t, x >= 0 but for b, and the law's own order at the corner:
    b + a1 n <= a0 for flat sizes, >= for rising ones.
    """
    from scipy.optimize import linprog

    is_flat = times.sizes <= (levels[corner - 1] if corner else -np.inf)
    flat = (times.counts * is_flat).sum(axis=1)
    rising = times.counts * ~is_flat
    columns = np.stack(
        [flat, rising.sum(axis=1), (rising * times.sizes).sum(axis=1), times.num_seqs,
         times.context_tok, times.area, times.num_overheads, times.num_requests,
         times.after_tok, times.num_cold], axis=1,
    )  # fmt: skip
    unit = times.seconds.min()  # seconds are counted in it, so that no coefficient is tiny
    scale = np.maximum(np.abs(columns).max(axis=0), 1.0)
    design = columns / scale / (times.seconds / unit)[:, None]
    n = len(times)
    cost = np.concatenate([np.zeros(_NUM), np.ones(2 * n)])
    equal = np.hstack([design, np.eye(n), -np.eye(n)])
    order = []
    if 0 < corner <= len(levels):
        order.append(_order(scale, levels[corner - 1], +1.0))
    if 0 < corner < len(levels):
        order.append(_order(scale, levels[corner], -1.0))
    bounds: list[tuple[float | None, float | None]] = [(0, None)] * (_NUM + 2 * n)
    bounds[1] = (None, None)
    least = np.where(np.array(NAMES) == "h", LEAST_COLD, 0.0)
    for j in np.flatnonzero(np.abs(columns).max(axis=0) <= least):  # not seen: not in the law
        if j not in (0, 1, 2):
            bounds[j] = (0, 0)
    if corner == 0:
        order.append(_order(scale, levels[0], +1.0) * -1.0)  # b + a1 n >= a0 = 0 at the least
    bounds[0] = (0, 0) if corner == 0 else (_SMALL * scale[0], None)
    bounds[2] = (0, 0) if corner == len(levels) else (0, None)
    upper = np.hstack([np.array(order), np.zeros((len(order), 2 * n))]) if order else None
    found = linprog(
        cost, A_ub=upper, b_ub=np.zeros(len(order)) if order else None, A_eq=equal,
        b_eq=np.ones(n), bounds=bounds, method="highs",
    )  # fmt: skip
    if found.x is None:
        return Hinge(**dict.fromkeys(NAMES, math.nan), loss=math.inf, corner=corner)
    x = found.x[:_NUM] / scale * unit
    a0, b, a1, d, c, e, o, r, g, h = (float(v) for v in x)
    if corner == 0:  # no flat part was seen: it begins below the smallest step
        # which may be nothing, or by rounding less; a step takes time
        a0 = max(b + a1 * float(levels[0]), _SMALL * float(unit))
    if corner == len(levels):
        b = a0
    return Hinge(a0, b, a1, d, c, e, o, float(found.fun), corner, r, g, h)


def _order(scale: FloatArray, size: float, sign: float) -> FloatArray:
    """sign (b + a1 size - a0) <= 0."""
    row = np.zeros(_NUM)
    row[:3] = sign * np.array([-1.0 / scale[0], 1.0 / scale[1], size / scale[2]])
    return row
