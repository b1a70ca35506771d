"""From a scenario's `cost` block and the points of a run to the question of what is cheaper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.analysis import PointSummary, request_limits
from harness.analysis.usage import Usage
from harness.decisions.prices import Mix, Tariff, tariff_of
from harness.decisions.question import STEADY, Capacity, Fleet, Question, Traffic
from harness.decisions.traffic_unit import UNITS
from harness.scenario.cost import Cost, OnDemandSide
from harness.scenario.forecast import Forecast

MOST_OFF = 0.1  # of mean lengths: a trace further off has another capacity and another bill


def mix_of(usages: Sequence[Usage], *, cached_share: float, batch_share: float = 0.0) -> Mix:
    """The average billed request of all of them. Raises ValueError where none was billed."""
    num = sum(u.num_billed for u in usages)
    if not num:
        raise ValueError("no request brought tokens: what one costs is not known")
    return Mix(
        input_tok=sum(u.input_tok for u in usages) / num,
        output_tok=sum(u.output_tok for u in usages) / num,
        cached_share=cached_share,
        batch_share=batch_share,
        audio_min=sum(u.audio_min for u in usages) / num,
    )


def measured_cached_share(usages: Sequence[Usage]) -> float | None:
    """Of input tokens, over the points that told; None where none did."""
    told = [u for u in usages if u.cached_tok is not None]
    total = sum(u.input_tok for u in told)
    return sum(u.cached_tok or 0.0 for u in told) / total if total else None


def group_usd_per_h(cost: Cost, side: OnDemandSide) -> float:
    """g P, at the middle of a range."""
    return cost.sheet.on_demand[side.gpu].price.point * side.gpus_per_replica


def egress_usd_per_req(cost: Cost, side: OnDemandSide) -> float:
    """What leaves a rented machine with each answer, by the sheet; 0 where it is not asked."""
    price = cost.sheet.egress
    return 0.0 if price is None else price.point * (side.egress_per_request or 0.0) / 1e9


def row_of(cost: Cost, model: str) -> str:
    """The sheet's row for the serverless side; model: that of its target, as the scenario says."""
    assert cost.serverless is not None
    return cost.serverless.model or model


def measured_mix(cost: Cost, points: Sequence[PointSummary], cached: Sequence[PointSummary]) -> Mix:
    """points: of the on-demand target, whose requests are the mix.  cached: whose cache counts for
    the serverless bill. Raises ValueError where no request brought tokens."""
    assert cost.serverless is not None
    share = cost.serverless.cached_share
    if share == "measured":
        share = measured_cached_share([p.usage for p in cached if p.usage]) or 0.0
    return mix_of(
        [p.usage for p in points if p.usage], cached_share=share,
        batch_share=cost.serverless.batch_share,
    )  # fmt: skip


def simulated_mix(cost: Cost, input_tok: float, output_tok: float) -> Mix:
    """Mean lengths of a mix that was not sent; a cached share has to be given, else none is."""
    assert cost.serverless is not None
    share = cost.serverless.cached_share
    return Mix(
        input_tok, output_tok, 0.0 if share == "measured" else share, cost.serverless.batch_share
    )


def ttft_limit_s(point: PointSummary) -> float:
    """The longest that a good request of a point may wait; inf where nothing limits it."""
    return wait_limit_s(request_limits(point.meta.slo))


def wait_limit_s(limits: Mapping[str, float]) -> float:
    """The same by the limits of good requests, metric -> seconds: that of the first token, never
    more than that of the whole answer. A limit on TPOT alone lets one wait for a cold start."""
    found = [limits[name] for name in ("ttft", "ttfv", "e2e_latency") if name in limits]
    return min(found, default=math.inf)


def question_of(
    cost: Cost, model: str, mix: Mix, capacity: Capacity, forecast: Forecast | None
) -> Question:
    """model: of the serverless target.  forecast: before its volume is scaled.

    Raises ValueError where a row or the capacity is missing.
    """
    serverless, side = cost.serverless, cost.on_demand
    assert serverless is not None
    assert side is not None
    gpu = cost.sheet.on_demand[side.gpu]
    discount = side.commitment_discount
    zero = side.scale_to_zero
    cold_s = zero.cold_start if zero and zero.cold_start is not None else side.cold_start
    return Question(
        mix=mix,
        tariff=_with_gaps(
            tariff_of(cost.sheet, row_of(cost, model), is_fine_tuned=serverless.fine_tuned), mix
        ),
        fleet=Fleet(
            gpu=side.gpu, price=gpu.price, gpus_per_replica=side.gpus_per_replica,
            spare=side.spare_replicas, load_target=side.load_target, scaling=side.scaling,
            commitment_discount=gpu.commitment_discount if discount is None else discount,
            idle_s=zero.idle if zero else None, cold_start_s=cold_s,
            bill_cold_start=side.bill_cold_start, egress_usd_per_req=egress_usd_per_req(cost, side),
        ),
        capacity=capacity,
        traffic=_traffic(cost, forecast, mix),
    )  # fmt: skip


def _with_gaps(tariff: Tariff, mix: Mix) -> Tariff:
    """With a doubt for what the row has no price of: an embedding model's answers. A row that asks
    by the request alone has a price of all that is in it."""
    prices = tariff.prices
    if prices.request is not None and not any((prices.input, prices.output, prices.audio)):
        return tariff
    parts = (
        ("input", mix.input_tok, "input tokens"), ("output", mix.output_tok, "output tokens"),
        ("audio", mix.audio_min, "minutes of audio"),
    )  # fmt: skip
    gaps = tuple(
        f"{tariff.row}: no price of {words}; {amount:,.3g} a request are counted as free"
        for part, amount, words in parts
        if amount > 0 and getattr(tariff.prices, part) is None
    )
    return replace(tariff, doubts=(*tariff.doubts, *gaps))


def other_lengths(told: tuple[float, float] | None, mix: tuple[float, float]) -> str:
    """Why a trace's requests are not those that a capacity is of, in words; empty where they are,
    or where nobody tells. told, mix: mean input and output tokens of a request."""
    if told is None or all(
        abs(a - b) <= MOST_OFF * max(b, 1) for a, b in zip(told, mix, strict=True)
    ):
        return ""
    return (
        f"the forecast's requests are {told[0]:,.0f} tokens in and {told[1]:,.0f} out on average,"
        f" those of the capacity {mix[0]:,.0f} and {mix[1]:,.0f}"
    )


def _traffic(cost: Cost, forecast: Forecast | None, mix: Mix) -> Traffic:
    if forecast is None:
        return STEADY
    volume = cost.forecast.volume if cost.forecast is not None else None
    if volume is not None:
        per_req = UNITS[volume.unit].per_request(mix)
        if not per_req > 0:
            raise ValueError(
                f"cost.forecast.volume counts {UNITS[volume.unit].noun}, of which these requests"
                " have none"
            )
        forecast = forecast.at_volume(volume.per_h, per_req, volume.unit)
    return Traffic(forecast.name, forecast.shape, forecast.mean_req_per_s, forecast.window_s)
