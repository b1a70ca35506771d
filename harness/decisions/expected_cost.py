"""What a point will cost before anything is sent: tokens asked for, or the hour it takes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.decisions.cost_question import group_usd_per_h, row_of
from harness.decisions.prices import Mix, tariff_of, usd_per_request
from harness.scenario.cost import Cost, Side


@dataclass(frozen=True, slots=True)
class Asked:
    """What a point asks for; None where only the target or the data decides."""

    load_s: float | None
    num_sent: float | None
    input_tok: float | None
    output_tok: float | None


def expected_usd(cost: Cost, side: Side, model: str, asked: Asked) -> float | None:
    """USD of the load: on demand its GPU time (cool-down and start left out), serverless its
    tokens, none of them from a cache. None where that is not known before."""
    if side == "on_demand":
        assert cost.on_demand is not None
        hours = asked.load_s / 3600 if asked.load_s is not None else None
        return None if hours is None else hours * group_usd_per_h(cost, cost.on_demand)
    if not asked.num_sent or asked.input_tok is None or asked.output_tok is None:
        return None
    assert cost.serverless is not None
    tariff = tariff_of(
        cost.sheet, row_of(cost, model), is_fine_tuned=cost.serverless.fine_tuned
    )  # fmt: skip
    mix = Mix(asked.input_tok / asked.num_sent, asked.output_tok / asked.num_sent)
    return asked.num_sent * float(usd_per_request(mix, tariff.point()))
