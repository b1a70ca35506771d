"""Moving from one endpoint to another, live: the mapped id is what the new one gets, and cost and
latency stand side by side."""

from __future__ import annotations

import json
from typing import Any

import pytest

PRICES = """\
schema: harness/prices/v1
name: both
as_of: 2026-11-20
source: made up for this test
serverless:
  old-big: {input: 2.00USD/Mtok, output: 4.00USD/Mtok}
  new-small: {input: 0.50USD/Mtok, output: 1.00USD/Mtok}
"""
GATE = {
    "candidate": "to", "baseline": {"kind": "target", "target": "from"}, "blocks": 2,
    "require_comparable": ["scenario", "client"],
    "rules": [
        {"id": "ttft", "kind": "relative", "metric": "ttft", "stat": "p50", "max_increase": "20%"}
    ],
}  # fmt: skip
LOAD = {
    "kind": "open", "arrival": {"kind": "poisson"}, "rate": "40/s", "requests": 30,
    "warmup": "200ms", "cooldown": "500ms", "drain": "30s",
}  # fmt: skip


@pytest.mark.e2e
@pytest.mark.slow
def test_the_same_traffic_on_two_endpoints(cli: Any, scripted: Any) -> None:
    urls = []
    for model in ("old-big", "new-small"):
        # a request for any other model is refused: only the mapping makes the new one answer
        script = {"model": model, "http": {"check_model": True}, "tokens": {"prompt_slope": 1.3},
                  "timing": {"ttft": "20ms", "gap": "2ms"}}  # fmt: skip
        urls.append(scripted(script)[0])
    targets = {
        "from": {"kind": "openai", "url": urls[0], "model": "old-big"},
        "to": {"kind": "openai", "url": urls[1], "model": "old-big",
               "models": {"old-big": "new-small"}},
    }  # fmt: skip
    name = cli.scenario("move", targets=targets, load=LOAD, gate=GATE)
    (cli.folder / "prices.yaml").write_text(PRICES, encoding="utf-8")
    ran = cli.here("run", name, "--progress", "none")
    assert ran.code == 3, ran.err + ran.out  # two blocks prove nothing
    assert "old-big, sent as new-small" in ran.err
    assert "old-big, sent as new-small" in (cli.latest / "report.html").read_text("utf-8")

    refused = cli.here("compare", "latest@from", "latest@to")
    assert refused.code == 4
    assert "model.id is old-big in the baseline, new-small in the candidate" in refused.err
    sides = ("latest@from", "latest@to", "--migration", "--prices", "prices.yaml")
    done = cli.here("compare", *sides)
    assert done.code == 0, done.err
    assert "Cost side by side" in done.out
    found = json.loads(cli.here("compare", *sides, "--json").out)["migration"]
    assert [found[side]["asked"] for side in ("baseline", "candidate")] == ["old-big", "old-big"]
    assert [found[side]["sent"] for side in ("baseline", "candidate")] == ["old-big", "new-small"]
    assert found["num_pairs"] == 2
    # one schedule, one script: the same tokens at a quarter of the price
    assert found["cost_ratio"] == pytest.approx(0.25, rel=0.01)
    assert found["candidate"]["requests"] == found["baseline"]["requests"] > 60
    bare = cli.here("compare", "latest@from", "latest@to", "--prices", "prices.yaml")
    assert (bare.code, "--prices belongs to --migration" in bare.err) == (2, True)
