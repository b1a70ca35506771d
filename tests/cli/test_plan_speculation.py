"""`harness plan replicas` from a server that speculates: one that tells its drafts, and one whose
chunks hold several tokens without a word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.test_plan_replicas import DAY, GRID, SMALL, plan

SETS = (
    "traffic.probe.workload.input_tokens={kind: fixed, value: 1}",
    "sweep.kind=grid", f"sweep.over={GRID}",
    "traffic.probe.workload.output_tokens={kind: fixed, value: 64}",
    "validity.max_send_lag.p99=60s", "validity.max_receive_lag.p99=60s",
)  # fmt: skip


def sweep(cli: Any, target: str) -> Any:
    (cli.folder / "day.csv").write_text(DAY)
    (cli.folder / "small.yaml").write_text(SMALL)
    flags = [word for text in (*SETS, target) for word in ("--set", text)]
    return cli.here("run", "twin-sweep", "--progress", "none", "--no-report", *flags)


@pytest.mark.e2e
def test_a_server_that_tells_its_drafts_is_planned_with_them(cli: Any) -> None:
    """A draft model's 3 a step: the twin takes 3, and between one and four tokens gained."""
    ran = sweep(cli, "targets.main={kind: reference, model: tiny, flags: {spec: draft, spec_k: 3}}")
    assert ran.code in (0, 3), ran.err
    args = ("--forecast", "day.csv", "--traffic", "small.yaml", "--slo", "ttft=60s")
    part = plan(cli.folder, *args)
    (told,) = part["assumed"]
    assert told.startswith("speculation as on the sweep's own prompts: 3 drafts a step, ")
    assert part["deployment"]["gamma"] == 3
    assert 1 < part["deployment"]["tau"] <= 4
    assert part["fixed"]["replicas"] >= 2
    printed = cli("plan", "replicas", "latest", *args, "--no-report").out
    assert "assumed     speculation as on the sweep's own prompts" in printed


@pytest.mark.e2e
def test_a_server_that_does_not_is_refused_by_reason(cli: Any) -> None:
    """Two tokens a chunk and no account of steps: drafts that were kept, or a slow stream."""
    script = "{timing: {ttft: 20ms, gap: 5ms}, chunks: {tok_per_chunk: 2}}"
    ran = sweep(cli, f"targets.main={{kind: scripted, script: {script}}}")
    assert ran.has_no_traceback()
    assert ran.code == 4, ran.out + ran.err  # measured, and no calibration
    assert "tokens a chunk" in " ".join(ran.out.split())
    planned = cli.here("plan", "replicas", "latest", "--forecast", "day.csv", "--slo", "ttft=1s")
    assert (planned.code, planned.out) == (4, "")
    assert "the twin cannot be told how this server speculates" in planned.err
    assert "tokens a chunk: drafts that were kept, or a stream held back" in planned.err
    assert "plan from a measured sweep of rates" in planned.err
