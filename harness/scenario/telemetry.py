"""What is asked of the target while a point runs, beside the load. It never enters a hash of
comparability: reading a page changes no traffic."""

from __future__ import annotations

from pydantic import Field

from harness.scenario.distributions import Document
from harness.units import Seconds


class Prometheus(Document):
    url: str = Field(
        default="auto",
        description="Metrics page; auto is /metrics beside the target's /v1, for each target.",
    )
    interval: Seconds = Field(default=1.0, ge=0.1, description="Between two readings.")


class Telemetry(Document):
    prometheus: Prometheus | None = Field(
        default_factory=Prometheus, description="Read each second of a point; null: not asked."
    )
    gpu: bool = Field(
        default=True, description="Read this machine's GPUs where the target runs on it."
    )
