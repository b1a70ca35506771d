"""What a good token and a good request cost at each measured point, by the tariff of its target.

On demand the bill is the GPU time of the window, whatever was sent in it: at a low rate a token is
dear. Serverless it is every token that was billed, good or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis import PointSummary
from harness.decisions.cost_question import group_usd_per_h, measured_cached_share, mix_of, row_of
from harness.decisions.prices import tariff_of, usd_per_request
from harness.estimate import Estimate
from harness.scenario.cost import Cost, Side, sides

QUANTILES = ("p99", "p95", "p90", "p50")


@dataclass(frozen=True, slots=True)
class PointCost:
    """name: of the point.  bill_usd: of its window.  ttft: by stat, those that are reported.

    usd_per_audio_min: None where no audio was sent.
    """

    name: str
    side: Side
    offered_req_per_s: float | None
    bill_usd: float
    usd_per_good_mtok: Estimate
    usd_per_good_req: Estimate
    ttft: dict[str, Estimate]
    usd_per_audio_min: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.__slots__ if name != "ttft"}
        return {k: v.to_json() if isinstance(v, Estimate) else v for k, v in own.items()}


def point_costs(
    summaries: Sequence[PointSummary], cost: Cost, models: Mapping[str, str]
) -> tuple[PointCost, ...]:
    """One a valid point with tokens. models: target name -> its model, as the scenario says."""
    of_target = sides(cost, models)
    found = []
    for summary in summaries:
        side = of_target.get(summary.meta.target)
        usage = summary.usage
        if side is None or usage is None or not usage.num_billed or not summary.is_valid:
            continue
        if side == "on_demand":
            found.append(_on_demand(summary, cost))
        else:
            found.append(_serverless(summary, cost, models[summary.meta.target]))
    return tuple(found)


def _on_demand(summary: PointSummary, cost: Cost) -> PointCost:
    assert cost.on_demand is not None
    assert summary.usage is not None
    per_s = group_usd_per_h(cost, cost.on_demand) / 3600
    goodput = summary.find("goodput_req_per_s", "rate")
    audio = summary.find("audio_min_per_s", "rate")
    return PointCost(
        summary.meta.name, "on_demand", summary.meta.offered_req_per_s,
        per_s * summary.meta.window_s,
        _over(per_s * 1e6, summary.usage.good_tok_per_s, "usd_per_good_mtok", "USD/Mtok"),
        _over(per_s, goodput, "usd_per_good_req", "USD"),
        _ttft(summary),
        _over(per_s, audio, "usd_per_audio_min", "USD/audio_min") if audio else None,
    )  # fmt: skip


def _serverless(summary: PointSummary, cost: Cost, model: str) -> PointCost:
    usage, block = summary.usage, cost.serverless
    assert usage is not None
    assert block is not None
    share = block.cached_share
    if share == "measured":
        share = measured_cached_share([usage]) or 0.0
    mix = mix_of([usage], cached_share=share, batch_share=block.batch_share)
    tariff = tariff_of(cost.sheet, row_of(cost, model), is_fine_tuned=block.fine_tuned)
    each = float(usd_per_request(mix, tariff.point()))
    per_valid = usage.num_billed / max(1, summary.counts["valid"])
    attained = summary.find("slo_attainment", "ratio")
    return PointCost(
        summary.meta.name, "serverless", summary.meta.offered_req_per_s, each * usage.num_billed,
        _over(
            each / max(mix.tok, 1e-9) * 1e6, usage.good_tok_share if mix.tok else None,
            "usd_per_good_mtok", "USD/Mtok",
        ),
        _over(each * per_valid, attained, "usd_per_good_req", "USD"),
        _ttft(summary),
        _per_minute(each / mix.audio_min, usage.num_billed) if mix.audio_min else None,
    )  # fmt: skip


def _per_minute(usd: float, num: int) -> Estimate:
    """What a serverless minute costs: a price, not a sample."""
    return Estimate(
        "usd_per_audio_min", "ratio", "USD/audio_min", usd, usd, usd, n=num, method="price",
        population="valid",
    )  # fmt: skip


def _ttft(summary: PointSummary) -> dict[str, Estimate]:
    found = {stat: summary.find("ttft", stat, population="valid") for stat in QUANTILES}
    return {stat: e for stat, e in found.items() if e is not None and e.is_reached}


def _over(usd: float, good: Estimate | None, metric: str, unit: str) -> Estimate:
    """usd / good, its interval turned round; inf where nothing was good."""
    if good is None or good.value is None:
        why = good.reason if good is not None else "no request had a limit to keep"
        return Estimate(metric, "ratio", unit, None, reason=why, population="valid")

    def each(value: float | None) -> float | None:
        return None if value is None else usd / value if value > 0 else math.inf

    own = asdict(good) | {"metric": metric, "stat": "ratio", "unit": unit}
    return Estimate(
        **own | {"value": each(good.value), "low": each(good.high), "high": each(good.low)}
    )
