"""The cost block: every fault with its place; a valid document holds its sheet."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario import comparability_hash, load_resolved, load_scenario
from harness.scenario.cost import sides
from harness.scenario.planning import with_cost
from harness.scenario.prices import load_prices

COST = """\
cost:
  prices: fireworks-guide
  serverless: {model: llama-v3p3-70b-instruct}
  on_demand: {gpu: h100, gpus_per_replica: 2}
  forecast: {file: servegen-day, volume: 2Gtok/month}
slo:"""

FAULTS = [  # in COST: text replaced, by what, path, line, column, message
    ("fireworks-guide", "firework-guide", "cost.prices", 17, 11, "did you mean 'fireworks-guide'?"),
    ("llama-v3p3-70b-instruct", "llama-v3-70b", "cost.serverless.model", 18, 23,
     "no row 'llama-v3-70b'; did you mean"),
    ("{model: llama-v3p3-70b-instruct}", "{}", "cost.serverless.model", 18, 3,
     "missing; name a row"),
    ("{model: llama-v3p3-70b-instruct}", "{target: nobody}", "cost.serverless.target", 18, 24,
     "no target 'nobody'; there are main"),
    ("{model: llama-v3p3-70b-instruct}", "{target: main}", "cost.on_demand.target", 19, 3,
     "missing; say which is on demand"),
    ("gpu: h100", "gpu: h10", "cost.on_demand.gpu", 19, 20, "no GPU 'h10'; did you mean 'h100'?"),
    ("gpu: h100", "gpu: h100, load_target: 80", "cost.on_demand.load_target", 19, 39,
     "80 has no unit; write 80%"),
    ("gpu: h100", "gpu: h100, spares: 1", "cost.on_demand.spares", 19, 26,
     "did you mean 'spare_replicas'?"),
    ("servegen-day", "servegen", "cost.forecast.file", 20, 20, "did you mean 'servegen-day'?"),
    ("volume: 2Gtok/month", "mean: 2/s, volume: 2Gtok/month", "cost.forecast.volume", 20, 53,
     "give either mean or volume"),
    ("volume: 2Gtok/month", "volume: 2Gtok", "cost.forecast.volume", 20, 42, "unknown unit 'Gtok'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "line", "column", "message"), FAULTS)
def test_one_fault(faults, old, new, path, line, column, message) -> None:  # type: ignore[no-untyped-def]
    assert old in COST
    found = faults("slo:", COST.replace(old, new, 1))
    first = next(f for f in found if f.path == path)
    assert (first.line, first.column) == (line, column)
    assert message in first.message


OWN = """\
schema: harness/prices/v1
name: own
as_of: 2026-11-20
source: our contract
serverless:
  m: {input: 0.60USD/Mtok, output: 1.20USD/Mtok}
  free: {input: 0USD/Mtok, output: 0USD/Mtok}
  sound: {audio: 0.20USD/audio_min}
on_demand:
  minute: {price: 0.05USD/gpu_min}
  gift: {price: 0USD/gpu_h}
"""


@pytest.mark.parametrize(
    ("serverless", "on_demand", "path", "message"),
    [
        ("model: free", "gpu: minute", "serverless.model", "row free asks nothing"),
        ("model: sound", "gpu: minute", "serverless.model",
         "harness plan prices own --volume sound=100kaudio_min/month"),
        ("model: m", "gpu: gift", "on_demand.gpu", "costs nothing in sheet own"),
        ("model: m", "gpu: minute, scaling: committed", "on_demand.scaling", "gives no discount"),
        ("model: m", "gpu: minute, commitment_discount: 100%", "on_demand.commitment_discount",
         "is all of the price"),
        ("model: m", "gpu: minute, scaling: to_zero", "on_demand.scaling", "scale_to_zero: {idle"),
        ("model: m", "gpu: minute, egress_per_request: 2kB", "on_demand.egress_per_request",
         "sheet own has no egress price"),
    ],
)  # fmt: skip
def test_what_a_sheet_cannot_answer(
    faults, tmp_path: Path, serverless: str, on_demand: str, path: str, message: str
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    text = (
        f"cost:\n  prices: own.yaml\n  serverless: {{{serverless}}}\n  on_demand: {{{on_demand}}}"
    )
    (fault,) = faults("slo:", f"{text}\nslo:")
    assert fault.path == f"cost.{path}"
    assert message in fault.message
    assert load_prices(tmp_path / "own.yaml").on_demand["minute"].price.point == pytest.approx(3)


def test_a_block_that_compares_nothing_is_refused(faults) -> None:  # type: ignore[no-untyped-def]
    (fault,) = faults("slo:", "cost: {prices: fireworks-guide}\nslo:")
    assert "compares nothing" in fault.message


def test_a_fault_of_the_sheet_is_told_with_its_line(faults, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine.yaml").write_text("schema: harness/prices/v1\nname: mine\nsource: x\n")
    (fault,) = faults("slo:", COST.replace("fireworks-guide", "mine.yaml"))
    assert fault.path == "cost.prices"
    assert fault.message.startswith("line 1 of mine.yaml: as_of missing")


def test_the_document_keeps_the_sheet_it_was_judged_by(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    loaded = load("slo:", COST)
    path = tmp_path / "scenario.resolved.yaml"
    path.write_text(loaded.resolved_yaml(), encoding="utf-8")
    again = load_resolved(path).document
    assert again == loaded.document
    assert again.cost is not None
    assert again.cost.sheet.as_of.isoformat() == "2026-11-23"
    assert again.cost.forecast is not None
    assert again.cost.forecast.volume.per_h == pytest.approx(2e9 / 720)
    assert sides(again.cost, again.targets) == {"main": "on_demand"}
    assert load_scenario(path, env={}).document == loaded.document


def test_prices_change_nothing_that_is_compared(load) -> None:  # type: ignore[no-untyped-def]
    assert comparability_hash(load("slo:", COST).document) == comparability_hash(load().document)


def test_another_cost_for_what_was_measured(load) -> None:  # type: ignore[no-untyped-def]
    document = load().document
    changed = with_cost(
        document,
        ("cost.prices=fireworks-guide", "cost.serverless.model=deepseek-v3",
         "cost.on_demand.gpu=a100-80", "cost.forecast.file=servegen-day"),
    )  # fmt: skip
    assert changed.cost is not None
    assert changed.cost.on_demand is not None
    assert changed.cost.on_demand.gpu == "a100-80"
    again = with_cost(changed, ("cost.on_demand.gpus_per_replica=4",))
    assert again.cost is not None
    assert again.cost.sheet == changed.cost.sheet
    assert again.load == document.load
    with pytest.raises(ScenarioError) as error:
        with_cost(document, ("load.rate=1/s", "cost.prices=fireworks-guide"))
    assert [f.path for f in error.value.faults] == ["load.rate", "cost"]
    assert "was measured as it is" in error.value.faults[0].message
    assert error.value.render().endswith("harness plan crossover small")
