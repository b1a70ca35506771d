"""Reads the files of `empirical` distributions: quantile tables, or one row a draw."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.scenario._files import FileFault, open_text
from harness.scenario.distributions import MOST_TOK

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class QuantileTable:
    """An inverse CDF. q: [n] ascending from 0 to 1.  value: [n] not descending.

    Between rows it is linear; that is how a draw and the mean are taken.
    """

    q: FloatArray
    value: FloatArray

    def below(self, limit: float | None) -> QuantileTable:
        """The table of draws of at most `limit` (others are drawn again); ValueError if none."""
        if limit is None or self.value[-1] <= limit:
            return self
        if self.value[0] > limit:
            raise ValueError(f"no draw is {limit:g} or less; the smallest is {self.value[0]:g}")
        k = int(np.searchsorted(self.value, limit, side="right"))
        low, high = self.value[k - 1], self.value[k]
        q = np.append(
            self.q[:k],
            self.q[k - 1] + (limit - low) / (high - low) * (self.q[k] - self.q[k - 1]),
        )
        value = np.append(self.value[:k], limit)
        if q[-1] == 0:  # only the very smallest value is that small
            return QuantileTable(np.array([0.0, 1.0]), np.repeat(value[:1], 2))
        return QuantileTable(q / q[-1], value)

    @property
    def mean(self) -> float:
        """Mean of the draws: the area under value over q."""
        return float(np.sum(np.diff(self.q) * (self.value[1:] + self.value[:-1]) / 2))


def read_table(path: Path, column: str) -> QuantileTable:
    """The quantile table of one column of a CSV; lines that start with # are comments.

    With a column `q` the rows are quantiles and must reach from 0 to 1; else each row is a draw
    and the empirical quantiles (type 7) are taken.  Raises FileFault naming the line.
    """
    with open_text(path) as text:
        lines = [(i, line) for i, line in enumerate(text, 1) if not line.startswith("#")]
        lines = [(i, line) for i, line in lines if line.strip()]
        if len(lines) < 2:
            raise FileFault(f"{path.name} holds no rows")
        first, *cells = csv.reader(line for _, line in lines)
    header = [name.strip() for name in first]
    if column not in header:
        raise FileFault(f"{path.name} has no column '{column}'; it has {', '.join(header)}")
    numbers = [number for number, _ in lines[1:]]
    value = _column(path, cells, numbers, header.index(column), column)
    if "q" not in header or column == "q":
        ordered = np.sort(value)
        q = np.linspace(0.0, 1.0, len(ordered)) if len(ordered) > 1 else np.array([0.0, 1.0])
        return QuantileTable(q, ordered if len(ordered) > 1 else np.repeat(ordered, 2))
    q = _column(path, cells, numbers, header.index("q"), "q")
    if q[0] != 0 or q[-1] != 1 or np.any(np.diff(q) <= 0):
        raise FileFault(f"column q of {path.name} must rise from 0 to 1")
    if np.any(np.diff(value) < 0):
        line = numbers[int(np.flatnonzero(np.diff(value) < 0)[0]) + 1]
        raise FileFault(f"line {line} of {path.name}: '{column}' falls although q rises")
    return QuantileTable(q, value)


def _column(
    path: Path, cells: list[list[str]], numbers: list[int], index: int, name: str
) -> FloatArray:
    found: list[float] = []
    for line, row in zip(numbers, cells, strict=False):
        try:
            value = float(row[index])
        except (IndexError, ValueError):
            value = math.nan
        if not 0 <= value <= MOST_TOK:  # false for NaN too
            raise FileFault(
                f"line {line} of {path.name}: '{name}' is not a number from 0 to {MOST_TOK:,}"
            )
        found.append(value)
    return np.array(found, np.float64)
