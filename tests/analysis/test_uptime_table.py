"""Three definitions of uptime over 30 days: they disagree, and by how much (decisions.md, 4)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from harness.analysis.availability import uptime_pairs, uptime_windows
from harness.analysis.frame import read_frame
from harness.analysis.intervals import clopper_pearson
from harness.records.schema import REQUEST_SCHEMA

DAYS, MINUTE_S, T0_NS = 30, 60.0, 10**15


def month(intended_s: np.ndarray, is_bad: np.ndarray) -> dict[str, float]:
    """stat -> uptime of a month of requests."""
    n = len(intended_s)
    known = {
        "intended_ns": pa.array(T0_NS + np.round(intended_s * 1e9).astype(np.int64)),
        "error_class": pa.array(np.where(is_bad, "http_5xx", "")),
        "class": pa.array(np.full(n, "chat")),
    }
    table = pa.table(
        {f.name: known.get(f.name, pa.nulls(n, f.type)) for f in REQUEST_SCHEMA}
    )  # fmt: skip
    frame = read_frame(table, T0_NS, T0_NS + DAYS * 86_400 * 10**9)
    windows = uptime_windows(frame, None)
    assert len(windows) == 8640
    found = {p.shown.stat: p.shown.value for p in uptime_pairs(frame, windows)}
    return {stat: value for stat, value in found.items() if value is not None}


def test_a_total_outage_at_night() -> None:
    """43.2 minutes from 02:00 of one night, when few are awake: 1 request a minute, 5 by day."""
    minute = np.arange(DAYS * 1440)
    hour = minute // 60 % 24
    per_minute = np.where((hour >= 6) & (hour < 22), 5, 1)
    at_s = (
        np.repeat(minute * MINUTE_S, per_minute)
        + np.concatenate([np.arange(k) * MINUTE_S / k for k in (1, 5)])[
            np.concatenate([np.arange(k) + (k > 1) for k in per_minute])
        ]
    )
    outage = (at_s >= 7_200) & (at_s < 7_200 + 43.2 * MINUTE_S)
    found = month(at_s, outage)
    assert found["requests"] > 0.9997  # R: about 100 %, hardly anybody was there
    # W: 8 whole windows and the ninth, which is bad for more than 5 % of its time
    assert found["ratio"] == pytest.approx(1 - 9 / 8640)
    assert round(100 * found["ratio"], 1) == 99.9
    # A: 43.2 minutes are 8.64 windows; requests fall on whole minutes
    assert found["mean"] == pytest.approx(1 - 8.8 / 8640)
    assert round(100 * found["mean"], 1) == 99.9


def test_a_constant_share_of_errors() -> None:
    """0.4 % of all, 50 requests a window: no window has more than 1 bad, 2 %."""
    at_s = np.arange(8640 * 50) * 6.0
    found = month(at_s, np.arange(len(at_s)) % 250 == 0)
    assert found["requests"] == pytest.approx(0.996)  # R: a breach of 99.9 %
    assert found["ratio"] == 1.0  # W: perfect
    assert found["mean"] == pytest.approx(0.996)  # A


def test_a_burst_of_failures_refutes_what_it_cannot_confirm() -> None:
    """5 of 1,000 refute 99.9 % (p = .0036); 300 clean ones show no more than 99.0 %."""
    from scipy import stats

    assert stats.binom.sf(4, 1000, 0.001) == pytest.approx(0.0036, abs=0.00005)
    low = clopper_pearson(5, 1000, 1 - 0.0037).low
    assert low is not None
    assert low > 0.001
    high = clopper_pearson(0, 300, 0.95).high
    assert high is not None
    assert round(100 * (1 - high), 1) == 99.0
