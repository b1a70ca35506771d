"""What the manifest and the stored documents say of a run: what every page tells beside figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.analysis.client_check import ClientCheck
from harness.decisions.cost_answer import CostAnswer
from harness.decisions.point_cost import PointCost


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the manifest and the stored documents say; times and versions come from there."""

    run_id: str
    scenario: str
    description: str
    status: str
    created_utc: str
    provenance: Mapping[str, Any]
    given_text: str
    resolved_text: str
    targets: tuple[tuple[str, str, str], ...]  # name, model, URL
    duration_s: float
    reproduce: str
    client_check: ClientCheck | None = None  # of the load generator itself, before the run
    costs: tuple[PointCost, ...] = ()  # of each point, where the scenario names prices
    crossover: CostAnswer | None = None  # from plan.json
    replicas: Mapping[str, Any] | None = None  # its other part
    gpus: Mapping[str, int] = field(default_factory=dict)  # of a replica, by target, where known
