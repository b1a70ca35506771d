"""`stop.max_spend`: the meter, and a run that ends when its budget is spent."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from harness.cli._budget import Budget
from harness.scenario import expand, load_scenario, read_materials

COST = {
    "prices": "fireworks-guide",
    "serverless": {"target": "t", "model": "llama-v3p1-405b-instruct"},
}
OPEN = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "50/s", "duration": "60s",
    "warmup": "0s", "cooldown": "1s", "drain": "2s",
}  # fmt: skip


def pulse(sent: int) -> SimpleNamespace:
    return SimpleNamespace(sent=sent)


def test_the_meter_runs_by_request_and_by_the_hour(cli) -> None:  # type: ignore[no-untyped-def]
    """20 in and 4 out at $3 a million are $72 for a million requests; an H100 is $5/h."""
    path = cli.folder / cli.scenario(load=OPEN, cost=COST, stop={"max_spend": "1USD"})
    loaded = load_scenario(path, env={})
    (point,) = expand(loaded.document)
    budget = Budget(1.0)
    assert budget.begin(point, read_materials(loaded.document)) == ""
    assert not budget.see(pulse(10_000), 5.0)  # type: ignore[arg-type]
    assert budget.spent_usd == pytest.approx(0.72)
    assert budget.see(pulse(14_000), 6.0)  # type: ignore[arg-type]
    by_hour = COST | {"serverless": None, "on_demand": {"gpu": "h100", "gpus_per_replica": 2}}
    path = cli.folder / cli.scenario(load=OPEN, cost=by_hour, stop={"max_spend": "11USD"})
    loaded = load_scenario(path, env={})
    (point,) = expand(loaded.document)
    budget.limit_usd = 11.0
    budget.begin(point, read_materials(loaded.document))  # what was spent before stays spent
    assert not budget.see(pulse(0), 100.0)  # type: ignore[arg-type]
    assert not budget.see(pulse(99), 3600.0)  # type: ignore[arg-type]
    assert budget.see(pulse(99), 3700.0)  # type: ignore[arg-type]
    assert budget.spent_usd == pytest.approx(14_000 * 72e-6 + 10.0)


def test_a_limit_without_prices_is_refused(cli) -> None:  # type: ignore[no-untyped-def]
    done = cli.here("validate", cli.scenario(stop={"max_spend": "1USD"}))
    assert done.code == 2
    assert "needs prices to follow; give a cost block" in done.err


def test_the_run_ends_and_keeps_what_was_measured(cli) -> None:  # type: ignore[no-untyped-def]
    """50 requests/s at $72 a million: $.0036 a second; $.005 are spent after two pulses."""
    name = cli.scenario(
        load=OPEN, cost=COST, stop={"max_spend": "0.005USD"},
        sweep={"kind": "repeat", "repeat": 2},
    )  # fmt: skip
    done = cli.here("run", name, "--progress", "none", "--no-check-client", "--no-report", "--json")
    assert done.code == 4, done.err
    assert "of 0.00500 USD are spent" in done.err
    assert "stopped before point" in done.err
    manifest = cli.manifest()
    assert manifest["status"] == "partial"
    rows = json.loads((cli.latest / "points/000-main-r1/point.json").read_text("utf-8"))
    assert rows["reason"].startswith("stop.max_spend: about ")


def test_the_display_tells_what_was_spent() -> None:
    from harness.cli._display import lines, plain
    from harness.load import Pulse

    now = Pulse("measured", "main", 9.0, 5.0, 336, 41, 288, 1, 7, 0.182, 0.611, 0.021, 0.038,
                4210.0, 0.34, 0.0011, 4)  # fmt: skip
    assert lines("s", now, 0.1834)[-1].endswith("workers 4  spent $0.183")
    assert lines("s", now)[-1].endswith("workers 4")
    assert "spent" not in plain("s", now)
