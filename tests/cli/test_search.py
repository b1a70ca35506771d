"""A search end to end: against a server of known capacity, cut off, resumed, read again."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

# two at a time, 120 ms each: 16.7 requests/s at most
SERVER = {"timing": {"ttft": "30ms", "gap": "30ms"}, "servers": 2}
CAPACITY = 2 / 0.12
SEARCH = {"kind": "search", "min": "8/s", "max": "32/s", "resolution": "50%"}


def searching(cli: Any, **sweep: Any) -> str:
    return str(
        cli.scenario(
            targets={"t": {"kind": "scripted", "script": SERVER}},
            load={
                "kind": "open", "arrival": {"kind": "poisson"}, "rate": "1/s", "warmup": "300ms",
                "duration": "1500ms", "cooldown": "300ms", "drain": "500ms",
            },
            slo={"good_request": {"ttft": "200ms"}, "attainment": "50%"},
            sweep=SEARCH | sweep,
        )
    )  # fmt: skip


def result(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "summary.json").read_text("utf-8")))


@pytest.mark.slow
def test_a_search_finds_a_known_capacity_is_cut_off_and_goes_on(cli: Any, until: Any) -> None:
    path = searching(cli, min="6/s", max="48/s", resolution="100%")  # 12 holds, 24 not
    run = cli.start("run", path, "--no-report")
    until(lambda: len(list(cli.runs.glob("*/points/*/requests.parquet"))) >= 2)
    run.signal(signal.SIGINT)
    stopped = run.finish()
    assert stopped.code == 130, stopped.err
    assert "PARTIAL: no verdict. The search was interrupted after" in stopped.out
    kept = {p: p.read_bytes() for p in cli.latest.glob("points/*/requests.parquet")
            if '"complete"' in (p.parent / "point.json").read_text("utf-8")}  # fmt: skip
    assert kept

    done = cli.here("run", "--resume", "latest")
    assert done.has_no_traceback()
    assert done.code in (0, 3), done.err
    assert all(p.read_bytes() == before for p, before in kept.items())
    assert "doubling: 6.00 req/s, window 1" in stopped.err + done.err

    found = result(cli.latest)
    (verdict,) = found["verdicts"]
    estimate = verdict["estimate"]
    assert (verdict["rule"], estimate["unit"]) == ("max_goodput", "req/s")
    # windows of 1.5 s on a busy machine may leave an end open
    assert (estimate["low"] or 0) <= CAPACITY <= (estimate["high"] or 48)
    assert (estimate["low"] or 0) <= estimate["value"]
    assert found["sentences"][0].startswith(("Sustains ", "No rate measured surely holds"))
    assert found["what_if"]["my-slo"]["scopes"]
    # every window is kept, and has a summary of its own
    points = list(cli.latest.glob("points/*"))
    assert len(points) > len(found["points"])
    assert all((p / "summary.json").exists() for p in points)
    report = (cli.latest / "report.html").read_text("utf-8")
    assert 'id="capacity"' in report
    assert 'id="my-rate"' in report

    again = cli.here("run", "--resume", "latest", "-q", "--no-report")  # over: nothing is sent
    assert again.code == done.code
    assert list(cli.latest.glob("points/*")) == points
    assert cli.here("report", "latest", "--format", "junit").code == done.code


@pytest.mark.slow
def test_a_spent_budget_leaves_the_bracket_open_and_says_so(cli: Any) -> None:
    done = cli.here("run", searching(cli, budget="4s"))
    assert done.code == 3, done.err
    assert "the budget of 4.00 s is spent" in done.err
    assert "The search is not at its end" in " ".join(done.out.split())
    assert "harness run --resume" in done.out
    assert 1 <= len(list(cli.latest.glob("points/*"))) <= 4


def test_expand_says_how_long_it_may_take(cli: Any) -> None:
    path = searching(cli, budget="10min", grid_points=2)
    shown = cli.here("expand", path, "--json")
    assert shown.code == 0, shown.err
    data = json.loads(shown.out)
    # 8, 16, 32 and one between are 4 rates, and 2 windows of the grid; 1.8 s each
    assert data["search"] == {
        "num_rates": 5, "num_visited": 4, "least_windows": 6, "most_windows": 42,
        "windows_near": {"0.05": 5, "0.1": 6, "0.2": 10},
        "least_s": pytest.approx(10.8), "most_s": pytest.approx(75.6), "budget_s": 600.0,
        "budget_windows": 333,
    }  # fmt: skip
    assert [p["label"] for p in data["points"]] == ["rate-8-w1", "rate-16-w1", "rate-32-w1"]
    told = cli.here("expand", path).out
    assert "search from 8/s to 32/s in 5 steps" in told
    assert "10.8 s to 75.6 s of load, cut at 10 min: 333 windows" in told
    assert "windows near the capacity that tell it to 50%, by how far one alone" in told
    assert cli.here("validate", path).out.strip().endswith("valid, a search")
