"""Several points from one document: lists, tables, grids, repeats, and the search for a rate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from harness.scenario.distributions import Document
from harness.units import ReqPerS, Seconds, Share

MOST_POINTS = 10_000


class _Sweep(Document):
    targets: tuple[str, ...] | None = Field(default=None, description="None: all.")
    repeat: int = Field(
        default=1, ge=1, le=MOST_POINTS, description="Each point this often, with other seeds."
    )
    order: Literal["given", "shuffled"] = Field(default="given", description="Seeded shuffle.")
    cooldown: Seconds = Field(default=0.0, description="Pause between points.")


class _Over(_Sweep):
    over: dict[str, tuple[Any, ...]] = Field(min_length=1, description="Path -> values.")
    goal: Literal["figures", "step_times"] = Field(
        default="figures",
        description="Figures of each load, or step times that calibrate the capacity twin.",
    )


class ListSweep(_Over):
    """One path, its values in turn."""

    kind: Literal["list"]


class GridSweep(_Over):
    """Every combination of the paths' values."""

    kind: Literal["grid"]


class ZipSweep(_Over):
    """A table: the k-th point takes the k-th value of every path."""

    kind: Literal["zip"]


class RepeatSweep(_Sweep):
    """The same load `repeat` times: a soak in parts, of which --resume repeats only the last."""

    kind: Literal["repeat"]


class SearchSweep(_Sweep):
    """The highest rate of an open load that keeps slo.attainment: doubled until a rate misses, then
    window by window where the crossing may lie. `repeat` is of the grid points."""

    kind: Literal["search"]
    path: Literal["load.rate"] = Field(default="load.rate", description="What is searched.")
    min: ReqPerS = Field(description="Tried first; below it nothing is sought.")
    max: ReqPerS = Field(description="Above it nothing is sought.")
    goal: Literal["max_goodput"] = Field(
        default="max_goodput", description="The highest rate that keeps slo.attainment."
    )
    resolution: Share = Field(
        default=0.05,
        description="How narrow the interval has to be, and how far apart rates are at most.",
    )
    grid_points: int = Field(
        default=0, ge=0, le=50, description="Rates over the range measured anyway, for the curve."
    )
    budget: Seconds | None = Field(
        default=None, description="No window begins that would end later; None: no limit."
    )


ValuesSweep = ListSweep | GridSweep | ZipSweep
Sweep = Annotated[
    ListSweep | GridSweep | ZipSweep | RepeatSweep | SearchSweep, Field(discriminator="kind")
]


def is_calibration(sweep: Sweep | None) -> bool:
    """Whether the points calibrate the capacity twin: they are no figures of a load."""
    return isinstance(sweep, ValuesSweep) and sweep.goal == "step_times"
