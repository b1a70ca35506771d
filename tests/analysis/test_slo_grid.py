"""Counts under other limits are those of judging every request again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis import PointSummary, analyse_point
from harness.analysis.slo_grid import MIDDLE, NUM_STOPS
from harness.scenario.slo import Slo

SLO = Slo.model_validate(
    {"good_request": {"ttft": "300ms", "tpot": "30ms", "e2e_latency": "1s"}, "attainment": "80%"}
)


def made(rows, rng, *, classes=("chat",)):
    found = []
    for i in range(400):
        start = i / 10
        first = start + float(rng.lognormal(np.log(0.25), 0.6))
        gap = float(rng.lognormal(np.log(0.025), 0.5))
        num = int(rng.integers(1, 30))
        chunks = [first + gap * k for k in range(num)]
        name = classes[i % len(classes)]
        extra = {"error_class": "http_5xx"} if i % 37 == 0 else {}
        found.append(rows.row(start, chunks, **{"class": name}, **extra))
    return found


def analysed(rows, requests, slo=SLO, **meta):
    facts = rows.meta(40, slo=slo, swept={"load.rate": "10/s"}, offered_req_per_s=10.0, **meta)
    return analyse_point(rows.requests(requests), rows.clients(40), facts)


def test_each_cell_is_the_attainment_under_its_limits(rows):
    requests = made(rows, np.random.default_rng(3))
    (grid,) = analysed(rows, requests).slo_grids
    assert grid.default == (MIDDLE, MIDDLE)
    assert (grid.ttft_s[MIDDLE], grid.tpot_s[MIDDLE]) == (0.3, 0.03)
    assert grid.ttft_s[-1] == math.inf
    for i, j in ((MIDDLE, MIDDLE), (9, 12), (13, 8), (MIDDLE, NUM_STOPS - 1), (NUM_STOPS - 1, 10)):
        limits = {"e2e_latency": "1s"}
        limits |= {"ttft": f"{grid.ttft_s[i]}s"} if i < NUM_STOPS - 1 else {}
        limits |= {"tpot": f"{grid.tpot_s[j]}s"} if j < NUM_STOPS - 1 else {}
        again = analysed(
            rows, requests, Slo.model_validate({"good_request": limits, "attainment": "80%"})
        )
        good = again.find("slo_attainment", "ratio")
        cell = i * NUM_STOPS + j
        assert grid.num_good[cell] == round(good.value * good.n)
        assert grid.num_valid == good.n
        assert grid.n_eff[cell] == pytest.approx(good.n_eff, abs=0.06)


def test_counts_rise_with_either_limit(rows):
    (grid,) = analysed(rows, made(rows, np.random.default_rng(4))).slo_grids
    cells = np.array(grid.num_good).reshape(NUM_STOPS, NUM_STOPS)
    assert (np.diff(cells, axis=0) >= 0).all()
    assert (np.diff(cells, axis=1) >= 0).all()


def test_classes_with_limits_of_their_own_have_grids_of_their_own(rows):
    requests = made(rows, np.random.default_rng(5), classes=("chat", "long"))
    both = analysed(rows, requests, classes=("chat", "long"))
    assert [g.scope for g in both.slo_grids] == ["all", "chat", "long"]
    assert sum(g.num_valid for g in both.slo_grids[1:]) == both.slo_grids[0].num_valid
    own = {"long": Slo.model_validate({"good_request": {"ttft": "2s"}})}
    apart = analysed(rows, requests, classes=("chat", "long"), class_slos=own)
    assert [g.scope for g in apart.slo_grids] == ["chat", "long"]
    assert apart.slo_grids[1].ttft_s[MIDDLE] == 2.0
    assert PointSummary.from_json(apart.to_json()) == apart


def test_a_lone_point_carries_no_grid(rows):
    requests = made(rows, np.random.default_rng(6))
    facts = rows.meta(40, slo=SLO, offered_req_per_s=10.0)
    assert analyse_point(rows.requests(requests), rows.clients(40), facts).slo_grids == ()
