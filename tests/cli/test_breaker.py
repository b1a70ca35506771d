"""`stop.max_error_rate` and `stop.over_saturated`: when they trip, and a run that goes on after."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.cli._breaker import Breaker, is_growing, is_surely_above

OPEN = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "40/s", "duration": "60s",
    "warmup": "0s", "cooldown": "1s", "drain": "1s",
}  # fmt: skip


def pulse(second: float, in_flight: int = 0, ok: int = 0, failed: int = 0, **more: Any) -> Any:
    sent = more.pop("sent", 40 * int(second))
    return SimpleNamespace(
        phase=more.pop("phase", "measured"), stage=more.pop("stage", "main"), elapsed_s=second,
        in_flight=in_flight, sent=sent, ok=ok, failed=failed,
    )  # fmt: skip


def test_an_error_rate_is_above_its_limit_only_where_it_surely_is() -> None:
    """n KL(k/n, limit) > ln 1000: 4 of 4 at 20 % are 4 ln 5 = 6.4, 5 of 5 are 8.0."""
    assert not is_surely_above(4, 4, 0.2)
    assert is_surely_above(5, 5, 0.2)
    assert not is_surely_above(25, 100, 0.2)
    assert is_surely_above(250, 1000, 0.2)
    assert not is_surely_above(0, 0, 0.2)
    assert not is_surely_above(199, 1000, 0.2)
    # at the limit itself: a look a second for a quarter of an hour, 200 times, false alarms < 5 %
    rng = np.random.default_rng(5)
    counts = np.cumsum(rng.binomial(10, 0.2, (200, 900)), axis=1)
    looks = 10 * np.arange(1, 901)
    alarms = [any(map(is_surely_above, row, looks, [0.2] * 900)) for row in counts.tolist()]
    assert sum(alarms) <= 10


def test_errors_trip_in_the_warm_up_too() -> None:
    breaker = Breaker(max_error_ratio=0.2)
    assert not breaker.see(pulse(1, ok=30, failed=2, phase="warmup"))
    assert breaker.see(pulse(2, ok=30, failed=40, phase="warmup"))
    assert breaker.rule == "max_error_rate"
    assert breaker.said == "stop.max_error_rate: 40 of 70 answers were errors, limit 20%"
    assert breaker.see(pulse(3, ok=1000, failed=40))  # once tripped it stays so


def test_a_backlog_has_to_grow_for_as_long_as_was_said() -> None:
    breaker = Breaker(over_s=10.0)
    assert not any(breaker.see(pulse(t, 20 * t, phase="warmup")) for t in range(30))
    assert not any(breaker.see(pulse(30 + t, 20 * t)) for t in range(10))
    assert breaker.see(pulse(40, 200))
    assert breaker.said == (
        "stop.over_saturated: requests in flight grew from 0 to 200 within 10.0 s"
    )


def test_a_steady_load_and_a_new_stage_trip_nothing() -> None:
    rng = np.random.default_rng(1)
    steady = Breaker(over_s=10.0)
    assert not any(steady.see(pulse(t, int(rng.poisson(40)))) for t in range(600))
    stages = Breaker(over_s=10.0)  # each stage rises to a level of its own, then holds it
    for k in range(6):
        for t in range(9):
            assert not stages.see(pulse(t, 100 * k + 50 * t, stage=str(k)))


def test_growth_is_held_against_what_chance_backs_up() -> None:
    assert is_growing(list(range(0, 200, 10)), 800)  # 200 against 3 sqrt(800) = 85
    assert not is_growing(list(range(0, 60, 3)), 800)
    assert not is_growing([0, 200] * 10, 800)


def test_words_that_make_no_sense_are_refused(cli) -> None:  # type: ignore[no-untyped-def]
    closed = {"kind": "closed", "concurrency": 2, "duration": "5s"}
    for stop, load, told in (
        ({"over_saturated": "1s"}, OPEN, "must be 5s or more"),
        ({"max_error_rate": "0%"}, OPEN, "between 0% and 100%"),
        ({"over_saturated": "20s"}, closed, "needs an open load"),
    ):
        done = cli.here("validate", cli.scenario(load=load, stop=stop))
        assert done.code == 2
        assert told in done.err


@pytest.mark.e2e
def test_a_point_full_of_errors_ends_and_the_next_is_measured(cli) -> None:  # type: ignore[no-untyped-def]
    name = cli.scenario(
        load=OPEN, stop={"max_error_rate": "20%"}, validity={"min_requests": 100_000},
        sweep={"kind": "list", "over": {"load.rate": ["40/s", "50/s"]}},
        targets={"t": {"kind": "scripted", "script": {"faults": [
            {"share": "60%", "first": 10, "then": {"http": {"status": 503}}}]}}},
        slo={"error_rate": {"max": "5%"}},
    )  # fmt: skip
    done = cli.here("run", name, "--progress", "none", "--no-check-client", "--no-report", "--json")
    found = json.loads(done.out)
    assert found["status"] == "complete"
    assert len(found["points"]) == 2
    assert {v["outcome"] for v in found["verdicts"]} == {"fail"}
    meta = json.loads((cli.latest / "points/000-rate-40/point.json").read_text("utf-8"))
    assert meta["stopped"]["rule"] == "max_error_rate"
    assert "answers were errors, limit 20%" in done.err


@pytest.mark.e2e
def test_a_backlog_that_grows_ends_the_point_as_unstable(cli) -> None:  # type: ignore[no-untyped-def]
    """One server of 100 ms a request keeps up with 10/s; 40/s pile up."""
    name = cli.scenario(
        load=OPEN, stop={"over_saturated": "5s"}, slo={"ttft": {"p50": "1s"}},
        targets={"t": {"kind": "scripted", "script": {
            "servers": 1, "timing": {"ttft": "90ms", "gap": "1ms"}}}},
    )  # fmt: skip
    done = cli.here("run", name, "--progress", "none", "--no-check-client", "--no-report", "--json")
    found = json.loads(done.out)
    assert found["points"][0]["window_s"] < 30  # of 60 asked for
    (ttft,) = [
        e
        for e in found["points"][0]["estimates"]
        if (e["metric"], e["stat"], e["population"]) == ("ttft", "p50", "valid")
    ]
    assert ttft["value"] is None
    assert ttft["reason"].startswith("offered more than the capacity")
    assert "stop.over_saturated: requests in flight grew" in done.err
