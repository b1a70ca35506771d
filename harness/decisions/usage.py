"""What a run used and what that costs by a sheet: the basis of bills and of a migration's cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import Frame
from harness.decisions.prices import Mix, tariff_of, usd_per_request
from harness.scenario.prices import PriceSheet


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server told them, over every request that told them, warm-up and all: each
    one is billed."""

    requests: int
    input_tok: float
    cached_tok: float
    output_tok: float

    @property
    def tok(self) -> float:
        return self.input_tok + self.output_tok


def usage_of(frame: Frame) -> Usage:
    told = np.isfinite(frame.n_in) & np.isfinite(frame.n_out)
    return Usage(
        int(told.sum()), float(frame.n_in[told].sum()),
        float(np.nan_to_num(frame.cached_tok[told]).sum()), float(frame.n_out[told].sum()),
    )  # fmt: skip


def total(parts: Sequence[Usage]) -> Usage:
    return Usage(
        sum(u.requests for u in parts), sum(u.input_tok for u in parts),
        sum(u.cached_tok for u in parts), sum(u.output_tok for u in parts),
    )  # fmt: skip


def usage_usd(sheet: PriceSheet, model: str, usage: Usage) -> float:
    """The bill of a usage by the sheet's own arithmetic (decisions/prices.py).

    Raises ValueError where the sheet has no row for the model.
    """
    rates = tariff_of(sheet, model).point()
    share = usage.cached_tok / usage.input_tok if usage.input_tok else 0.0
    mix = Mix(usage.input_tok, usage.output_tok, cached_share=share)
    # one request of all these tokens, then the fee of the others
    return float(usd_per_request(mix, rates) + (usage.requests - 1) * rates.request)
