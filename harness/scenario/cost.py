"""The scenario's `cost` block: at what prices, on which hardware, for which traffic.

It changes nothing that is sent. What follows from it (the bill of a run, cost of a good token,
serverless against on-demand) is worked out in decisions. A valid document holds the whole price
sheet, so that a run keeps the prices it was judged by.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from harness.scenario.distributions import Document
from harness.scenario.prices import PriceSheet
from harness.units import ReqPerS, Seconds, Share, SizeBytes, TrafficVolume, Usd

Side = Literal["serverless", "on_demand"]
LEAST_OVER_S = 5.0  # of stop.over_saturated: growth is told from one look a second


class ServerlessSide(Document):
    """What the same traffic costs when it is paid by use."""

    target: str | None = Field(
        default=None, description="Target that is paid by use; None: prices alone are compared."
    )
    model: str | None = Field(
        default=None, description="Row of the sheet; None: the target's model."
    )
    fine_tuned: bool = Field(default=False, description="The row's price for fine-tuned copies.")
    cached_share: Share | Literal["measured"] = Field(
        default="measured", description="Of input tokens, billed as found in a cache."
    )
    batch_share: Share = Field(default=0.0, description="Of requests that may wait for a batch.")


class ScaleToZero(Document):
    """The last replica goes when nobody asked for a while."""

    idle: Seconds = Field(gt=0, description="From the last request until it is gone.")
    cold_start: Seconds | None = Field(
        default=None,
        description="From the next request until a replica is ready; None: that of any start.",
    )


class OnDemandSide(Document):
    """What it costs on GPUs paid by the hour."""

    target: str | None = Field(
        default=None, description="Target that is one replica; None: the only one not serverless."
    )
    gpu: str = Field(description="Row of the sheet.")
    gpus_per_replica: int = Field(default=1, ge=1, description="Of the measured replica.")
    spare_replicas: int = Field(default=0, ge=0, description="Kept beside those the load needs.")
    load_target: Share = Field(
        default=0.8, gt=0, description="Of the capacity a replica is loaded to."
    )
    scaling: Literal["autoscaled", "fixed", "committed", "to_zero"] = Field(
        default="autoscaled",
        description="Which fleet the answer is about; all that the block describes are worked out.",
    )
    cold_start: Seconds = Field(default=60.0, description="Of a replica, from asked for to ready.")
    bill_cold_start: bool = Field(default=False, description="Whether that time is paid for.")
    egress_per_request: SizeBytes | None = Field(
        default=None, description="What an answer weighs, paid at the sheet's egress price."
    )
    commitment_discount: Share | None = Field(
        default=None, description="For replicas paid day and night; None: the sheet's."
    )
    scale_to_zero: ScaleToZero | None = Field(
        default=None, description="None: one replica is always up."
    )


class ForecastTraffic(Document):
    """The traffic to plan for: a shape, and its scale where the file's own is not meant."""

    file: str = Field(
        description="Rates, a trace, or a forecast that ships; see scenarios/README.md."
    )
    column: str | None = Field(default=None, description="Of several rates in the file.")
    window: Seconds = Field(default=600.0, gt=0, description="A trace is counted in these.")
    mean: ReqPerS | None = Field(default=None, description="Scale to this mean rate.")
    volume: TrafficVolume | None = Field(
        default=None, description="Or to so many tokens, audio minutes or requests."
    )


class Cost(Document):
    """Serverless, on demand, or both."""

    prices: str | PriceSheet = Field(
        description="A sheet's file or name; the document that runs holds the sheet itself."
    )
    serverless: ServerlessSide | None = Field(default=None, description="None: not compared.")
    on_demand: OnDemandSide | None = Field(default=None, description="None: not compared.")
    forecast: ForecastTraffic | None = Field(
        default=None, description="None: the crossing of steady traffic."
    )

    @property
    def sheet(self) -> PriceSheet:
        """The prices of a loaded document."""
        assert isinstance(self.prices, PriceSheet), "the loader puts the sheet here"
        return self.prices


class Stop(Document):
    """Breakers: a run or a point ends before its time, and what was measured is kept."""

    max_spend: Usd | None = Field(
        default=None, description="Of the whole run, by the prices of cost; followed by estimate."
    )
    max_error_rate: Share | None = Field(
        default=None, description="Of a point's answers: where it is surely above, the point ends."
    )
    over_saturated: Seconds | None = Field(
        default=None, description="Where a point's requests in flight grew for so long, it ends."
    )


def sides(cost: Cost, targets: Iterable[str]) -> dict[str, Side]:
    """Target name -> `serverless` or `on_demand`; of a valid document."""
    found: dict[str, Side] = {}
    if cost.serverless is not None and cost.serverless.target is not None:
        found[cost.serverless.target] = "serverless"
    if cost.on_demand is not None:
        left = [name for name in targets if name not in found]
        chosen = cost.on_demand.target or (left[0] if len(left) == 1 else None)
        if chosen is not None:
            found[chosen] = "on_demand"
    return found
