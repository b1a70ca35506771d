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
from harness.analysis.goodput import effective_slo, margin_design_effect, request_limits
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
        _grid(scope, own, frame, values, members & frame.scope(scope), slo.attainment)
        for scope, own in scopes
        if own
    )


def _grid(
    scope: str,
    limits: dict[str, float],
    frame: Frame,
    values: dict[str, FloatArray],
    members: BoolArray,
    share: float | None,
) -> SloGrid:
    ttft_s, tpot_s = (_stops(limits.get(m), _NO_LIMIT[m]) for m in ("ttft", "tpot"))
    ok = frame.is_success.copy()
    for metric, limit in limits.items():
        if metric not in _NO_LIMIT:
            with np.errstate(invalid="ignore"):
                ok &= np.isnan(values[metric]) | (values[metric] <= limit)
    rest = np.where(frame.is_success, 0.0, np.inf)
    for metric, limit in limits.items():
        if metric not in _NO_LIMIT:
            rest = np.maximum(rest, np.nan_to_num(values[metric] / max(limit, 1e-12)))
    seen = _Seen(
        _first_stop(values["ttft"], ttft_s)[members], _first_stop(values["tpot"], tpot_s)[members],
        ok[members], np.nan_to_num(values["ttft"])[members], np.nan_to_num(values["tpot"])[members],
        rest[members],
    )  # fmt: skip
    good, n_eff = _cells(seen, ttft_s, tpot_s, share)
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


@dataclass(frozen=True, slots=True)
class _Seen:
    """[n] of the scope's requests: strictest stops kept, whether all else is, values, and the
    largest of value / limit over every other limit."""

    rows: IntArray
    columns: IntArray
    ok: BoolArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    rest: FloatArray


def _cells(
    seen: _Seen, ttft_s: Sequence[float], tpot_s: Sequence[float], share: float | None
) -> tuple[IntArray, FloatArray]:
    """[24, 24] counts that keep both stops, and the effective size as slo_attainment has it."""
    n, ok = len(seen.ok), seen.ok
    counts = np.zeros((NUM_STOPS, NUM_STOPS), dtype=np.int64)
    np.add.at(counts, (seen.rows[ok], seen.columns[ok]), 1)
    counts = counts.cumsum(axis=0).cumsum(axis=1)
    deff = np.ones(counts.shape)
    for i in range(NUM_STOPS):
        for j in range(NUM_STOPS):
            # sets of neighbouring cells are nested: equal counts are the same requests
            if i and counts[i, j] == counts[i - 1, j]:
                deff[i, j] = deff[i - 1, j]
            elif j and counts[i, j] == counts[i, j - 1]:
                deff[i, j] = deff[i, j - 1]
            elif 0 < counts[i, j] < n:
                deff[i, j] = design_effect(ok & (seen.rows <= i) & (seen.columns <= j))
    if share is None:
        return counts, n / deff
    of_margin = np.ones(counts.shape)
    for i, j in zip(*np.nonzero(counts), strict=True):
        margin = np.maximum(seen.ttft_s / ttft_s[i], seen.tpot_s / tpot_s[j])
        of_margin[i, j] = margin_design_effect(np.maximum(margin, seen.rest), share)
    return counts, n / np.maximum(deff, of_margin)
