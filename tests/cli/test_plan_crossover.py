"""`harness plan crossover` on a run measured for real: sentence, plan.json, CSV, report, codes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.decisions.plan_document import plan_schema

SCRIPT = {"timing": {"ttft": "20ms", "gap": "1ms"}, "servers": 1}
COST = [
    "--prices", "fireworks-guide", "--forecast", "servegen-day",
    "--set", "cost.serverless.model=llama-v3p3-70b-instruct", "--set", "cost.on_demand.gpu=h100",
]  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One request of 24 ms at a time: 42/s at most. 5/s holds, 200/s misses; no cost block."""
    from tests.cli.conftest import Cli

    cli = Cli(tmp_path_factory.mktemp("crossover"))
    load = {
        "kind": "open", "arrival": {"kind": "poisson"}, "rate": "5/s", "duration": "4s",
        "warmup": "500ms", "cooldown": "2s", "drain": "2s",
    }  # fmt: skip
    name = cli.scenario(
        targets={"a": {"kind": "scripted", "script": SCRIPT}},
        load=load,
        sweep={"kind": "list", "over": {"load.rate": ["5/s", "200/s"]}},
        slo={"good_request": {"ttft": "150ms"}, "attainment": "80%"},
    )
    done = cli.here("run", name, "--progress", "none", "--no-check-client", "--no-report")
    assert done.code in (0, 1, 3), done.err
    yield cli
    cli.close()


def test_a_run_without_prices_names_what_to_type(measured) -> None:  # type: ignore[no-untyped-def]
    done = measured.here("plan", "crossover", "latest")
    assert (done.code, done.out) == (2, "")
    assert "--set cost.serverless.model=ROW" in done.err


def test_what_was_measured_cannot_be_set(measured) -> None:  # type: ignore[no-untyped-def]
    done = measured.here("plan", "crossover", "latest", *COST, "--set", "load.rate=9/s")
    assert done.code == 2
    assert "only cost can be changed here" in done.err
    assert "then: harness plan crossover latest" in done.err


def test_the_answer_its_files_and_its_report(measured) -> None:  # type: ignore[no-untyped-def]
    """Under 200 req/s of 24 tokens are at most 17 Mtok/h: $80/h against $15.6 of tokens."""
    done = measured("plan", "crossover", "latest", *COST, "--set", "cost.forecast.volume=1Mtok/d",
                    "--set", "cost.on_demand.gpus_per_replica=16")  # fmt: skip
    assert done.code == 0, done.err
    first, second, *_ = done.out.splitlines()
    assert first.startswith("On-demand never becomes cheaper at this SLO: it would need ")
    assert second.startswith("At your 1.00 Mtok/day serverless saves $1,920/day")
    assert "not in it: storage and people" in done.out
    assert "autoscaler: the vendor's policy on the rates of the busiest day" in done.out
    plan = json.loads((measured.latest / "plan.json").read_text("utf-8"))
    jsonschema.validate(plan, plan_schema())
    assert plan["crossover"]["feasibility"] == "infeasible"
    assert plan["crossover"]["crossing"]["autoscaled"]["value"] == "inf"
    page = (measured.latest / "report.html").read_text("utf-8")
    assert 'id="cost"' in page
    assert "On-demand never becomes cheaper at this SLO:" in page
    rows = list(csv.DictReader(io.StringIO((measured.latest / "crossover.csv").read_text("utf-8"))))
    assert len(rows) == 60
    files = json.loads((measured.latest / "manifest.json").read_text("utf-8"))["files"]
    for name in ("plan.json", "crossover.csv", "summary.json", "report.html"):
        digest = hashlib.sha256((measured.latest / name).read_bytes()).hexdigest()
        assert files[name]["sha256"] == digest, name  # written anew, digested anew
    assert all(r["cheaper"] == "serverless" for r in rows if float(r["mtok_per_day"]) < 1000)


def test_json_and_csv_to_stdout(measured) -> None:  # type: ignore[no-untyped-def]
    cheap = [*COST, "--set", "cost.on_demand.gpu=a10g", "--no-report"]
    done = measured.here("plan", "crossover", "latest", *cheap, "--json")
    found = json.loads(done.out)
    assert done.code == (3 if found["outcome"] == "inconclusive" else 0)
    assert found["one_replica"]["value"] == pytest.approx(0.8 / 0.9 * 1e6)
    spread = measured.here("plan", "crossover", "latest", *cheap, "--csv", "-")
    assert spread.out.startswith("tok_per_h,mtok_per_day,serverless_low_usd_per_h")
    assert len(spread.out.splitlines()) == 61
    assert measured.here("plan", "crossover", "latest", "--json", "--csv", "-").code == 2


def test_a_run_without_rates_has_no_capacity(cli) -> None:  # type: ignore[no-untyped-def]
    name = cli.scenario(load={"duration": "1s"}, slo={"good_request": {"ttft": "1s"}})
    ran = cli.here("run", name, "--progress", "none", "--no-check-client", "--no-report")
    assert ran.code == 0, ran.err
    done = cli.here("plan", "crossover", "latest", *COST)
    assert done.code == 4
    assert "the run holds no capacity" in done.err
    assert not Path(cli.latest / "plan.json").exists()
