"""Rules between the gate block and the rest of the document, on plain values: any may be broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.scenario._faults import Wrong


def gate_faults(data: dict[str, Any], gate: dict[str, Any]) -> Iterator[Wrong]:
    """Unknown arms and stages, a sweep beside a gate, an SLO rule without an SLO."""
    if data.get("sweep") is not None:
        yield Wrong(
            ("sweep",), "a gate makes its own points; remove sweep, or the gate", at_key=True
        )
    yield from _arms(data.get("targets"), gate)
    stages = _stages(data.get("load"))
    rules = gate.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict):
            yield from _rule(data, rule, ("gate", "rules", index), stages)


def _arms(targets: Any, gate: dict[str, Any]) -> Iterator[Wrong]:
    if not isinstance(targets, dict):
        return
    legal = ", ".join(map(str, targets))
    candidate, baseline = gate.get("candidate"), gate.get("baseline")
    if isinstance(candidate, str) and candidate not in targets:
        yield Wrong(("gate", "candidate"), f"no target '{candidate}'; there are {legal}")
    if not isinstance(baseline, dict) or baseline.get("kind") != "target":
        return
    name, where = baseline.get("target"), ("gate", "baseline", "target")
    if isinstance(name, str) and name not in targets:
        yield Wrong(where, f"no target '{name}'; there are {legal}")
    elif isinstance(name, str) and name == candidate:
        yield Wrong(where, "is the candidate itself; name another target, even if it is the same")


def _rule(
    data: dict[str, Any], rule: dict[str, Any], where: tuple[str | int, ...], stages: list[str]
) -> Iterator[Wrong]:
    stage = rule.get("stage")
    if isinstance(stage, str) and stages and stage not in stages:
        yield Wrong((*where, "stage"), f"no stage '{stage}'; there are {', '.join(stages)}")
    if stage is None and len(stages) > 1:
        yield Wrong((*where, "stage"), f"missing; name one of {', '.join(stages)}")
    if rule.get("kind") == "slo" and not data.get("slo"):
        yield Wrong((*where, "kind"), "the scenario sets no slo; add one, or remove this rule")


def _stages(load: Any) -> list[str]:
    """Names of the stages; `main` for a load without; empty where they cannot be told."""
    if not isinstance(load, dict):
        return []
    stages = load.get("stages")
    if load.get("kind") != "stages":
        return [str(load.get("name", "main"))]
    named = stages if isinstance(stages, list) else []
    return [str(s.get("name", "main")) for s in named if isinstance(s, dict)]
