"""Counts by time and latency: every request in its box, failures apart, none lost."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from harness.analysis import PointSummary, analyse_point
from harness.analysis.frame import read_frame
from harness.analysis.heatmap import MOST_COLUMNS, MOST_ROWS, Heatmap, latency_heatmap


def heatmap(rows: ModuleType, table: list[dict[str, Any]], window_s: float) -> Heatmap | None:
    end_ns = rows.T0_NS + round(window_s * 1e9)
    return latency_heatmap(read_frame(rows.requests(table), rows.T0_NS, end_ns))


def test_every_request_lies_in_its_box(rows: ModuleType) -> None:
    """30 s in boxes of 0.5 s: 100 ms until 20 s, 1 s after; one lost at 29.9 s."""
    table = [rows.row(float(t), [t + (0.1 if t < 20 else 1.0)]) for t in range(30)]
    table += [rows.row(29.9, error="connect", end=29.95), rows.row(-1.0, [0.5])]
    found = heatmap(rows, table, 30.0)
    assert found is not None
    assert found.bin_s == 0.5
    assert len(found.counts) == len(found.failed) == 60
    assert [sum(column) for column in found.counts] == [1, 0] * 30
    low, high = ({k for k, c in enumerate(column) if c} for column in (
        np.sum(found.counts[:40], axis=0), np.sum(found.counts[40:], axis=0)))  # fmt: skip
    ((fast,), (slow,)) = low, high
    assert found.edges_s[fast] <= 0.1 < found.edges_s[fast + 1]
    assert found.edges_s[slow] <= 1.0 < found.edges_s[slow + 1]
    assert (fast, slow) == (0, len(found.edges_s) - 2)
    assert [k for k, n in enumerate(found.failed) if n] == [59]
    assert found.thirds_s == (0.1, 0.1, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_and_the_page_stays_small(rows: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, window_s = 300, float(rng.uniform(3, 5000))
    starts = np.sort(rng.uniform(0, window_s, n))
    waits = rng.lognormal(-2, 2.5, n)  # over many decades
    failed = rng.random(n) < 0.1
    table = [
        rows.row(t, error="timeout", end=t + 1) if lost else rows.row(t, [t + w])
        for t, w, lost in zip(starts, waits, failed, strict=True)
    ]
    found = heatmap(rows, table, window_s)
    assert found is not None
    assert np.sum(found.counts) == n - failed.sum()
    assert sum(found.failed) == failed.sum()
    assert len(found.counts) <= MOST_COLUMNS
    assert len(found.edges_s) - 1 <= MOST_ROWS
    assert (np.diff(found.edges_s) > 0).all()
    ratio = np.diff(np.log(found.edges_s))
    assert np.allclose(ratio, ratio[0], rtol=1e-3)


def test_a_retried_request_counts_once_and_a_few_make_no_picture(rows: ModuleType) -> None:
    table = [rows.row(float(t), [t + 0.1], ordinal=t) for t in range(20)]
    again = [rows.row(3.0, error="http_429", end=3.1, ordinal=3, attempt=0)]
    table[3] = rows.row(3.0, [4.0], ordinal=3, attempt=1, released_ns=rows.ns(3.5))
    found = heatmap(rows, table + again, 20.0)
    assert found is not None
    assert (np.sum(found.counts), sum(found.failed)) == (20, 0)
    assert heatmap(rows, table[:19], 20.0) is None


def test_the_summary_keeps_it(rows: ModuleType) -> None:
    table = [rows.row(t / 4, [t / 4 + 0.1, t / 4 + 0.2]) for t in range(40)]
    summary = analyse_point(rows.requests(table), rows.clients(), rows.meta())
    assert summary.heatmap is not None
    assert summary.waterfall is not None
    again = PointSummary.from_json(summary.to_json())
    assert (again.heatmap, again.waterfall) == (summary.heatmap, summary.waterfall)
