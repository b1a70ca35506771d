"""The same traffic on two endpoints: what each cost, and the ratio with its interval.

Cost a request is usage times price, in each pair of runs that replayed one schedule; the interval
is that of the paired logs (subset means), as for latency beside it. Prices are not random: what
scatters is how long answers came out and how much of a prompt was cached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.paired import SubsetMeans
from harness.decisions.billed import Billed, billed_usd, total
from harness.scenario.prices import PriceSheet


@dataclass(frozen=True, slots=True)
class SideCost:
    """One side. asked, sent: model ids.  sheet: name and date, empty where no sheet has a row.

    usd: of the whole usage, None without a price.
    """

    name: str
    asked: str
    sent: str
    sheet: str
    usage: Billed
    usd: float | None

    @property
    def usd_per_1000_requests(self) -> float | None:
        if self.usd is None or not self.usage.requests:
            return None
        return 1000 * self.usd / self.usage.requests

    @property
    def usd_per_mtok(self) -> float | None:
        return None if self.usd is None or not self.usage.tok else 1e6 * self.usd / self.usage.tok


@dataclass(frozen=True, slots=True)
class Migration:
    """ratio: cost a request, candidate over baseline, geometric mean over pairs; low, high: its
    95 % interval, None where fewer than six pairs carry none."""

    base: SideCost
    other: SideCost
    ratio: float | None
    low: float | None
    high: float | None
    num_pairs: int

    def to_json(self) -> dict[str, Any]:
        sides = {}
        for name, side in (("baseline", self.base), ("candidate", self.other)):
            sides[name] = {
                "name": side.name, "asked": side.asked, "sent": side.sent, "prices": side.sheet,
                "requests": side.usage.requests, "input_tok": side.usage.input_tok,
                "cached_tok": side.usage.cached_tok, "output_tok": side.usage.output_tok,
                "usd": side.usd, "usd_per_1000_requests": side.usd_per_1000_requests,
                "usd_per_mtok": side.usd_per_mtok,
            }  # fmt: skip
        return {
            **sides, "cost_ratio": self.ratio, "ci_ratio": [self.low, self.high],
            "num_pairs": self.num_pairs,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SideUsage:
    """One side as measured: usage of each pair's run, in the order of the pairs."""

    name: str
    asked: str
    sent: str
    usages: tuple[Billed, ...]


def side_by_side(base: SideUsage, other: SideUsage, sheets: Sequence[PriceSheet]) -> Migration:
    """sheets: looked through in order for each side's sent id; the first that has it prices it."""
    sides = [_cost(side, sheets) for side in (base, other)]
    each = [_each(side, sheets) for side in (base, other)]
    d = [
        math.log(b) - math.log(a)
        for a, b in zip(each[0], each[1], strict=True)
        if a is not None and b is not None and a > 0 and b > 0
    ]
    if not d:
        return Migration(sides[0], sides[1], None, None, None, 0)
    means = SubsetMeans.of(d)
    ends = means.interval()
    low, high = (None if e is None else math.exp(e) for e in (ends.low, ends.high))
    return Migration(sides[0], sides[1], math.exp(means.mean), low, high, len(d))


def _sheet_of(sent: str, sheets: Sequence[PriceSheet]) -> PriceSheet | None:
    return next((sheet for sheet in sheets if sheet.row(sent) is not None), None)


def _cost(side: SideUsage, sheets: Sequence[PriceSheet]) -> SideCost:
    usage, sheet = total(side.usages), _sheet_of(side.sent, sheets)
    usd = None if sheet is None else billed_usd(sheet, side.sent, usage)
    told = "" if sheet is None else f"{sheet.name}, {sheet.as_of}"
    return SideCost(side.name, side.asked, side.sent, told, usage, usd)


def _each(side: SideUsage, sheets: Sequence[PriceSheet]) -> list[float | None]:
    """USD a request of each run."""
    sheet = _sheet_of(side.sent, sheets)
    return [
        None if sheet is None or not u.requests else billed_usd(sheet, side.sent, u) / u.requests
        for u in side.usages
    ]
