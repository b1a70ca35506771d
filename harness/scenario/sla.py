"""A service level agreement as data: which availability it counts, what it promises, what it pays.

Three definitions are in use and disagree (docs/method.md): `requests` counts good requests over the
period, `windows` the share of windows that were up, `mean` averages the windows' good shares. A
scenario names a file (`slo.uptime.sla: sla/bedrock.yaml`), which is read into the run.
"""

from __future__ import annotations

import itertools
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.scenario._files import library_folder
from harness.scenario._plain import Kind
from harness.units import Seconds, Share

SLAS = Kind(
    "service level agreement", "harness/sla/v1", "harness validate", library_folder() / "sla"
)
MONTH_S = 30 * 86_400.0


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SlaStep(_Block):
    """Below this availability, this share of the bill is credited."""

    below: Share = Field(description="Availability below which the step holds.")
    credit: Share = Field(description="Share of the period's bill.")


class Sla(_Block):
    """What a provider promises and credits. steps: the lowest one that holds counts alone."""

    schema_: Literal["harness/sla/v1"] = Field(
        alias="schema", description="Version of this document."
    )
    name: str = Field(min_length=1, description="Printed beside every credit.")
    as_of: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="When the source said so.")
    source: str = Field(min_length=1, description="Where it is written.")
    doubt: str = Field(default="", description="What this file does not know or leaves out.")
    definition: Literal["requests", "windows", "mean"] = Field(
        description="Which availability is promised."
    )
    window: Seconds = Field(default=300.0, description="Length of a window of windows and mean.")
    good: Share = Field(default=0.95, description="Least share of good answers in an up window.")
    period: Seconds = Field(default=MONTH_S, description="Billing period.")
    objective: Share = Field(description="What is promised.")
    steps: tuple[SlaStep, ...] = Field(min_length=1, description="From the highest to the lowest.")

    @model_validator(mode="after")
    def _steps_fall(self) -> Self:
        for before, after in itertools.pairwise(self.steps):
            if after.below >= before.below or after.credit < before.credit:
                raise ValueError("steps must fall in availability and rise in credit")
        if self.steps[0].below > self.objective:
            raise ValueError("no credit is due at or above the objective: lower the first step")
        return self

    def credit(self, availability: float) -> float:
        """Share of the bill that is due at an availability, 0 where the promise was kept."""
        due = 0.0
        for step in self.steps:
            # 99.9 % of a count is 99.9 %, whatever 1 - 9/9000 is in binary
            if availability < step.below - 1e-12:
                due = step.credit
        return due


class Redundancy(_Block):
    """What spare replicas or regions would buy, at a stated availability of one of them."""

    replicas_needed: int = Field(
        default=1, ge=1, le=100_000, description="Replicas the traffic needs at once."
    )
    availability: Share | None = Field(
        default=None, description="Of one replica; none: the share of good requests measured."
    )
    regions: int = Field(default=1, ge=1, le=100, description="Regions that each can serve all.")
    common_cause: Share | None = Field(
        default=None, description="Share of downtime that hits every region at once."
    )

    @model_validator(mode="after")
    def _has_common_cause(self) -> Self:
        if self.regions > 1 and self.common_cause is None:
            raise ValueError(
                "several regions need common_cause, the share of downtime that hits all of them:"
                " 0% claims full independence, 5% is cautious"
            )
        return self
