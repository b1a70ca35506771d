"""How many requests would be good under other limits: exact counts on a grid of TTFT and TPOT.

24 by 24 limits, log spaced about the scenario's own; the last of each is "no limit". A limit is an
upper edge of its bin, so that each cell counts exactly the requests that keep both limits, and
every other limit of a good request as the scenario has it. Failures keep none. What each count is
worth after autocorrelation lies beside it, so that other limits are judged as strictly as the
scenario's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import BoolArray, FloatArray, Frame, IntArray
from harness.analysis.goodput import effective_slo, request_limits
from harness.scenario.slo import Slo

NUM_STOPS = 24
MIDDLE = 11  # the stop of the scenario's own limit: 1/24 to 24 times it can be asked for
_RATIO = 10 ** (1 / 8)
_NO_LIMIT = {"ttft": 1.0, "tpot": 0.05}  # about what the grid lies where the scenario sets none


@dataclass(frozen=True, slots=True)
class SloGrid:
    """scope: `all` or a class.  ttft_s, tpot_s: [24] limits, rising, the last infinite.

    default: the stops of the scenario's own limits.  num_good, n_eff: [24 * 24], row by row of
    TTFT: good requests of num_valid, and how many independent ones the whole sample is worth.
    """

    scope: str
    ttft_s: tuple[float, ...]
    tpot_s: tuple[float, ...]
    default: tuple[int, int]
    num_valid: int
    num_good: tuple[int, ...]
    n_eff: tuple[float, ...]


def slo_grids(
    frame: Frame,
    values: dict[str, FloatArray],
    slo: Slo,
    class_slos: dict[str, Slo],
    classes: Sequence[str],
) -> tuple[SloGrid, ...]:
    """One grid of all requests where every class has the same limits, and one a class.

    values: metric -> [n], NaN where the request does not have it.
    """
    members = frame.is_measured & frame.is_last & frame.is_valid
    names = [name for name in classes if (members & frame.scope(name)).any()]
    limits = {name: request_limits(effective_slo(slo, class_slos.get(name))) for name in names}
    scopes: list[tuple[str, dict[str, float]]] = []
    if names and all(limits[name] == limits[names[0]] for name in names):
        scopes.append(("all", limits[names[0]]))
    if len(names) > 1:
        scopes += limits.items()
    return tuple(
        _grid(scope, own, frame, values, members & frame.scope(scope))
        for scope, own in scopes
        if own
    )


def _grid(
    scope: str,
    limits: dict[str, float],
    frame: Frame,
    values: dict[str, FloatArray],
    members: BoolArray,
) -> SloGrid:
    ttft_s, tpot_s = (_stops(limits.get(m), _NO_LIMIT[m]) for m in ("ttft", "tpot"))
    ok = frame.is_success.copy()
    for metric, limit in limits.items():
        if metric not in _NO_LIMIT:
            with np.errstate(invalid="ignore"):
                ok &= np.isnan(values[metric]) | (values[metric] <= limit)
    rows = _first_stop(values["ttft"], ttft_s)[members]
    columns = _first_stop(values["tpot"], tpot_s)[members]
    good, n_eff = _cells(rows, columns, ok[members])
    default = tuple(MIDDLE if m in limits else NUM_STOPS - 1 for m in ("ttft", "tpot"))
    return SloGrid(
        scope, ttft_s, tpot_s, (default[0], default[1]), int(members.sum()),
        tuple(map(int, good.ravel())), tuple(round(float(v), 1) for v in n_eff.ravel()),
    )  # fmt: skip


def _stops(limit: float | None, otherwise: float) -> tuple[float, ...]:
    """The limit itself is a stop to the bit; the others are round to three digits, as printed."""
    centre = limit or otherwise
    found = [float(f"{centre * _RATIO ** (k - MIDDLE):.3g}") for k in range(NUM_STOPS - 1)]
    found[MIDDLE] = centre
    return (*found, math.inf)


def _first_stop(value: FloatArray, stops: Sequence[float]) -> IntArray:
    """[n] the strictest stop that the request keeps; 0 where it does not have the metric."""
    at = np.searchsorted(np.asarray(stops), value, side="left")
    return np.where(np.isnan(value), 0, at).astype(np.int64)


def _cells(rows: IntArray, columns: IntArray, ok: BoolArray) -> tuple[IntArray, FloatArray]:
    """[24, 24] counts that keep both stops, and the effective size of each indicator."""
    n = len(ok)
    counts = np.zeros((NUM_STOPS, NUM_STOPS), dtype=np.int64)
    np.add.at(counts, (rows[ok], columns[ok]), 1)
    counts = counts.cumsum(axis=0).cumsum(axis=1)
    n_eff = np.full(counts.shape, float(n))
    for i in range(NUM_STOPS):
        for j in range(NUM_STOPS):
            # sets of neighbouring cells are nested: equal counts are the same requests
            if i and counts[i, j] == counts[i - 1, j]:
                n_eff[i, j] = n_eff[i - 1, j]
            elif j and counts[i, j] == counts[i, j - 1]:
                n_eff[i, j] = n_eff[i, j - 1]
            elif 0 < counts[i, j] < n:
                n_eff[i, j] = n / design_effect(ok & (rows <= i) & (columns <= j))
    return counts, n_eff
