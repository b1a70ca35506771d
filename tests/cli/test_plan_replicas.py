"""`harness plan replicas` on the engine's own sweep, from real sockets to the printed hours."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from harness.decisions.plan_document import plan_schema
from tests.cli.conftest import Result, run_here

GRID = "{load.concurrency: [1, 4], traffic.probe.workload.input_tokens.value: [24, 150, 300, 640]}"
DAY = "hour,req_per_s\n0,0.4\n1,1.1\n2,0.2\n"
SMALL = """\
schema: harness/v1
name: small
targets: {main: {kind: reference, model: tiny}}
traffic:
  - name: chat
    workload:
      kind: chat
      input_tokens: {kind: uniform, min: 40, max: 200}
      output_tokens: {kind: uniform, min: 5, max: 20}
load: {kind: open, arrival: {kind: poisson}, rate: 1/s, duration: 10s}
"""


def harness(folder: Path, *args: str) -> Result:
    return run_here(folder, *args, env={"HARNESS_OUT": str(folder / "runs")})


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's sweep on the reference engine, shortened to eight points."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "day.csv").write_text(DAY)
    (folder / "small.yaml").write_text(SMALL)
    sets = [
        "sweep.kind=grid",
        "traffic.probe.workload.input_tokens={kind: fixed, value: 1}",
        f"sweep.over={GRID}",
        "traffic.probe.workload.output_tokens={kind: fixed, value: 24}",
        "validity.max_send_lag.p99=60s",
        "validity.max_receive_lag.p99=60s",
    ]
    ran = harness(
        folder, "run", "twin-sweep", "--progress", "none", "--no-report",
        *(word for item in sets for word in ("--set", item)),
    )  # fmt: skip
    assert ran.code in (0, 3), ran.err
    return folder


@pytest.mark.e2e
def test_the_sweep_reports_steps_and_no_rates(calibrated: Path) -> None:
    """A point is as short as its batch: nothing of it may look like a figure of a load."""
    run = (calibrated / "runs" / "latest").resolve()
    told = json.loads((run / "summary.json").read_text("utf-8"))
    (verdict,) = told["verdicts"]
    assert verdict["rule"] == "calibration"
    assert told["exit_code"] == {"pass": 0, "inconclusive": 3}[verdict["outcome"]]
    assert verdict["estimate"]["n"] == len(told["steps"])
    for step in told["steps"]:
        assert step["law_s"] > 0
        assert step["seconds"] > 0
    assert {s["num_seqs"] for s in told["steps"] if s["kind"] == "decode"} >= {1, 4}
    assert not any("estimates" in point for point in told["points"])
    assert "Measured: system output" not in " ".join(told["sentences"])


def plan(folder: Path, *more: str) -> dict[str, Any]:
    # limits no machine misses: the test is about the plan, not about this machine's speed
    args = ["--forecast", "day.csv", "--traffic", "small.yaml", "--slo", "ttft=60s",
            "--slo", "tpot=10s", *more]  # fmt: skip
    ran = harness(folder, "plan", "replicas", "latest", "--json", *args)
    assert ran.code in (0, 3), ran.err
    part: dict[str, Any] = json.loads(ran.out)
    assert (ran.code == 0) == (part["verdict"] == "pass")
    return part


@pytest.fixture(scope="module")
def planned(calibrated: Path) -> dict[str, Any]:
    return plan(calibrated)


@pytest.mark.e2e
def test_from_the_sweep_to_the_plan(calibrated: Path, planned: dict[str, Any]) -> None:
    assert [h["peak_req_per_s"] for h in planned["hours"]] == [0.4, 1.1, 0.2]
    assert planned["fixed"]["replicas"] == planned["fixed"]["at_lower_bound"] + 1
    run = (calibrated / "runs" / "latest").resolve()
    stored = json.loads((run / "plan.json").read_text("utf-8"))
    jsonschema.validate(stored, plan_schema())
    assert stored["replicas"]["hours"] == planned["hours"]
    with (run / "plan-replicas.csv").open() as file:
        assert [float(row["peak_req_per_s"]) for row in csv.DictReader(file)] == [0.4, 1.1, 0.2]
    # the engine told its limits; nothing was assumed
    assert planned["assumed"] == []
    assert planned["deployment"]["max_batched_tokens"] == 512
    assert planned["calibration"]["num_prefill"] >= 4  # a late user may make one more
    assert planned["calibration"]["num_decode"] >= 5


@pytest.mark.e2e
def test_the_crossover_prices_what_the_plan_sustains(
    calibrated: Path, planned: dict[str, Any]
) -> None:
    """A twin sweep proves no rate itself: what its twin sustains is priced; both parts stay."""
    sets = ["cost.serverless.model=llama-v3p3-70b-instruct", "cost.on_demand.gpu=h100"]
    ran = harness(
        calibrated, "plan", "crossover", "latest", "--json", "--no-report", "--prices",
        "fireworks-guide", "--traffic", "small.yaml", "--slo", "ttft=60s",
        *(word for item in sets for word in ("--set", item)),
    )  # fmt: skip
    assert ran.code in (0, 3), ran.err
    stored = json.loads((calibrated / "runs" / "latest" / "plan.json").read_text("utf-8"))
    jsonschema.validate(stored, plan_schema())
    assert stored["replicas"]["hours"] == planned["hours"]
    told = json.dumps(stored["crossover"])
    assert "the twin calibrated by this run" in told
    if planned["capacity"]["extrapolated"]:  # a guess is priced, and never sure
        assert ran.code == 3


@pytest.mark.e2e
def test_no_point_of_the_sweep_met_a_warm_prompt(calibrated: Path) -> None:
    """The points share a schedule; a cache that knew its prompts would make prefill look free."""
    for path in (calibrated / "runs" / "latest").glob("points/*/requests.parquet"):
        cached = pq.read_table(path)["cached_tok"].to_pylist()
        assert max(n or 0 for n in cached) <= 48, path.parent.name  # the template's own blocks


@pytest.mark.e2e
def test_scaling_overrides_and_a_plan_beyond_the_sweep(calibrated: Path) -> None:
    """Prompts longer than any swept: a plan all the same, and inconclusive."""
    longer = SMALL.replace("min: 40, max: 200", "min: 2000, max: 3000")
    (calibrated / "long.yaml").write_text(longer)
    run = (calibrated / "runs" / "latest").resolve()
    summary = (run / "summary.json").stat().st_mtime_ns
    part = plan(
        calibrated, "--traffic", "long.yaml", "--volume", "31Mtok/d", "--kv-tokens", "40000",
        "--spare", "0", "--csv", "hours.csv", "--no-report", "-o", "runs",
    )  # fmt: skip
    assert (calibrated / "hours.csv").read_text() == (run / "plan-replicas.csv").read_text()
    assert str(run / "plan-replicas.csv") in part["files"]
    assert (run / "summary.json").stat().st_mtime_ns == summary  # no report was asked for
    assert part["verdict"] == "inconclusive"
    assert part["answer"].startswith(("EXTRAPOLATED", "TOO NOISY"))
    assert any("prompts of 3,000 tokens" in text for text in part["capacity"]["extrapolated"])
    tokens = part["mix"]["mean_in_tok"] + part["mix"]["mean_out_tok"]
    assert part["mean_req_per_s"] * tokens * 86400 == pytest.approx(31e6, rel=1e-6)
    assert part["deployment"]["kv_tokens"] == 40000
    assert part["fixed"]["replicas"] == part["fixed"]["at_lower_bound"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--slo", "ttfv=1s"], "names are ttft, tpot, e2e_latency and attainment"),
        (["--slo", "ttft=1"], "1 has no unit"),
        (["--forecast", "nowhere.csv"], "nowhere.csv"),
        (["--load-target", "0%"], "leaves nothing"),
        (["--mean", "12"], "12 has no unit"),
        (["--mean", "12/s", "--volume", "1Mtok/d"], "give one of them"),
        (["--json", "--csv", "-"], "send --csv to a file"),
        (["--jitter", "3s"], "only the times of a trace spread"),
        (["-o", "elsewhere"], "elsewhere"),
    ],
)
@pytest.mark.e2e
def test_wrong_words_are_usage(calibrated: Path, args: list[str], told: str) -> None:
    ran = harness(calibrated, "plan", "replicas", "latest", *args)
    assert ran.code == 2, ran.err
    assert told in ran.err


@pytest.mark.e2e
def test_a_run_that_is_no_calibration_says_so(calibrated: Path, tmp_path: Path) -> None:
    """A run of one point: too few batches and prompts."""
    sets = ["sweep=null", "traffic.probe.workload.output_tokens={kind: fixed, value: 4}"]
    flags = [word for item in sets for word in ("--set", item)]
    ran = harness(tmp_path, "run", "twin-sweep", "--progress", "none", "--no-report", *flags)
    assert ran.code in (0, 3), ran.err
    planned = harness(tmp_path, "plan", "replicas", "latest", "--mean", "1/s")
    assert planned.code == 4
    assert "no calibration of the twin" in planned.err
    assert "harness run twin-sweep" in planned.err


@pytest.mark.e2e
def test_the_same_run_is_priced(calibrated: Path) -> None:
    """The crossover asks the twin for its capacity where no rate was measured; both parts stay."""
    ran = harness(
        calibrated, "plan", "crossover", "latest", "--json", "--no-report", "--prices",
        "fireworks-guide", "--forecast", "day.csv", "--traffic", "small.yaml", "--slo", "ttft=60s",
        "--slo", "tpot=10s", "--set", "cost.serverless.model=deepseek-v3",
        "--set", "cost.on_demand.gpu=h100",
    )  # fmt: skip
    assert ran.code in (0, 3), ran.err
    part = json.loads(ran.out)
    assert ", simulated; traffic day;" in part["headlines"][0]["detail"]
    values = {a["what"]: a for a in part["assumptions"]}
    assert values["capacity of a replica"]["source"].startswith("the twin calibrated by this run")
    assert part["at_traffic"]["choice"] == "serverless"  # 0.57 req/s of 130 tokens cost $0.24/h
    # three hours at a fraction of one replica, simulated on the same twin: it is up throughout
    day = part["at_traffic"]["day"]
    assert day in part["simulated"]["days"]
    assert (day["span_s"], day["by_stairs"]) == (3 * 3600, 1)
    assert day["paid"] == pytest.approx(1, rel=0.01)
    assert day["good_ratio"] > 0.9
    assert values["autoscaler"]["source"] == "simulated on the twin, request by request"
    run = (calibrated / "runs" / "latest").resolve()
    stored = json.loads((run / "plan.json").read_text("utf-8"))
    jsonschema.validate(stored, plan_schema())
    assert stored["replicas"] is not None
    assert stored["crossover"]["crossing"] == part["crossing"]


@pytest.mark.e2e
def test_a_trace_is_played_as_it_came(calibrated: Path) -> None:
    """Four requests at once every 20 s of three minutes, the last in no whole one; a failed row."""
    rows = [(20 * k, 60 + i, 8) for k in range(9) for i in range(4)] + [(3, 9, 0), (185, 9, 9)]
    text = "Timestamp,Request tokens,Response tokens\n"
    path = calibrated / "bursts.csv"
    path.write_text(text + "".join(f"{t},{a},{b}\n" for t, a, b in rows), encoding="utf-8")
    args = ["--forecast", "bursts.csv", "--window", "1min", "--slo", "ttft=60s", "--slo",
            "tpot=10s"]  # fmt: skip
    ran = harness(calibrated, "plan", "replicas", "latest", "--json", "--no-report", *args)
    assert ran.code in (0, 3), ran.err
    part = json.loads(ran.out)
    assert part["arrivals"] == {"how": "trace", "told": "the trace's own requests, as they came"}
    assert part["num_requests"] == 36
    assert part["mean_req_per_s"] == pytest.approx(0.2)
    assert (part["mix"]["name"], part["mix"]["mean_out_tok"]) == ("bursts", pytest.approx(8, abs=1))
    assert part["fixed"]["by_rates"] <= part["fixed"]["at_lower_bound"]
    told = " ".join(part["assumed"])
    assert "bursts: rows without tokens, left out as failed: 1" in told
    assert "requests after the last whole window, left out: 1" in told
    assert "37 requests at 10 different times" in told
    stored = json.loads((calibrated / "runs" / "latest" / "plan.json").read_text("utf-8"))
    jsonschema.validate(stored, plan_schema())
    again = harness(
        calibrated, "plan", "replicas", "latest", "--no-report", *args, "--mean", "0.1/s",
        "--jitter", "20s", "--traffic", "small.yaml",
    )  # fmt: skip
    assert again.code in (0, 3), again.err
    assert "arrivals    the trace's own requests, each kept with a chance of 5" in again.out
    assert "times spread over 20 s, as rounded down" in again.out
    assert "traffic     small:" in again.out
