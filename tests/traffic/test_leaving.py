"""Who leaves and when; when probes and idle bursts are sent: by hand, and for any seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.schedule_file import read_schedule, write_schedule
from harness.scenario.document import IdleBurstStage
from harness.traffic import build_schedule, realised
from harness.traffic.arrivals import burst_times

NS = 1_000_000_000
POISSON = {"kind": "open", "arrival": {"kind": "poisson"}, "rate": "20/s", "duration": "60s"}
AFTER = {"kind": "uniform", "min": "200ms", "max": "3s"}


def _stage(make_point, materials, *classes, load=POISSON, seed=0):
    return build_schedule(make_point(load, *classes, seed=seed), materials).stages[0]


def test_a_seeded_share_leaves_within_the_asked_times(make_point, materials) -> None:
    stage = _stage(make_point, materials, {"cancel": {"share": "30%", "after": AFTER}})
    leaves = stage.cancel_ns >= 0
    n = len(stage)
    # binomial, five standard deviations: false alarm below 1e-6
    assert abs(leaves.sum() - 0.3 * n) < 5 * np.sqrt(0.3 * 0.7 * n)
    assert stage.cancel_ns[leaves].min() >= 0.2 * NS
    assert stage.cancel_ns[leaves].max() <= 3 * NS
    assert set(stage.cancel_tok.tolist()) == {-1}


def test_a_larger_share_keeps_whom_a_smaller_chose(make_point, materials) -> None:
    few = _stage(make_point, materials, {"cancel": {"share": "10%", "after": AFTER}})
    many = _stage(make_point, materials, {"cancel": {"share": "40%", "after": AFTER}})
    left = few.cancel_ns >= 0
    assert 0 < left.sum() < (many.cancel_ns >= 0).sum()
    assert np.array_equal(few.cancel_ns[left], many.cancel_ns[left])


def test_by_tokens_and_only_the_class_that_asks(make_point, materials) -> None:
    tokens = {"kind": "uniform", "min": 2, "max": 9}
    stage = _stage(
        make_point, materials,
        {"name": "a", "cancel": {"share": "100%", "after_tokens": tokens}}, {"name": "b"},
    )  # fmt: skip
    of_a = stage.class_id == 0
    assert set(stage.cancel_tok[of_a].tolist()) == set(range(2, 10))
    assert set(stage.cancel_tok[~of_a].tolist()) == {-1}
    assert set(stage.cancel_ns.tolist()) == {-1}


def test_leaving_changes_nothing_else_and_reaches_hash_and_file(
    make_point, materials, tmp_path
) -> None:
    plain = build_schedule(make_point(POISSON), materials)
    leaving = build_schedule(
        make_point(POISSON, {"cancel": {"share": "30%", "after": AFTER}}), materials
    )
    assert len(plain.stages[0].cancel_ns) == 0
    for name in ("intended_ns", "asked_in", "asked_out", "content_id"):
        before, after = (getattr(s.stages[0], name) for s in (plain, leaving))
        assert np.array_equal(before, after)
    assert plain.sha256() != leaving.sha256()
    for schedule in (plain, leaving):
        write_schedule(tmp_path / "s.parquet", schedule)
        assert read_schedule(tmp_path / "s.parquet").sha256() == schedule.sha256()


def test_a_probe_is_sent_every_so_often(make_point, materials) -> None:
    load = {"kind": "probe", "every": "30s", "duration": "2h", "warmup": "0s", "cooldown": "0s"}
    schedule = build_schedule(make_point(load), materials)
    stage = schedule.stages[0]
    assert stage.kind == "open"
    assert stage.intended_ns.tolist() == [30 * NS * k for k in range(240)]
    (told,) = realised(schedule)
    assert (told.cv, told.req_per_s) == (0.0, pytest.approx(1 / 30))


def test_a_probe_by_count(make_point, materials) -> None:
    load = {"kind": "probe", "every": "10s", "requests": 7, "warmup": "15s", "cooldown": "0s"}
    stage = _stage(make_point, materials, load=load)
    measured = stage.intended_ns[stage.intended_ns >= stage.warmup_ns]
    assert measured.tolist() == [10 * NS * k for k in range(2, 9)]


def test_idle_bursts_by_hand(make_point, materials) -> None:
    load = {
        "kind": "idle_burst", "idle": ["60s", "5min"], "requests": 3, "gap": "2s", "cycles": 2,
        "warmup": "10s",
    }  # fmt: skip
    stage = _stage(make_point, materials, load=load)
    seconds = (stage.intended_ns / NS).tolist()
    # warm-up burst 0 2 4; silence of 60 from the last send, of 300 after that, and again
    assert seconds == [0, 2, 4, 64, 66, 68, 368, 370, 372, 432, 434, 436, 736, 738, 740]
    assert stage.warmup_ns + stage.window_ns == 742 * NS  # one gap after the last


@given(
    st.lists(st.integers(2, 900), min_size=1, max_size=4), st.integers(2, 6), st.integers(1, 4),
    st.integers(0, 60),
)  # fmt: skip
def test_every_burst_follows_its_silence(idle, requests, cycles, warmup_s) -> None:
    stage = IdleBurstStage.model_validate(
        {"kind": "idle_burst", "idle": [f"{s}s" for s in idle], "requests": requests,
         "cycles": cycles}
    )  # fmt: skip
    at_ns = burst_times(stage, warmup_s * NS)
    measured = at_ns[at_ns >= warmup_s * NS]
    assert len(measured) == cycles * len(idle) * requests
    assert (np.diff(at_ns) > 0).all()
    before = at_ns[at_ns < warmup_s * NS]
    start = before[-1:] if len(before) else np.zeros(1, np.int64)
    lasts = np.concatenate([start, measured[requests - 1 :: requests]])
    silences, asked = (measured[::requests] - lasts[:-1]) / NS, np.tile(idle, cycles)
    assert np.allclose(silences, asked)  # the first too, however long the warm-up
