"""How hard: arrival processes, stages, and the loads made of them. Open and closed load are
different types, so that neither takes the other's keys.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.scenario.distributions import Document, Times
from harness.scenario.workloads import TraceFormat
from harness.units import ReqPerS, Seconds, Share

MOST_REQUESTS = 20_000_000  # of one stage: its schedule stays below a few GB; larger ones are typos


class Constant(Document):
    kind: Literal["constant"]


class Poisson(Document):
    kind: Literal["poisson"]


class Gamma(Document):
    kind: Literal["gamma"]
    cv: float = Field(
        ge=0.01, le=100, description="Coefficient of variation of the gaps; 1 is Poisson."
    )


class TraceArrival(Document):
    kind: Literal["trace"]
    file: str = Field(description="A real trace; its times are used.")
    format: TraceFormat = Field(description="Layout of the file.")
    thin: Share = Field(default=1.0, description="Share of rows kept; bursts survive thinning.")
    jitter: Seconds = Field(default=0.0, description="Seeded spread of quantised times.")


Arrival = Annotated[Constant | Poisson | Gamma | TraceArrival, Field(discriminator="kind")]


class Ramp(Document):
    kind: Literal["ramp"]
    from_: ReqPerS = Field(alias="from", description="Rate at the start of the window.")
    to: ReqPerS = Field(description="Rate at its end; linear between.")


class OpenStage(Document):
    """Arrivals come whether or not earlier ones were answered."""

    kind: Literal["open"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    arrival: Arrival = Field(description="The process; its gaps are never stretched to fit.")
    rate: ReqPerS | Ramp | None = Field(default=None, description="None only for a trace.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS, description="Or this many measured requests."
    )


class ClosedStage(Document):
    """A fixed number of users, each waiting for its answer. No evidence for a rate."""

    kind: Literal["closed"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    concurrency: int = Field(ge=1, le=1_000_000, description="Users.")
    think_time: Times | None = Field(default=None, description="Pause after an answer.")
    ramp: Seconds | None = Field(default=None, description="Users start spread over this time.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS, description="Or this many measured requests."
    )


class ProbeStage(Document):
    """One request at a fixed interval, for as long as it takes: uptime over days."""

    kind: Literal["probe"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    every: Seconds = Field(description="Between requests, whether or not they were answered.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS, description="Or this many measured requests."
    )


class IdleBurstStage(Document):
    """Silence, then a few requests: what the first of them pays for a target that went to sleep."""

    kind: Literal["idle_burst"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    idle: tuple[Seconds, ...] = Field(
        min_length=1, description="Silences before a burst, in turn; from intended send to send."
    )
    requests: int = Field(
        default=5, ge=2, le=1_000_000, description="Of a burst; the first is cold."
    )
    gap: Seconds = Field(default=1.0, description="Between the requests of a burst.")
    cycles: int = Field(
        default=6, ge=1, le=1_000_000, description="Times each silence is tried; 6 carry a p50."
    )


Stage = Annotated[
    OpenStage | ClosedStage | ProbeStage | IdleBurstStage, Field(discriminator="kind")
]


class _Common(Document):
    warmup: Seconds = Field(default=10.0, description="Load before the window; not measured.")
    cooldown: Seconds = Field(
        default=60.0, description="Load stays on until measured requests ended, at most this long."
    )
    drain: Seconds = Field(default=30.0, description="After the load: then the rest is cut.")
    max_in_flight: int | None = Field(
        default=None, ge=1, description="Reached: the point is invalid. Never a throttle."
    )


class OpenLoad(OpenStage, _Common):
    """One open stage with its phases."""


class ClosedLoad(ClosedStage, _Common):
    """One closed stage with its phases."""


class ProbeLoad(ProbeStage, _Common):
    """One probe with its phases."""


class IdleBurstLoad(IdleBurstStage, _Common):
    """Idle bursts with their phases; one burst is sent at the start of the warm-up."""


class StagedLoad(_Common):
    """Stages follow each other."""

    kind: Literal["stages"]
    stages: tuple[Stage, ...] = Field(min_length=1, description="In order; names are unique.")


Load = Annotated[
    OpenLoad | ClosedLoad | ProbeLoad | IdleBurstLoad | StagedLoad, Field(discriminator="kind")
]
