"""Scenarios: the document, its loader, its points and the materials they need."""

from __future__ import annotations

from harness.scenario.comparable import (
    comparability_hash,
    json_schema,
    limits_differ,
    question_differences,
)
from harness.scenario.document import Scenario
from harness.scenario.expand import Point, expand
from harness.scenario.loader import LoadedScenario, load_resolved, load_scenario
from harness.scenario.materials import Materials, read_materials
from harness.scenario.portable import portable

__all__ = [
    "LoadedScenario",
    "Materials",
    "Point",
    "Scenario",
    "comparability_hash",
    "expand",
    "json_schema",
    "limits_differ",
    "load_resolved",
    "load_scenario",
    "portable",
    "question_differences",
    "read_materials",
]
