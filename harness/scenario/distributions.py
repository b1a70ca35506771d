"""Distributions of a scenario: lengths and counts are bare numbers, times carry units.

Here stands also the base of every block of the document. What a distribution means when it is drawn
from is traffic/distributions.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.units import Seconds

MOST_TOK = 100_000_000  # of one text; far above every context window, and it fits its column


class Document(BaseModel):
    """Base of every block: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )


class Fixed(Document):
    kind: Literal["fixed"]
    value: float = Field(ge=0, le=MOST_TOK, description="Every draw is this number.")


class Uniform(Document):
    kind: Literal["uniform"]
    min: float = Field(ge=0, le=MOST_TOK, description="Smallest draw, inclusive.")
    max: float = Field(ge=0, le=MOST_TOK, description="Largest draw, inclusive for whole numbers.")


class Lognormal(Document):
    kind: Literal["lognormal"]
    median: float = Field(gt=0, description="Half of the draws lie below.")
    p95: float = Field(gt=0, description="19 of 20 draws lie below (before max).")
    max: float = Field(gt=0, le=MOST_TOK, description="Draws above are redrawn, not clipped.")


class Exponential(Document):
    kind: Literal["exponential"]
    mean: float = Field(gt=0, le=MOST_TOK / 100, description="Mean of the draws.")


class Empirical(Document):
    kind: Literal["empirical"]
    file: str = Field(
        description="CSV; with a column q it is a quantile table, else one row a draw."
    )
    column: str = Field(description="Column that holds the values.")
    max: float | None = Field(
        default=None, gt=0, description="Draws above are redrawn, not clipped."
    )


class Zipf(Document):
    kind: Literal["zipf"]
    s: float = Field(gt=0, description="Exponent: item k is drawn with weight k^-s.")


Lengths = Annotated[
    Fixed | Uniform | Lognormal | Exponential | Empirical, Field(discriminator="kind")
]


class FixedTime(Document):
    kind: Literal["fixed"]
    value: Seconds = Field(description="Every draw is this time.")


class UniformTime(Document):
    kind: Literal["uniform"]
    min: Seconds = Field(description="Shortest draw.")
    max: Seconds = Field(description="Longest draw.")


class LognormalTime(Document):
    kind: Literal["lognormal"]
    median: Seconds = Field(description="Half of the draws are shorter.")
    p95: Seconds = Field(description="19 of 20 draws are shorter (before max).")
    max: Seconds = Field(description="Draws above are redrawn, not clipped.")


class ExponentialTime(Document):
    kind: Literal["exponential"]
    mean: Seconds = Field(description="Mean of the draws.")


Times = Annotated[
    FixedTime | UniformTime | LognormalTime | ExponentialTime, Field(discriminator="kind")
]
