"""Budgets and notices: what a scenario asks for, computed by hand, and what it cannot show."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from harness.analysis import needed_requests
from harness.scenario import expand, read_materials
from harness.scenario.advice import FLOORS
from harness.scenario.budget import describe_load, point_budget
from harness.scenario.document import Exponential, Lognormal, Uniform
from harness.scenario.materials import Materials
from harness.scenario.mean_use import mean_length


def budget(load, *overrides: str):  # type: ignore[no-untyped-def]
    loaded = load(overrides=list(overrides))
    (point,) = expand(loaded.document)
    return point_budget(point, read_materials(point.document, loaded.search_paths))


def test_floors_are_those_of_the_analysis() -> None:
    """What validate warns of is what the report would withhold."""
    assert {name: needed_requests(float(name[1:]) / 100) for name in FLOORS} == FLOORS


def test_open_stage(load) -> None:  # type: ignore[no-untyped-def]
    found = budget(load)  # 8/s, warm-up 10 s, 60 s, 100 tokens in, 20 out
    assert found.load_s == 70
    assert found.num_measured == 480
    assert found.num_sent == pytest.approx(560)
    assert found.total.input_tok == pytest.approx(56_000)
    assert found.total.output_tok == pytest.approx(11_200)
    assert found.notices == ()


def test_requests_instead_of_time(load) -> None:  # type: ignore[no-untyped-def]
    found = budget(load, "load.duration=null", "load.requests=40")
    assert (found.load_s, found.num_measured) == (15, 40)
    assert found.num_sent == pytest.approx(120)  # 10 s of warm-up at 8/s come on top


def test_ramp_and_stages(load) -> None:  # type: ignore[no-untyped-def]
    ramp = "load.rate={kind: ramp, from: 2/s, to: 6/s}"
    assert budget(load, ramp).num_measured == 240
    found = budget(
        load,
        "load={kind: stages, warmup: 5s, stages: ["
        "{name: a, kind: open, arrival: {kind: poisson}, rate: 2/s, duration: 10s},"
        "{name: b, kind: closed, concurrency: 3, duration: 20s}]}",
    )
    assert found.load_s == 40
    assert found.num_measured is None  # how many three users send is the target's answer


def test_classes_count_by_weight(load) -> None:  # type: ignore[no-untyped-def]
    found = budget(
        load,
        "traffic=[{name: a, weight: 3, workload: {kind: chat, input_tokens: {kind: fixed,"
        " value: 100}}}, {name: b, workload: {kind: chat, input_tokens: {kind: fixed,"
        " value: 500}, output_tokens: {kind: fixed, value: 4}}}]",
    )
    assert found.total.input_tok == pytest.approx(560 * 200)
    assert found.total.output_tok is None  # class a does not say


def test_trace_replay_by_hand(load, tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = "".join(f"{i},10,5\n" for i in range(101))  # 101 rows in 100 s
    (tmp_path / "t.csv").write_text("Timestamp,Request tokens,Response tokens\n" + rows)
    found = budget(
        load,
        "traffic.chat.workload={kind: trace, file: t.csv, format: burstgpt_csv}",
        "load={kind: open, arrival: {kind: trace, file: t.csv, format: burstgpt_csv, thin: 50%}}",
    )
    assert found.load_s == 100  # the whole trace: 10 s warm-up and the rest
    assert found.num_measured == pytest.approx(101 / 100 * 0.5 * 90)


@pytest.mark.parametrize("limit", [300.0, 1000.0, 5000.0])
def test_mean_of_a_cut_lognormal(limit: float) -> None:
    found = mean_length(Lognormal(kind="lognormal", median=100, p95=250, max=limit), Materials())
    sigma = math.log(2.5) / stats.norm.ppf(0.95)
    law = stats.lognorm(sigma, scale=100)
    assert found == pytest.approx(law.expect(ub=limit, conditional=True), rel=1e-6)


def test_other_means() -> None:
    assert mean_length(Uniform(kind="uniform", min=10, max=30), Materials()) == 20
    assert mean_length(Exponential(kind="exponential", mean=7), Materials()) == 7
    assert mean_length(None, Materials()) is None


def codes(loaded) -> list[str]:  # type: ignore[no-untyped-def]
    return [notice.code for notice in loaded.notices]


def test_too_few_requests_for_a_quantile(load) -> None:  # type: ignore[no-untyped-def]
    assert codes(load()) == []
    loaded = load(overrides=["slo.ttft.p99=2s", "load.rate=6/s"])  # 360 < 1,000
    (notice,) = loaded.notices
    assert notice.args == {"requests": 360, "quantile": "p99", "needed": 1000}
    assert "p99" in notice.sentence
    assert codes(load(overrides=["load.rate=3.4/s"])) == []  # 204 carry a p95
    assert codes(load(overrides=["load.rate=3.3/s"])) == ["too_few_requests"]


def test_short_warmup(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(overrides=["load.warmup=500ms"])
    assert codes(loaded) == ["short_warmup"]
    assert "500ms is shorter than the recommended 10s" in loaded.notices[0].sentence


def test_limit_a_class_cannot_have(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(overrides=["traffic.chat.workload.output_tokens.value=1", "slo.tpot.p50=50ms"])
    assert codes(loaded) == ["skipped_limit"]
    assert loaded.notices[0].args == {"metric": "tpot", "name": "chat"}


def test_unknown_variables_of_ours(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(env={"HARNESS_OTU": "x", "HARNESS_OUT": "y", "OTHER": "z"})
    assert [n.args for n in loaded.notices] == [{"name": "HARNESS_OTU", "nearest": "HARNESS_OUT"}]


def test_failed_rows_of_a_trace_are_counted(load, tmp_path) -> None:  # type: ignore[no-untyped-def]
    text = "Timestamp,Request tokens,Response tokens\n0,1,1\n5,1,0\n9,1,2\n"
    (tmp_path / "t.csv").write_text(text)
    loaded = load(
        overrides=["traffic.chat.workload={kind: trace, file: t.csv, format: burstgpt_csv}"]
    )
    assert codes(loaded) == ["dropped_rows"]
    assert loaded.notices[0].args["rows"] == 1


def test_load_in_words(load) -> None:  # type: ignore[no-untyped-def]
    (point,) = expand(load().document)
    assert describe_load(point) == "open 8/s poisson"
    (point,) = expand(
        load(overrides=["load={kind: closed, concurrency: 1, duration: 5s}"]).document
    )
    assert describe_load(point) == "closed 1 user"


def test_alike_notices_of_stages_are_one(load) -> None:  # type: ignore[no-untyped-def]
    stage = "{kind: closed, concurrency: 1, name: %s, duration: %s}"
    stages = ", ".join(stage % (name, size) for name, size in (("a", "9s"), ("b", "3s")))
    loaded = load(
        overrides=[
            f"load={{kind: stages, stages: [{stages}]}}",
            "slo={uptime: {window: 1s, objective: 90%}}",
        ]
    )
    assert codes(loaded) == ["too_few_windows"]
    assert loaded.notices[0].args["planned"] == 3


def test_a_key_may_be_called_as_ours(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load("url:", "api_key_env: HARNESS_KEY, url:", env={"HARNESS_KEY": "x"})
    assert loaded.notices == ()


def test_rows_that_are_too_long_are_counted(load, tmp_path) -> None:  # type: ignore[no-untyped-def]
    text = "Timestamp,Request tokens,Response tokens\n0,1,1\n5,900,3\n9,800,2\n"
    (tmp_path / "t.csv").write_text(text)
    work = "{kind: trace, file: t.csv, format: burstgpt_csv, max_input_tokens: %d}"
    assert codes(load(overrides=[f"traffic.chat.workload={work % 900}"])) == []
    (notice,) = load(overrides=[f"traffic.chat.workload={work % 800}"]).notices
    assert notice.args == {"file": "t.csv", "rows": 1, "total": 3, "limit": 800}
    assert "1 of the 3 rows" in notice.sentence
