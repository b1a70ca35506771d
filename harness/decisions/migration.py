"""The same traffic on two endpoints: what each cost, and the ratio with its interval.

Cost a request is usage times price, in each pair of runs that replayed one schedule, over the
requests that both sides answered: one that fails the long ones would else look cheap. The interval
is that of the paired logs (subset means), as for latency beside it. Prices are not random: what
scatters is how long answers came out and how much of a prompt was cached. Answers of another length
are other work: what the prices alone do, at the baseline's own tokens, is told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.paired import SubsetMeans
from harness.decisions.billed import Billed, billed_usd, total
from harness.scenario.prices import PriceSheet
from harness.units import significant

OTHER_WORK = 0.05  # answers longer or shorter by more are said to be


@dataclass(frozen=True, slots=True)
class SideCost:
    """One side. asked, sent: model ids.  sheet: name and date, empty where no sheet has a row.

    usage: of the requests that both sides answered.  usd: of the whole usage, None without a price.
    num_sent, num_answered: requests, the latter those whose usage the server told.
    """

    name: str
    asked: str
    sent: str
    sheet: str
    usage: Billed
    usd: float | None
    num_sent: int = 0
    num_answered: int = 0

    @property
    def usd_per_1000_requests(self) -> float | None:
        if self.usd is None or not self.usage.requests:
            return None
        return 1000 * self.usd / self.usage.requests

    @property
    def usd_per_mtok(self) -> float | None:
        return None if self.usd is None or not self.usage.tok else 1e6 * self.usd / self.usage.tok

    @property
    def output_tok_a_request(self) -> float | None:
        return self.usage.output_tok / self.usage.requests if self.usage.requests else None


@dataclass(frozen=True, slots=True)
class Migration:
    """ratio: cost a request, candidate over baseline, geometric mean over pairs; low, high: its
    95 % interval, None where fewer than six pairs carry none.  price_ratio: of the baseline's own
    tokens at either side's prices."""

    base: SideCost
    other: SideCost
    ratio: float | None
    low: float | None
    high: float | None
    num_pairs: int
    price_ratio: float | None = None

    @property
    def length_ratio(self) -> float | None:
        """Output tokens of an answer, candidate over baseline."""
        base, other = (side.output_tok_a_request for side in (self.base, self.other))
        return other / base if base and other is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known before the two costs are compared."""
        a, b = self.base, self.other
        told = []
        if (a.num_answered, b.num_answered) != (a.usage.requests, b.usage.requests):
            told.append(
                f"The baseline answered {a.num_answered:,} of {a.num_sent:,} requests, the"
                f" candidate {b.num_answered:,} of {b.num_sent:,}; cost is that of the"
                f" {a.usage.requests:,} that both answered."
            )
        length = self.length_ratio
        if length is not None and abs(length - 1) > OTHER_WORK:
            alone = "" if self.price_ratio is None else (
                f" For the baseline's own tokens the candidate asks {significant(self.price_ratio)}"
                " times as much: the rest is length."
            )  # fmt: skip
            told.append(
                f"The candidate's answers hold {significant(length)} times the tokens: that is"
                f" other work, and part of the difference.{alone}"
            )
        for side in (a, b):
            if side.usd is None:
                told.append(
                    f"No sheet has a price for {side.sent}, so the cost of {side.name} is not"
                    " known: --prices SHEET names one."
                )
        return tuple(told)

    def to_json(self) -> dict[str, Any]:
        sides = {}
        for name, side in (("baseline", self.base), ("candidate", self.other)):
            sides[name] = {
                "name": side.name, "asked": side.asked, "sent": side.sent, "prices": side.sheet,
                "num_sent": side.num_sent, "num_answered": side.num_answered,
                "requests": side.usage.requests, "input_tok": side.usage.input_tok,
                "cached_tok": side.usage.cached_tok, "output_tok": side.usage.output_tok,
                "usd": side.usd, "usd_per_1000_requests": side.usd_per_1000_requests,
                "usd_per_mtok": side.usd_per_mtok,
            }  # fmt: skip
        return {
            **sides, "cost_ratio": self.ratio, "ci_ratio": [self.low, self.high],
            "num_pairs": self.num_pairs, "price_ratio": self.price_ratio,
            "length_ratio": self.length_ratio, "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SideUsage:
    """One side as measured: usage of each pair's run over what both answered, in the order of the
    pairs.  num_sent, num_answered: as of SideCost."""

    name: str
    asked: str
    sent: str
    usages: tuple[Billed, ...]
    num_sent: int = 0
    num_answered: int = 0


def side_by_side(base: SideUsage, other: SideUsage, sheets: Sequence[PriceSheet]) -> Migration:
    """sheets: looked through in order for each side's sent id; the first that has it prices it."""
    sides = [_cost(side, sheets) for side in (base, other)]
    each = [_each(side, sheets) for side in (base, other)]
    d = [
        math.log(b) - math.log(a)
        for a, b in zip(each[0], each[1], strict=True)
        if a is not None and b is not None and a > 0 and b > 0
    ]
    alone = _by_price_alone(sides[0], other.sent, sheets)
    if not d:
        return Migration(sides[0], sides[1], None, None, None, 0, alone)
    means = SubsetMeans.of(d)
    ends = means.interval()
    low, high = (None if e is None else math.exp(e) for e in (ends.low, ends.high))
    return Migration(sides[0], sides[1], math.exp(means.mean), low, high, len(d), alone)


def _sheet_of(sent: str, sheets: Sequence[PriceSheet]) -> PriceSheet | None:
    return next((sheet for sheet in sheets if sheet.row(sent) is not None), None)


def _by_price_alone(base: SideCost, sent: str, sheets: Sequence[PriceSheet]) -> float | None:
    sheet = _sheet_of(sent, sheets)
    if sheet is None or not base.usd:
        return None
    return billed_usd(sheet, sent, base.usage) / base.usd


def _cost(side: SideUsage, sheets: Sequence[PriceSheet]) -> SideCost:
    usage, sheet = total(side.usages), _sheet_of(side.sent, sheets)
    usd = None if sheet is None else billed_usd(sheet, side.sent, usage)
    told = "" if sheet is None else f"{sheet.name}, {sheet.as_of}"
    answered = side.num_answered or usage.requests
    return SideCost(
        side.name, side.asked, side.sent, told, usage, usd, side.num_sent or answered, answered
    )


def _each(side: SideUsage, sheets: Sequence[PriceSheet]) -> list[float | None]:
    """USD a request of each run."""
    sheet = _sheet_of(side.sent, sheets)
    return [
        None if sheet is None or not u.requests else billed_usd(sheet, side.sent, u) / u.requests
        for u in side.usages
    ]
