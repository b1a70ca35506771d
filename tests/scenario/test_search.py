"""The search's part of the language: its lattice of points, what it needs, what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scenario import expand
from harness.scenario.advice import needed_to_hold
from harness.scenario.document import SearchSweep
from harness.scenario.search import Place, grid, index_of, lattice, place_of, windows_of

SEARCH = (
    "sweep: {kind: search, min: 1/s, max: 16/s}\nslo: {attainment: 90%, good_request: {ttft: 1s}}"
)
FULL = ("slo:\n  ttft: {p95: 1s}", SEARCH)


def sweep(low: float, high: float, resolution: float, **fields: object) -> SearchSweep:
    return SearchSweep.model_validate(
        {"kind": "search", "min": f"{low!r}/s", "max": f"{high!r}/s",
         "resolution": f"{resolution * 100!r}%", **fields}
    )  # fmt: skip


@given(st.floats(0.01, 100), st.floats(1.05, 1000), st.floats(0.01, 1))
def test_neighbours_are_at_most_the_resolution_apart(low, ratio, resolution):
    found = lattice(sweep(low, low * ratio, resolution))
    assert (found[0], found[-1]) == (low, pytest.approx(low * ratio))
    for left, right in pairwise(found):
        assert left < right <= left * (1 + resolution) * 1.001  # four digits


def test_an_index_is_a_place_and_early_runs_keep_theirs(load):
    """Runs of the time when a rate had five windows at most have index (t R + r) 5 + w."""
    document = load(*FULL, overrides=["sweep.targets=[main, main]"]).document
    num_rates = len(lattice(document.sweep))
    points = expand(document)
    for point in points[:: len(points) // 50]:
        place = place_of(document, document.sweep, point.index)
        assert index_of(document, document.sweep, place) == point.index
        assert point.label.endswith(f"w{place.window + 1}")
    assert place_of(document, document.sweep, (num_rates + 7) * 5 + 4) == Place(1, 7, 4)
    assert place_of(document, document.sweep, 2 * num_rates * 5) == Place(0, 0, 5)


def test_the_grid_spans_the_range():
    own = sweep(1, 16, 0.05, grid_points=5, repeat=7)
    rates = lattice(own)
    assert [rates[k] for k in grid(own)] == pytest.approx([1, 2, 4, 8, 16], rel=0.025)
    assert (windows_of(own), windows_of(sweep(1, 16, 0.05, repeat=30))) == (20, 30)
    assert grid(sweep(1, 16, 0.05)) == ()


def test_points_are_every_window_it_may_visit(load):
    document = load(*FULL).document
    points = expand(document)
    rates = lattice(document.sweep)
    assert len(points) == 20 * len(rates)
    assert [p.index for p in points] == list(range(len(points)))
    assert len({p.label for p in points}) == len(points)
    first = [p for p in points if p.repeat == 0]
    assert [p.load.rate for p in first] == list(rates)
    assert len({p.seed for p in points}) == len(points)  # no window shares another's luck
    assert points[5].swept == {"load.rate": f"{rates[1]}/s"}


def test_it_resolves_to_an_equal_document(load, tmp_path):
    from harness.scenario import load_resolved

    loaded = load(*FULL)
    path = tmp_path / "scenario.resolved.yaml"
    path.write_text(loaded.resolved_yaml(), encoding="utf-8")
    assert load_resolved(path).document == loaded.document


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ("sweep.max=1/s", "sweep.max", "above min"),
        ("sweep.resolution=0.1%", "sweep.resolution", "between 1% and 100%"),
        ("sweep.path=load.duration", "sweep.path", "load.rate"),
        ("sweep.order=shuffled", "sweep.order", "its own order"),
        ("sweep.targets=[nobody]", "sweep.targets.0", "no target 'nobody'"),
        ("slo.attainment=null", "slo.attainment", "holds rates against it"),
        ("slo.attainment=100%", "slo.attainment", "no sample shows"),
        ("slo.good_request=null", "slo.good_request", "what a good request is"),
    ],
)
def test_what_a_search_cannot_do_is_refused(faults, change, where, message):
    (fault, *_) = faults(*FULL, overrides=[change])
    assert fault.path == where
    assert message in fault.message


def test_a_closed_loop_proves_no_rate(faults):
    old = "  kind: open\n  arrival: {kind: poisson}\n  rate: 8/s\n"
    text = SEARCH.replace("sweep:", "#\nsweep:")
    found = faults("load:\n" + old + "  duration: 60s\nslo:\n  ttft: {p95: 1s}",
                   "load: {kind: closed, concurrency: 4, duration: 60s}\n" + text)  # fmt: skip
    assert found[0].path == "load.kind"
    assert "a closed loop proves no rate" in found[0].message


def test_windows_too_short_to_hold_anything_are_told(load):
    assert needed_to_hold(0.99) == 459
    assert needed_to_hold(0.9) == 44
    # five windows of 60 s at 1/s: 300 requests, and 99 % needs 459
    loaded = load(*FULL, overrides=["slo.attainment=99%"])
    (notice,) = [n for n in loaded.notices if n.code == "search_reach"]
    assert "five windows at 1/s hold about 300 requests" in notice.sentence
    assert "lengthen load.duration to 91.8 s or more" in notice.sentence
    assert not [n for n in load(*FULL).notices if n.code == "search_reach"]


@pytest.mark.parametrize(
    ("slo", "rules"),
    [
        ("good_request: {ttft: 1s}", ""),
        ("ttft: {p90: 1s}, tpot: {p90: 50ms}", ""),  # read as asked: 90 % of requests within it
        ("ttft: {p99: 1s}", "ttft.p99 (read as a limit of each request)"),
        ("tpot: {p50: 50ms, p90: 90ms}", "tpot.p50"),
        ("good_request: {ttft: 1s}, ttft: {p90: 1s}", "ttft.p90"),
        ("good_request: {ttft: 1s}, error_rate: {max: 10%}", ""),  # 90 % good have no more errors
        ("good_request: {ttft: 1s}, error_rate: {max: 1%}", "error_rate"),
        ("good_request: {ttft: 1s}, schema_valid: {min: 80%}", ""),
        ("good_request: {ttft: 1s}, goodput_req_per_s: {min: 8/s}", "goodput_req_per_s"),
    ],
)
def test_rules_that_a_search_does_not_judge_are_told(load, slo, rules):
    text = "sweep: {kind: search, min: 1/s, max: 16/s}\nslo: {attainment: 90%, " + slo + "}"
    found = [n for n in load("slo:\n  ttft: {p95: 1s}", text).notices if n.code == "search_rules"]
    assert [n.args["rules"] for n in found] == ([rules] if rules else [])
    assert all("90% of requests good" in n.sentence for n in found)


def test_windows_too_short_to_be_valid_are_told(load):
    loaded = load(*FULL, overrides=["validity.min_requests=300"])
    (notice,) = [n for n in loaded.notices if n.code == "search_floor"]
    assert "a window at 1/s holds about 60 requests" in notice.sentence
    assert "asks for 300: none there would be valid; lengthen load.duration to 5 min" in (
        notice.sentence
    )
    assert not [n for n in load(*FULL).notices if n.code == "search_floor"]


def test_no_quantile_is_judged_nor_said_to_need_more_requests(load):
    from harness.scenario import read_materials
    from harness.scenario.budget import point_budget

    text = SEARCH.replace("good_request: {ttft: 1s}", "ttft: {p90: 1s, p99: 2s}")
    loaded = load(FULL[0], text)
    point = expand(loaded.document)[0]
    found = [*loaded.notices, *point_budget(point, read_materials(loaded.document)).notices]
    assert "too_few_requests" not in {n.code for n in found}
