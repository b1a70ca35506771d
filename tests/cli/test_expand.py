"""`harness expand`: the table of points, and what it warns of."""

from __future__ import annotations

import json
from typing import Any


def test_table_of_a_sweep(cli: Any) -> None:
    done = cli("expand", "sweep")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == [
        "point", "label", "target", "load", "time", "requests", "tokens", "in", "tokens", "out",
    ]  # fmt: skip
    assert len(lines) == 7
    assert lines[4].split()[:5] == ["3", "rate-4", "main", "open", "4/s"]
    assert lines[4].split()[6:9] == ["55.0", "s", "180"]
    assert lines[6] == "5 points, at least 4 min 55 s of load"  # 5 x 55 s and 4 pauses of 5 s


def test_json_counts(cli: Any) -> None:
    done = cli.here("expand", "sweep", "--json", "--set", "sweep.over.load.rate=[2/s, 3/s]")
    data = json.loads(done.out)
    assert [p["label"] for p in data["points"]] == ["rate-2", "rate-3"]
    assert [p["expected_measured"] for p in data["points"]] == [90, 135]
    assert [p["expected_sent"] for p in data["points"]] == [110, 165]
    assert data["points"][0]["swept"] == {"load.rate": "2/s"}
    assert data["total_s"] == 115


def test_too_few_samples_are_told_once_a_quantile(cli: Any) -> None:
    done = cli.here("expand", "sweep", "--set", "slo.ttft.p95=1s", "--set", "slo.ttft.p99=2s")
    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1
    assert "about 22 measured requests cannot carry p99 (it needs 1000)" in warnings[0]
    assert "cannot carry" not in done.out


def test_a_bad_swept_value_is_a_fault_of_the_sweep(cli: Any) -> None:
    done = cli.here("expand", "sweep", "--set", "sweep.over.load.rate=[2/s, 3]")
    assert (done.code, done.out) == (2, "")
    assert "3 has no unit; write 8/s or 480/min (swept: load.rate = 3)" in done.err
    assert done.has_no_traceback()


def test_dollars_where_the_scenario_has_prices(cli: Any) -> None:
    """2 H100 at $5/h for the 70 s of a point are $0.194."""
    prices = ["cost.prices=fireworks-guide", "cost.on_demand={gpu: h100, gpus_per_replica: 2}"]
    rates = "sweep={kind: list, over: {load.rate: [1/s, 2/s]}}"
    sets = [w for item in (*prices, rates, "load.duration=60s") for w in ("--set", item)]
    done = cli.here("expand", "sweep", *sets)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].endswith("USD")
    assert lines[1].endswith(" 0.19")
    assert lines[-1] == "2 points, at least 2 min 20 s of load, 0.39 USD"
    searched = cli.here("expand", "serverless-or-on-demand").out.splitlines()
    assert searched[1].endswith(" 0.07")  # 24 s
