"""What a window's requests used, as plain data; billing.py counts it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over the billed attempts of one window.

    cached_tok: of input_tok, found in a cache; None where no answer told.  num_good: good requests.
    num_unknown: attempts whose prompt nobody counted.  audio_min: minutes that were transcribed.
    """

    num_billed: int
    num_good: int
    num_unknown: int
    input_tok: float
    output_tok: float
    cached_tok: float | None
    good_tok_per_s: Estimate
    good_tok_share: Estimate
    audio_min: float = 0.0

    @property
    def tok(self) -> float:
        return self.input_tok + self.output_tok

    def to_json(self) -> dict[str, Any]:
        rates = ("good_tok_per_s", "good_tok_share")
        return {**asdict(self), **{name: getattr(self, name).to_json() for name in rates}}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Usage:
        rates = ("good_tok_per_s", "good_tok_share")
        return cls(**{**row, **{name: Estimate.from_json(row[name]) for name in rates}})
