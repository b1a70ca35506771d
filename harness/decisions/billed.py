"""What a whole run used and what that costs by a sheet: what its bill has to be.

Other than analysis/billing.py, which counts a measured window for the cost of its good tokens: a
bill knows no window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import BoolArray, Frame
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


# refused before a token was made
_NOT_BILLED = (
    "dns", "connect", "tls", "timeout_send", "http_4xx", "throttled", "http_5xx", "stale",
    "client_fault",
)  # fmt: skip


def is_told(frame: Frame) -> BoolArray:
    """[n] requests whose usage the server told: input, and output where it generates any."""
    has_output = np.isfinite(frame.n_out) | ~frame.is_streamed
    return np.asarray(np.isfinite(frame.n_in) & has_output, dtype=np.bool_)


def untold(frame: Frame) -> BoolArray:
    """[n] requests that may have been billed though their usage is not known: left, cut, timed
    out, broken off, or answered without it."""
    return frame.was_sent & ~is_told(frame) & ~frame.is_class(*_NOT_BILLED)


def both_told(a: Frame, b: Frame) -> tuple[BoolArray, BoolArray]:
    """Rows of either whose usage is told, and that of the same request on the other side too. a, b:
    of one schedule."""
    shared = np.intersect1d(a.arrival[is_told(a)], b.arrival[is_told(b)])
    own = is_told(a) & np.isin(a.arrival, shared)
    return own, is_told(b) & np.isin(b.arrival, shared)


def billed_of(frame: Frame, chosen: BoolArray | None = None) -> Billed:
    """chosen: rows whose usage is told; None: all of them."""
    told = is_told(frame) if chosen is None else chosen
    return Billed(
        int(told.sum()), float(frame.n_in[told].sum()),
        float(np.nan_to_num(frame.cached_tok[told]).sum()),
        float(np.nan_to_num(frame.n_out[told]).sum()),
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
