"""Where the share of good requests falls below what is asked, with windows as the sample.

A window's luck (a neighbour on the machine, a slow process, one burst) is shared by all its
requests, so nothing inside a window shows it; only other windows do. One falling logistic curve
over log rate is fitted to the shares of all windows by quasi-likelihood, each window counting
once, and its dispersion is what they scatter around it (Wedderburn 1974; McCullagh and Nelder
1989, section 9.3), never less than their requests scatter by themselves. The interval inverts the
F test of the crossing with the slope profiled out, degrees of freedom from the windows that tell
of the crossing: those all good or all bad tell nothing. Only the curve's mean has to be right, not
the law of the luck. Where far rates do not lie on such a curve (a class that always fails, a share
that stays at a half) they are left out; where the rates beside the crossing are more than a fifth
apart nothing shows the curve's shape between them, and the interval spans both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from harness.analysis.autocorrelation import FloatArray
from harness.decisions.levels import MOST_LOOKS, Level, Window

# One-sided, of the lower and the upper end. Shares near what is asked are skewed, many calm windows
# and a few bad ones: at 0.975 the lower end of the simulated engine's searches was too high in 8 %
CONFIDENCE = (0.995, 0.985)
LEAST_FREEDOM = 3.0  # fewer windows near the crossing do not show how much windows scatter
MISFIT = 4.0  # times the scatter about the crossing: far rates do not lie on one curve with it
STEEPEST = 6.0  # of the logit, over a gap between measured rates
WIDE = 1.2  # of such a gap, the upper rate over the lower
_SLOPES = np.geomspace(2.0, 2000.0, 36)  # of the share's logit over log rate
_STEP = 0.01  # of log rate; between candidates ends are interpolated
_BEYOND = 0.15  # of log rate: how far outside what was measured a crossing is looked for


@dataclass(frozen=True, slots=True)
class Crossing:
    """The profile of the crossing.

    value: req/s.  log_rate: [m] candidates, rising.  t2: [m] squared t statistic of each, 0 at the
    best.  dispersion: variance of the windows over that of their requests, at least 1.  num_near:
    how many windows tell of the crossing.  beside: measured rates about it, far apart, or None.
    """

    value: float
    log_rate: FloatArray
    t2: FloatArray
    dispersion: float
    num_near: float
    beside: tuple[float, float] | None = None

    @property
    def freedom(self) -> float:
        """Windows near the crossing less the two numbers that were fitted."""
        return self.num_near - 2

    @property
    def is_seen(self) -> bool:
        """Whether enough windows near the crossing show how much windows scatter."""
        return self.freedom >= LEAST_FREEDOM

    @property
    def low(self) -> float | None:
        """req/s; None where the interval leaves what was measured."""
        end = self._end(1, CONFIDENCE[0])
        return end if end is None or self.beside is None else min(end, self.beside[0])

    @property
    def high(self) -> float | None:
        """As low."""
        end = self._end(-1, CONFIDENCE[1])
        return end if end is None or self.beside is None else max(end, self.beside[1])

    @property
    def ratio(self) -> float:
        """How wide it is, upper end over lower, of the windows alone; infinite without both."""
        low, high = self._end(1, CONFIDENCE[0]), self._end(-1, CONFIDENCE[1])
        return math.inf if low is None or high is None else high / low

    @property
    def scatter(self) -> float:
        """How far one window alone misses the crossing, as its standard deviation in log rate."""
        return math.log(self.ratio) / _width(self.freedom) * math.sqrt(self.num_near)

    def masses(self, rates: Sequence[float]) -> FloatArray:
        """[k] how much of the crossing's confidence lies nearest to each of the rising rates."""
        freedom = max(self.freedom, 1.0)
        weight = (1 + self.t2 / freedom) ** (-(freedom + 1) / 2)
        x = np.log(np.asarray(rates, dtype=np.float64))
        nearest = np.searchsorted((x[1:] + x[:-1]) / 2, self.log_rate)
        found = np.bincount(nearest, weights=weight, minlength=len(x))
        return np.asarray(found / found.sum())

    def _end(self, direction: int, confidence: float) -> float | None:
        x, t2 = self.log_rate[::direction], self.t2[::direction]
        limit = float(special.stdtrit(max(self.freedom, 1.0), confidence)) ** 2
        first = int(np.argmax(t2 <= limit))
        if first == 0:
            return None
        part = (limit - t2[first]) / max(t2[first - 1] - t2[first], 1e-12)
        return float(math.exp(x[first] + part * (x[first - 1] - x[first])))


def windows_needed(resolution: float, scatter: float) -> int:
    """Windows near the crossing that close an interval of high / low = 1 + resolution.

    scatter: of one window, as Crossing has it.
    """
    num = math.ceil(2 + LEAST_FREEDOM)
    while _width(num - 2.0) * scatter > math.log1p(resolution) * math.sqrt(num):
        num += 1
    return num


def _width(freedom: float) -> float:
    """From end to end, in standard errors."""
    return float(sum(special.stdtrit(max(freedom, 1.0), side) for side in CONFIDENCE))


def crossing_of(levels: Sequence[Level], share: float) -> Crossing | None:
    """None where no window was measured.  levels: by rising rate.  share: 0 < share < 1.

    A rate whose backlog grows (or that its errors end) in each of five windows has none good in the
    end, nor has a higher one where it always does. One where most windows are so is read both ways,
    as they were and as none good: the profile is the better of the two fits at each candidate, the
    value that of the second.
    """
    kept = [level for level in levels if level.windows]
    if not kept or not 0 < share < 1:
        return None
    x = [math.log(level.rate_req_per_s) for level in kept]
    steps = math.ceil((x[-1] - x[0] + 2 * _BEYOND) / _STEP)
    candidates: FloatArray = np.asarray(x[0] - _BEYOND + _STEP * np.arange(steps + 1))
    always = [all(w.is_alarm for w in level.windows) for level in kept]
    first = next(
        (k for k, level in enumerate(kept) if always[k] and len(level.windows) >= MOST_LOOKS),
        len(kept),
    )
    certain = [_none_good(lv) if always[k] and k >= first else lv for k, lv in enumerate(kept)]
    as_seen = _local_crossing(certain, share, candidates)
    # a lone window may grow its backlog by chance
    mostly = [len(lv.windows) > 1 and (not lv.is_stable or lv.is_stopped) for lv in certain]
    if not any(mostly):
        return as_seen
    every = [_none_good(lv) if is_so else lv for lv, is_so in zip(certain, mostly, strict=True)]
    in_the_end = _local_crossing(every, share, candidates)
    return replace(
        in_the_end,
        t2=np.minimum(as_seen.t2, in_the_end.t2),
        num_near=min(as_seen.num_near, in_the_end.num_near),
        dispersion=max(as_seen.dispersion, in_the_end.dispersion),
    )


def _about(levels: Sequence[Level], share: float) -> Sequence[Level]:
    """From the highest rate that holds with all below it to the lowest that misses with all above:
    those, and all between."""
    stands = [level.standing(share) for level in levels]
    first = next((k for k, s in enumerate(stands) if s != "holds"), len(stands))
    last = next((k for k, s in reversed([*enumerate(stands)]) if s != "misses"), -1)
    return levels[max(first - 1, 0) : last + 2]


def _none_good(level: Level) -> Level:
    none = tuple(Window(0, w.num_valid, w.n_eff, w.is_stable) for w in level.windows)
    return Level(level.rate_req_per_s, none)


def _local_crossing(levels: Sequence[Level], share: float, candidates: FloatArray) -> Crossing:
    """Of all rates, or of those about the crossing where the others do not lie on its curve."""
    whole = _crossing(levels, share, candidates)
    if whole.dispersion <= MISFIT:
        return whole
    local = _crossing(_about(levels, share), share, candidates)
    return local if whole.dispersion > MISFIT * local.dispersion else whole


def _crossing(levels: Sequence[Level], share: float, candidates: FloatArray) -> Crossing:
    rows = [
        (math.log(level.rate_req_per_s), w.num_good / max(w.num_valid, 1), w.n_eff)
        for level in levels
        for w in level.windows  # nobody answered: none good
    ]
    x, y, sizes = np.array(rows).T
    # what a window's requests are worth is itself an estimate, lower where many are bad: as
    # weights it would count bad windows less, so all get the mean
    size = max(float(sizes.mean()), 1.0)
    at, place = np.unique(x, return_inverse=True)
    num = np.bincount(place).astype(np.float64)
    mean = np.bincount(place, y) / num
    logit = math.log(share / (1 - share))
    fit, slope = _profile(at, mean, num, candidates, logit)
    best = int(fit.argmax())
    expected = special.expit(logit - slope[best] * (x - candidates[best]))
    # no slope shows that is steeper than the gap it falls in: else a cliff would count every window
    left = int(np.clip(np.searchsorted(at, candidates[best]) - 1, 0, max(len(at) - 2, 0)))
    gap = at[left + 1] - at[left] if len(at) > 1 else math.inf
    seen = special.expit(logit - min(slope[best], STEEPEST / gap) * (x - candidates[best]))
    near = seen * (1 - seen)
    num_near = float(near.sum() ** 2 / (near * near).sum()) if near.sum() > 1e-9 else 0.0
    spread = float((expected * (1 - expected)).sum()) + 1e-12
    scatter = float(((y - expected) ** 2).sum()) / spread * size
    dispersion = max(1.0, scatter * num_near / max(num_near - 2, 1.0))
    t2 = 2 * size * (fit[best] - fit) / dispersion
    ties = candidates[t2 <= 1e-3]  # a cliff fits as well anywhere in its gap
    value = (ties[0] + ties[-1]) / 2
    below = [level.rate_req_per_s for level in levels if math.log(level.rate_req_per_s) <= value]
    above = [level.rate_req_per_s for level in levels if math.log(level.rate_req_per_s) > value]
    is_wide = bool(below and above) and min(above) / max(below) > WIDE
    return Crossing(
        math.exp(value), candidates, t2, dispersion, num_near,
        (max(below), min(above)) if is_wide else None,
    )  # fmt: skip


def _profile(
    x: FloatArray, mean: FloatArray, num: FloatArray, candidates: FloatArray, logit: float
) -> tuple[FloatArray, FloatArray]:
    """Of each candidate the largest log likelihood over slopes, a window counting as one request,
    and the slope it has.  x, mean, num: [k] log rate, mean share and windows."""
    eta = logit - _SLOPES[None, :, None] * (x - candidates[:, None, None])
    # -log p = log(1 + e^-eta), and log(1 - p) = log p - eta
    soft = np.log1p(np.exp(-np.abs(eta))) + np.maximum(-eta, 0.0)
    value = -(soft @ num) - eta @ (num * (1 - mean))
    chosen = value.argmax(axis=1)
    return value[np.arange(len(candidates)), chosen], _SLOPES[chosen]
