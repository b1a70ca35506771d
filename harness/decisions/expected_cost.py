"""What a point will cost before anything is sent: what its requests ask for, or the time it takes.

By use a price may be of tokens, minutes of audio or requests. What a request has and the row has
no price of, and what a price is of and nobody knows beforehand, leaves the bill unknown: said,
never 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.decisions.cost_question import row_of
from harness.decisions.prices import Mix, Tariff, tariff_of, usd_per_request
from harness.scenario.cost import Cost, Side
from harness.scenario.mean_use import MeanUse

_PARTS = (("input", "input_tok", "input tokens"), ("output", "output_tok", "output tokens"),
          ("audio", "audio_min", "minutes of audio"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What a point asks for; None where only the target or the data decides."""

    load_s: float | None
    num_sent: float | None
    each: MeanUse


@dataclass(frozen=True, slots=True)
class Expected:
    """usd: of the whole load.  usd_per_req, usd_per_s: of each request by use, of time on demand.

    None where it is not known; why: the reason that usd is not, empty where it is.
    """

    usd: float | None = None
    usd_per_req: float | None = None
    usd_per_s: float | None = None
    why: str = ""


def expected_cost(
    cost: Cost, side: Side | None, model: str, asked: Asked, *, at_most: bool = False
) -> Expected:
    """On demand its GPU time (cool-down and start left out), by use its requests, none of their
    tokens from a cache. at_most: at the upper end of every price that is a range.

    side: of the point's target; None: cost names no tariff for it.
    """
    if side is None:
        return Expected(why="cost names no tariff for its target")
    if side == "on_demand":
        return _by_time(cost, asked, at_most)
    assert cost.serverless is not None
    tariff = tariff_of(cost.sheet, row_of(cost, model), is_fine_tuned=cost.serverless.fine_tuned)
    if gap := _gap(tariff, asked.each):
        return Expected(why=gap)
    each = asked.each
    mix = Mix(each.input_tok or 0.0, each.output_tok or 0.0, audio_min=each.audio_min or 0.0)
    rates = tariff.end(is_low=False) if at_most else tariff.point()
    usd = float(usd_per_request(mix, rates))
    if asked.num_sent is None:
        return Expected(None, usd, why="how many requests there will be only the target decides")
    return Expected(asked.num_sent * usd, usd)


def _by_time(cost: Cost, asked: Asked, at_most: bool) -> Expected:
    assert cost.on_demand is not None
    price = cost.sheet.on_demand[cost.on_demand.gpu].price
    per_s = (price.high if at_most else price.point) * cost.on_demand.gpus_per_replica / 3600
    if asked.load_s is None:
        return Expected(usd_per_s=per_s, why="how long it takes only the target decides")
    return Expected(asked.load_s * per_s, usd_per_s=per_s)


def _gap(tariff: Tariff, each: MeanUse) -> str:
    """What of a request cannot be billed beforehand; empty where all can."""
    prices = tariff.prices
    if prices.request is not None and not any((prices.input, prices.output, prices.audio)):
        return ""  # asked by the request, whatever is in it
    for part, field, words in _PARTS:
        price, amount = getattr(prices, part), getattr(each, field)
        if amount is None and (price is None or price.high > 0):
            return f"how many {words} a request has is not known before"
        if amount and price is None:
            return f"row {tariff.row} has no price of {words}, and a request has {amount:,.3g}"
    return ""
