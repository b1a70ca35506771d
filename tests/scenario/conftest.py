"""A small valid scenario, written with changes, and the faults of one that is not valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import Fault, ScenarioError
from harness.scenario import LoadedScenario, load_scenario

SMALL = """\
schema: harness/v1
name: small
targets:
  main: {kind: openai, url: "http://localhost:8000/v1"}
traffic:
  - name: chat
    workload:
      kind: chat
      input_tokens: {kind: fixed, value: 100}
      output_tokens: {kind: fixed, value: 20}
load:
  kind: open
  arrival: {kind: poisson}
  rate: 8/s
  duration: 60s
slo:
  ttft: {p95: 1s}
"""

Faults = Callable[..., list[Fault]]
Load = Callable[..., LoadedScenario]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(old, new, **options): SMALL with a text replaced, loaded without an environment."""

    def loader(old: str = "", new: str = "", **options: object) -> LoadedScenario:
        assert old in SMALL
        path = tmp_path / "small.yaml"
        path.write_text(SMALL.replace(old, new, 1) if old else SMALL, encoding="utf-8")
        return load_scenario(path, **{"env": {}, **options})  # type: ignore[arg-type]

    return loader


@pytest.fixture
def faults(load: Load) -> Faults:
    """The same, but the faults it ends in."""

    def collect(old: str = "", new: str = "", **options: object) -> list[Fault]:
        with pytest.raises(ScenarioError) as error:
            load(old, new, **options)
        assert error.value.exit_code == 2
        return list(error.value.faults)

    return collect
