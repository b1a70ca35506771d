"""Every scenario that ships is run, shortened, against the scripted endpoint over real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run_here

ROOT = Path(__file__).parents[2]
SHORT = ("load.warmup=500ms", "load.cooldown=2s", "load.drain=30s")
# The machine may be busy: the test is about the scenario, not about this client's health.
LENIENT = ("validity.max_send_lag.p99=60s", "validity.max_receive_lag.p99=60s",
           "validity.max_client_cpu=100%")  # fmt: skip
THREE_SECONDS = "load.duration=3s"
CASES = {
    "quickstart": [THREE_SECONDS],
    "smoke": [THREE_SECONDS, "load.rate=12/s"],
    "chat-azure": [THREE_SECONDS, "load.rate=15/s", "validity.min_requests=10"],
    "sweep": ["load.duration=2s", "sweep.over={load.rate: [10/s, 20/s]}", "sweep.cooldown=100ms"],
    "closed-loop": ["load.duration=2s", "sweep.over={load.concurrency: [1, 4]}", "load.ramp=200ms"],
    "shared-prefix": [THREE_SECONDS, "load.rate=12/s"],
    "spec-decode": [THREE_SECONDS],
    "spec-arms": [THREE_SECONDS],  # one point: the arms are the reference engine's own
    "probe": [THREE_SECONDS, "load.every=250ms", "slo.uptime.window=500ms", "sweep.repeat=2"],
    "soak": ["load.duration=2s", "load.rate=10/s", "slo.uptime.window=500ms", "sweep.repeat=2"],
    "cold-start": [
        "load.idle=[600ms, 900ms]", "load.gap=100ms", "load.requests=3", "load.cycles=2",
    ],
    "impatient": [
        THREE_SECONDS, "load.rate=12/s",
        "traffic.leaving.cancel.after={kind: fixed, value: 100ms}",
    ],
    "gate-reference": [
        "load.requests=10", "load.rate=20/s", "gate.blocks=1",
        "targets.baseline={kind: openai, url: URL}",
    ],
    "twin-sweep": [
        "traffic.probe.workload.input_tokens={kind: fixed, value: 1}",
        "sweep.over={load.concurrency: [1, 1, 1, 1, 4],"
        " traffic.probe.workload.input_tokens.value: [40, 90, 160, 250, 40]}",
    ],
    "migration": [
        "load.requests=10", "load.rate=20/s", "gate.blocks=1",
        "targets.from={kind: openai, url: URL}",
    ],
    "serverless-or-on-demand": [
        "load.duration=1s", "load.warmup=200ms", "sweep.min=20/s", "sweep.max=40/s",
        "sweep.resolution=100%", "slo.attainment=50%",
    ],
    "embeddings": [THREE_SECONDS],
    "audio": [THREE_SECONDS],
    "tools": [THREE_SECONDS, "load.rate=12/s"],
    "json-schema": [THREE_SECONDS, "load.rate=12/s"],
    "caching": [THREE_SECONDS, "load.rate=12/s"],
    "capacity": [
        "load.duration=1s", "load.warmup=200ms", "sweep.min=20/s", "sweep.max=40/s",
        "sweep.resolution=100%", "slo.attainment=50%",
    ],
    "trace-replay": [THREE_SECONDS, "load.arrival.thin=100%"],
}  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    script = {"timing": {"ttft": "20ms", "gap": "2ms"}, "tokens": {"prompt_slope": 1.3}}
    command = [sys.executable, "-m", "harness.testing", "--script", json.dumps(script)]
    with subprocess.Popen(
        [*command, "--exit-with-parent"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        yield child.stdout.readline().split()[1]
        child.terminate()


def test_every_scenario_is_run() -> None:
    shipped = {path.stem for path in (ROOT / "scenarios").glob("*.yaml")}
    assert shipped == set(CASES)


@pytest.mark.e2e
@pytest.mark.parametrize("name", CASES)
def test_scenario_runs(name: str, url: str, tmp_path: Path) -> None:
    items = [item.replace("URL", url) for item in (*SHORT, *LENIENT, *CASES[name])]
    sets = [word for item in items for word in ("--set", item)]
    flags = ["--url", url, "--json", "--progress", "none", "-o", str(tmp_path)]
    ran = run_here(tmp_path, "run", name, *flags, *sets)
    # 0 pass, 1 a limit failed on a slow machine, 3 too few requests to say: all are answers.
    assert ran.code in (0, 1, 3), ran.err[-2000:] + ran.out[-2000:]
    result = json.loads(ran.out)
    assert (Path(result["run_dir"]) / "report.html").exists()
    if name in ("gate-reference", "migration"):
        assert result["num_blocks"] == 1
        assert ran.code == 3
        return
    if name in ("capacity", "serverless-or-on-demand"):  # both rates hold: there is no queue
        assert result["verdicts"][0]["rule"] == "max_goodput"
        assert len(result["points"]) == 2
        assert_priced(Path(result["run_dir"]), is_asked="serverless" in name)
        return
    if name == "twin-sweep":  # a calibration: steps, and no figures of a load
        assert len(result["points"]) == 5
        assert {row["kind"] for row in result["steps"]} == {"decode", "prefill"}
        return
    assert len(result["points"]) == (2 if "sweep." in " ".join(CASES[name]) else 1)
    if name in ("tools", "json-schema"):
        assert_fit(result, "tool_valid" if name == "tools" else "schema_valid")
    for point in result["points"]:
        assert point["counts"]["success"] > 0
        assert point["counts"]["success"] == point["counts"]["valid"]


def assert_priced(run: Path, *, is_asked: bool) -> None:
    """The crossover stands in plan.json and in the report where the scenario has prices."""
    assert (run / "plan.json").exists() == is_asked
    assert ('id="chart-crossover"' in (run / "report.html").read_text()) == is_asked


def assert_fit(result: dict[str, Any], metric: str) -> None:
    """The scripted endpoint answers as it is asked to, and the report says so."""
    summary = json.loads((Path(result["run_dir"]) / "points/000-main/summary.json").read_text())
    (stage,) = summary.get("stages", [summary])
    values = {e["metric"]: e["value"] for e in stage["estimates"] if e["scope"] == "all"}
    assert values[metric] == 1
    assert values["valid_tok_per_s"] > 0
    assert metric in (Path(result["run_dir"]) / "report.html").read_text()
