"""How many texts each embeddings request holds, and how long each of them is.

Drawn for a whole class at once, by the same numbers wherever it is asked for: the schedule needs
the sum of a request, its content each text. The k-th request of a class has the same texts whatever
other classes there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.scenario import document as doc

from .distributions import Tables, draw_counts
from .seeds import generator

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """num: [count] texts of each request.  tok: [sum of num] of each text; request k owns
    tok[starts[k]:starts[k + 1]]."""

    num: IntArray
    tok: IntArray
    starts: IntArray

    def sums(self) -> IntArray:
        """[count] tokens of each request."""
        if not len(self.num):
            return np.zeros(0, np.int64)
        return np.add.reduceat(self.tok, self.starts[:-1])

    def lengths(self, k: int) -> list[int]:
        """Of the texts of request k."""
        return [int(n) for n in self.tok[self.starts[k] : self.starts[k + 1]]]


def draw_batches(
    workload: doc.EmbeddingsWorkload, seed: int, name: str, stage: int, count: int, tables: Tables
) -> Batches:
    """What the `count` requests of class `name` hold in a stage."""
    num = draw_counts(
        workload.batch, generator(seed, "lengths", name, stage, "batch"), count, tables
    )
    starts = np.concatenate([[0], np.cumsum(num)]).astype(np.int64)
    rng = generator(seed, "lengths", name, stage, "input")
    return Batches(num, draw_counts(workload.input_tokens, rng, int(starts[-1]), tables), starts)
