"""A schedule is reproducible, and one class, stage or worker count changes nothing elsewhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.scenario.materials import DatasetRow, Materials, Trace
from harness.traffic import build_schedule, realised
from harness.traffic.seeds import generator

NS = 1_000_000_000
CHAT = {
    "kind": "chat",
    "input_tokens": {"kind": "lognormal", "median": 250, "p95": 1200, "max": 4000},
    "output_tokens": {"kind": "lognormal", "median": 120, "p95": 400, "max": 800},
}
POISSON = {
    "kind": "open", "arrival": {"kind": "poisson"}, "rate": "8/s", "duration": "60s"
}  # fmt: skip
CLOSED = {"kind": "closed", "concurrency": 500, "warmup": "10s", "duration": "30s", "ramp": "5s"}


@pytest.mark.parametrize("load", [POISSON, CLOSED])
def test_same_seed_same_bytes_other_seed_others(make_point, materials, load) -> None:
    first = build_schedule(make_point(load, seed=3), materials)
    again = build_schedule(make_point(load, seed=3), materials)
    other = build_schedule(make_point(load, seed=4), materials)
    assert first.sha256() == again.sha256() != other.sha256()


def test_every_array_reaches_the_hash(make_point, materials) -> None:
    leaves = {"cancel": {"share": "50%", "after": {"kind": "fixed", "value": "1s"}}}
    work = {"kind": "embeddings", "input_tokens": {"kind": "fixed", "value": 9}}
    embeds = {"name": "embed", "workload": work}
    clip = {"duration": {"kind": "fixed", "value": "1s"}}
    speaks = {"name": "speech", "workload": {"kind": "audio", "clip": clip}}
    schedule = build_schedule(make_point(CLOSED, leaves, embeds, speaks), materials)
    stage = schedule.stages[0]
    for field in dataclasses.fields(stage):
        value = getattr(stage, field.name)
        if isinstance(value, np.ndarray):
            changed = dataclasses.replace(stage, **{field.name: value + 1})
            assert dataclasses.replace(schedule, stages=(changed,)).sha256() != schedule.sha256()


@given(st.integers(0, 2**63), st.sampled_from("ab"), st.integers(0, 3))
def test_streams_differ_by_every_part_of_their_name(seed, name, stage) -> None:
    base = generator(seed, "lengths", name, stage, "input").integers(2**63)
    assert base == generator(seed, "lengths", name, stage, "input").integers(2**63)
    others = [
        generator(seed + 1, "lengths", name, stage, "input"),
        generator(seed, "content", name, stage, "input"),
        generator(seed, "lengths", name + "x", stage, "input"),
        generator(seed, "lengths", name, stage + 1, "input"),
        generator(seed, "lengths", name, stage, "output"),
    ]
    assert base not in {other.integers(2**63) for other in others}


def test_adding_a_class_changes_no_other_class(make_point, materials) -> None:
    one = build_schedule(make_point(POISSON, {"name": "a"}), materials).stages[0]
    both = build_schedule(make_point(POISSON, {"name": "a"}, {"name": "b"}), materials).stages[0]
    assert np.array_equal(one.intended_ns, both.intended_ns)
    mine = both.class_id == 0
    count = int(mine.sum())
    assert 0 < count < len(one)
    for name in ("asked_in", "asked_out", "content_id"):
        assert np.array_equal(getattr(one, name)[:count], getattr(both, name)[mine])
    assert not np.array_equal(both.asked_in[mine][:50], both.asked_in[~mine][:50])


def test_classes_are_drawn_by_weight(make_point, open_load, materials) -> None:
    """Binomial with n = 6,000, p = 0.7; 5 standard deviations: false alarm 6e-7, seed fixed."""
    load = open_load({"kind": "constant"}, "100/s", duration="60s")
    point = make_point(load, {"name": "a", "weight": 70}, {"name": "b", "weight": 30})
    stage = realised(build_schedule(point, materials))[0]
    assert stage.classes[0].share_ratio == pytest.approx(0.7, abs=5 * (0.21 / 6000) ** 0.5)


def test_lengths_meet_their_distribution(make_point, open_load, materials) -> None:
    """Median and p95 of 30,000 draws; max redrawn, so that nothing piles up at the limit."""
    load = open_load({"kind": "constant"}, "500/s", duration="60s")
    stage = build_schedule(make_point(load), materials).stages[0]
    assert np.median(stage.asked_in) == pytest.approx(250, rel=0.03)
    assert np.quantile(stage.asked_in, 0.95) == pytest.approx(1200, rel=0.05)
    assert stage.asked_in.max() <= 4000
    assert np.mean(stage.asked_in == 4000) < 0.001
    assert stage.asked_in.min() >= 1


def test_500_slots_start_spread_over_the_ramp(make_point, materials) -> None:
    stage = build_schedule(make_point(CLOSED), materials).stages[0]
    starts = np.sort(stage.slot_start_ns)
    assert stage.concurrency == 500
    assert 0 <= starts[0] <= starts[-1] < 5 * NS
    counts, _ = np.histogram(starts, bins=50, range=(0, 5 * NS))
    assert np.all(counts == 10)  # one start in each five-hundredth of the ramp
    assert len(np.unique(np.diff(starts))) > 400  # and yet not in step
    assert len(stage) >= 8 * 500


def test_think_times_and_counted_windows_of_closed_stages(make_point, materials) -> None:
    load = {
        "kind": "stages",
        "warmup": "5s",
        "stages": [
            {"name": "light", "kind": "closed", "concurrency": 1, "requests": 20,
             "think_time": {"kind": "uniform", "min": "1s", "max": "3s"}},
            {"name": "steady", "kind": "open", "arrival": {"kind": "poisson"}, "rate": "8/s",
             "requests": 320},
        ],
    }  # fmt: skip
    light, steady = build_schedule(make_point(load), materials).stages
    assert (light.num_measured, light.window_ns, light.name) == (20, 0, "light")
    assert NS <= light.think_ns.min() < light.think_ns.max() <= 3 * NS
    assert (steady.num_measured, steady.index, steady.warmup_ns) == (320, 1, 5 * NS)
    # stages draw from streams of their own
    assert not np.array_equal(light.asked_in[:20], steady.asked_in[:20])


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("load", [POISSON, CLOSED])
def test_shards_unite_to_the_same_schedule(make_point, materials, load, workers) -> None:
    stage = build_schedule(make_point(load), materials).stages[0]
    rows = np.arange(len(stage))
    owner = rows % workers if stage.kind == "open" else rows % stage.concurrency % workers
    shards = [rows[owner == w] for w in range(workers)]
    assert np.array_equal(np.sort(np.concatenate(shards)), rows)
    # each worker rebuilds the whole schedule on its own and finds the same rows
    rebuilt = [build_schedule(make_point(load), materials).stages[0] for _ in range(workers)]
    for shard, own in zip(shards, rebuilt, strict=True):
        assert np.array_equal(own.asked_in[shard], stage.asked_in[shard])
        assert np.array_equal(own.intended_ns[shard], stage.intended_ns[shard])


@pytest.mark.parametrize("order", ["sequential", "shuffled"])
def test_dataset_rows_each_once_a_pass(make_point, open_load, order) -> None:
    rows = tuple(DatasetRow(None, f"row {k}", k or None) for k in range(100))
    workload = {
        "kind": "dataset", "file": "d", "order": order,
        "output_tokens": {"kind": "fixed", "value": 7},
    }  # fmt: skip
    load = open_load({"kind": "constant"}, "10/s", duration="60s")
    stage = build_schedule(
        make_point(load, {"workload": workload}), Materials(datasets={"d": rows})
    )
    ids = stage.stages[0].content_id
    assert sorted(ids[:100]) == list(range(100)) == sorted(ids[100:200])
    assert (list(ids[:100]) == list(range(100))) == (order == "sequential")
    assert np.all(stage.stages[0].asked_in == -1)
    asked = stage.stages[0].asked_out
    assert np.array_equal(asked, np.where(ids == 0, 7, ids))


def test_prefix_groups_follow_their_popularity(make_point, open_load, materials) -> None:
    """Zipf weights of 4 groups against counts; chi-square at 1e-6, seed fixed."""
    from scipy import stats

    prefix = {"groups": 4, "tokens": 100, "popularity": {"kind": "zipf", "s": 1.1}}
    load = open_load({"kind": "constant"}, "100/s", duration="60s")
    fixed = {**CHAT, "input_tokens": {"kind": "fixed", "value": 200}}
    stage = build_schedule(make_point(load, {"prefix": prefix, "workload": fixed}), materials)
    counts = np.bincount(stage.stages[0].prefix_group, minlength=4)
    weight = np.arange(1, 5) ** -1.1
    expected = weight / weight.sum() * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-6
    assert np.all(stage.stages[0].asked_in == 300)


def test_an_impossible_length_is_a_clear_fault(make_point, materials) -> None:
    lengths = {"kind": "lognormal", "median": 1000, "p95": 1001, "max": 10}
    workload = {"kind": "chat", "input_tokens": lengths}
    with pytest.raises(UsageError, match="cannot be drawn below max 10"):
        build_schedule(make_point(POISSON, {"workload": workload}), materials)


def test_a_trace_without_arrivals_after_the_warm_up_is_a_clear_fault(make_point, open_load) -> None:
    trace = Trace(np.array([0.0, 1.0]), np.ones(2, np.int32), np.ones(2, np.int32))
    load = open_load({"kind": "trace", "file": "t", "format": "azure_csv"}, None, duration="60s")
    with pytest.raises(UsageError, match="0 arrivals after the warm-up"):
        build_schedule(make_point(load), Materials(traces={"t": trace}))


def test_realised_is_plain_json(make_point, materials) -> None:
    import json

    for load in (POISSON, CLOSED):
        (stage,) = realised(build_schedule(make_point(load), materials))
        assert json.loads(json.dumps(stage.to_json()))["classes"][0]["asked_in"]["max_tok"] <= 4000
        assert (stage.cv is None) == (load is CLOSED)


def test_a_closed_load_by_count_alone_makes_few_bodies(make_point, materials) -> None:
    """Four requests of 64 users are two rounds at most; a thousand long prompts take a minute."""
    load = {"kind": "closed", "concurrency": 64, "requests": 4, "warmup": "0s", "cooldown": "0s"}
    (stage,) = build_schedule(make_point(load=load), materials).stages
    assert len(stage) == 128
    assert stage.num_measured == 4
    load |= {"concurrency": 1, "requests": 10}
    (alone,) = build_schedule(make_point(load=load), materials).stages
    assert len(alone) == 11
    (warm,) = build_schedule(make_point(load=load | {"warmup": "1s"}), materials).stages
    assert len(warm) == 1024
