"""How a server's pace wanders from one half minute to the next: what no draw of a fit can show.

A law is fitted to all of a sweep, minutes of it; a plan is about other minutes, in which
neighbours, clocks and heat make the same steps faster or slower. Each half minute of the sweep has
its own pace, the time of its steps over what the law says of them. How these scatter is how far
the next one may be: a prediction interval for one more block (Student's, of the logarithms), which
is wider than a confidence interval of the mean by the spread itself. What the law cannot follow of
the half minute's own mix of steps is in there, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

FloatArray = npt.NDArray[np.float64]
BLOCK_S = 30.0  # a window of a search and a run of the validation are about as long
LEAST_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class Drift:
    """sd: of the logarithm of a half minute's pace; 0 where too few were seen to say.  num_blocks:
    half minutes seen."""

    sd: float = 0.0
    num_blocks: int = 0

    @property
    def is_seen(self) -> bool:
        return self.num_blocks >= LEAST_BLOCKS

    def paces(self, num: int, rng: np.random.Generator) -> FloatArray:
        """[num] factors of time, in any order, at even steps of the distribution of the next half
        minute's: every draw counts, so chance has no say in how wide they lie."""
        if not self.is_seen or not num:
            return np.ones(num)
        share = (rng.permutation(num) + 0.5) / num
        spread = self.sd * math.sqrt(1 + 1 / self.num_blocks)
        return np.asarray(np.exp(spread * student.ppf(share, self.num_blocks - 1)))

    def low_high(self) -> tuple[float, float]:
        """Between which factors the next half minute's pace lies, 19 times in 20."""
        if not self.is_seen:
            return 1.0, 1.0
        spread = self.sd * math.sqrt(1 + 1 / self.num_blocks)
        most = math.exp(spread * float(student.ppf(0.975, self.num_blocks - 1)))
        return 1 / most, most

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        low, high = self.low_high()
        return {"sd": self.sd, "num_blocks": self.num_blocks, "low": low, "high": high}


def drift_of(at_s: Sequence[float], seen_s: FloatArray, law_s: FloatArray) -> Drift:
    """at_s: [n] when.  seen_s, law_s: [n] > 0, time of some steps and what the law says of them."""
    block = np.floor(np.asarray(at_s, np.float64) / BLOCK_S)
    keys = np.unique(block)
    if len(keys) < LEAST_BLOCKS:
        return Drift(0.0, len(keys))
    own = [block == key for key in keys]
    paces = np.log([float(seen_s[k].sum() / law_s[k].sum()) for k in own])
    return Drift(float(paces.std(ddof=1)), len(keys))
