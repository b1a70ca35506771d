"""What a whole run used and what that costs by a sheet: what its bill has to be.

Other than analysis/billing.py, which counts a measured window for the cost of its good tokens: a
bill knows no window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import Frame
from harness.decisions.prices import Mix, tariff_of, usd_per_request
from harness.scenario.prices import PriceSheet


@dataclass(frozen=True, slots=True)
class Billed:
    """Tokens as the server told them, over every request that told them, warm-up and all: each
    one is billed."""

    requests: int
    input_tok: float
    cached_tok: float
    output_tok: float

    @property
    def tok(self) -> float:
        return self.input_tok + self.output_tok


def billed_of(frame: Frame) -> Billed:
    told = np.isfinite(frame.n_in) & np.isfinite(frame.n_out)
    return Billed(
        int(told.sum()), float(frame.n_in[told].sum()),
        float(np.nan_to_num(frame.cached_tok[told]).sum()), float(frame.n_out[told].sum()),
    )  # fmt: skip


def total(parts: Sequence[Billed]) -> Billed:
    return Billed(
        sum(u.requests for u in parts), sum(u.input_tok for u in parts),
        sum(u.cached_tok for u in parts), sum(u.output_tok for u in parts),
    )  # fmt: skip


def billed_usd(sheet: PriceSheet, model: str, billed: Billed) -> float:
    """The bill of a usage by the sheet's own arithmetic (decisions/prices.py).

    Raises ValueError where the sheet has no row for the model.
    """
    rates = tariff_of(sheet, model).point()
    share = billed.cached_tok / billed.input_tok if billed.input_tok else 0.0
    mix = Mix(billed.input_tok, billed.output_tok, cached_share=share)
    # one request of all these tokens, then the fee of the others
    return float(usd_per_request(mix, rates) + (billed.requests - 1) * rates.request)
