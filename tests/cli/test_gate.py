"""A gate over real sockets: paired blocks, exit 3 for two, judged again, set side by side."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from harness.decisions.gate_document import gate_schema

GATE = {
    "candidate": "new",
    "baseline": {"kind": "target", "target": "old"},
    "blocks": 2,
    "rules": [
        {"id": "ttft", "kind": "relative", "metric": "ttft", "stat": "p50", "max_increase": "5%"},
        {"id": "errors", "kind": "absolute", "metric": "error_rate", "max": "30%"},
    ],
}
LOAD = {
    "kind": "open", "arrival": {"kind": "poisson"}, "rate": "40/s", "requests": 30,
    "warmup": "200ms", "cooldown": "500ms", "drain": "30s",
}  # fmt: skip


def targets(ttft: str) -> dict[str, object]:
    return {
        name: {"kind": "scripted", "script": {"timing": {"ttft": t, "gap": "2ms"}}}
        for name, t in (("old", "20ms"), ("new", ttft))
    }


@pytest.mark.e2e
@pytest.mark.slow
def test_a_gate_of_two_blocks_and_two_runs_alone(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    name = cli.scenario("pair", targets=targets("200ms"), load=LOAD, gate=GATE)
    step = tmp_path / "step.md"
    ran = cli.here("run", name, "--save-baseline", "main", env={"GITHUB_STEP_SUMMARY": str(step)})
    assert ran.code == 3, ran.err + ran.out
    assert ran.has_no_traceback()
    assert "INCONCLUSIVE: TTFT p50" in ran.out
    assert "2 blocks can fail no relative rule" in ran.err  # told before it began
    run = cli.latest
    data = json.loads((run / "gate.json").read_text("utf-8"))
    jsonschema.validate(data, gate_schema())
    assert (data["verdict"], data["exit_code"]) == ("inconclusive", 3)
    first = data["rules"][0]
    assert [b["order"] for b in first["blocks"]] == ["AB", "BA"]
    assert all(b["candidate"] / b["baseline"] > 2 for b in first["blocks"])
    digests = [json.loads(p.read_text("utf-8"))["schedule_sha256"]
               for p in sorted(run.glob("points/*/point.json"))]  # fmt: skip
    assert digests[0] == digests[1]
    assert digests[2] == digests[3] != digests[0]
    cases = ElementTree.parse(run / "junit.xml").findall(".//testcase")
    assert [c.get("name") for c in cases] == ["ttft", "errors"]
    assert [c.find("skipped") is not None for c in cases] == [True, False]
    assert step.read_text("utf-8") == (run / "summary.md").read_text("utf-8")
    assert "chart-both-ttft-cdf" in (run / "report.html").read_text("utf-8")

    # an open question may count as either; the printed verdict stays
    again = cli("gate", "latest", "--on-inconclusive", "pass", "--no-report")
    assert (again.code, "INCONCLUSIVE" in again.out) == (0, True)
    asked = cli.here("gate", "latest", "--on-inconclusive", "fail", "--no-report")
    assert asked.code == 1
    # against a stored baseline that holds nothing but this run itself: no session
    alone = cli.here("gate", "latest", "--baseline", "main", "--json")
    assert alone.code == 3
    assert "0 stored sessions" in json.dumps(json.loads(alone.out)["verdicts"])
    listed = json.loads(cli("baseline", "list", "main", "--json").out)
    assert len(listed["sessions"][0]["values"]["main/ttft/p50"]) == 2
    assert cli.here("baseline", "quarantine", "main", run.name, "--reason", "busy host").code == 0
    assert "quarantine: busy host" in cli.here("baseline", "list", "main").out
    assert cli.here("baseline", "report", "main").code == 0
    assert "busy host" in (cli.runs / "baselines" / "main.html").read_text("utf-8")

    both = cli.here("compare", "latest@old", "latest@new", "--json")
    assert both.code == 0
    rows = {(r["metric"], r["stat"]): r for r in json.loads(both.out)["metrics"]}
    assert rows["ttft", "p50"]["change_ratio"] > 1
    assert rows["ttft", "p50"]["verdict"] == "inconclusive"

    check_two_plain_runs(cli, run.name)


def check_two_plain_runs(cli, gate_run: str) -> None:  # type: ignore[no-untyped-def]
    """Pitfall 28 with real runs: one against one is inconclusive; another scenario is refused."""
    for _ in range(2):
        name = cli.scenario("alone", load={**LOAD, "rate": "50/s"})
        assert cli.here("run", name, "--no-report").code == 0
    first, second = sorted(p.name for p in cli.runs.glob("2*-alone-*"))
    alike = cli("compare", first, second)
    assert alike.code == 0, alike.err
    assert "INCONCLUSIVE" in alike.out
    assert "how much two runs of the same thing differ is not known" in " ".join(alike.out.split())
    assert cli.here("compare", first, second, "--out", "beside/").code == 0
    found = sorted(p.name for p in (cli.folder / "beside").iterdir())
    assert found == ["comparison.html", "comparison.md"]
    other = cli.here("compare", f"{gate_run}@old", first)
    assert other.code == 4
    assert "scenario.load." in other.err  # what differs, not only that a hash does
    assert "--allow scenario" in other.err
    asked = cli.here("gate", first)
    assert asked.code == 2
    assert "without a gate" in asked.err
