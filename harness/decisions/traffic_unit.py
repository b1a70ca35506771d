"""What traffic is counted in where tariffs are compared: what the serverless row asks for.

Tokens, nearly always; of recordings that are paid by the minute minutes of audio; requests, where
the row has no other price. A mix of several has its whole bill in every figure, a token or minute
stands for it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.decisions.prices import Mix
from harness.scenario.prices import UnitPrices

UnitId = Literal["tok", "audio_min", "req"]


@dataclass(frozen=True, slots=True)
class TrafficUnit:
    """id: as rates and JSON keys have it.  price_unit: `Mtok`, of so many (`in_price`) units.

    noun: of a number of them in a sentence.
    """

    id: UnitId
    price_unit: str
    in_price: float
    noun: str

    def per_request(self, mix: Mix) -> float:
        """How many of it an average request is."""
        return {"tok": mix.tok, "audio_min": mix.audio_min, "req": 1.0}[self.id]


TOKENS = TrafficUnit("tok", "Mtok", 1e6, "tokens")
AUDIO = TrafficUnit("audio_min", "audio_min", 1.0, "minutes of audio")
REQUESTS = TrafficUnit("req", "1k_req", 1e3, "requests")
UNITS: dict[str, TrafficUnit] = {unit.id: unit for unit in (TOKENS, AUDIO, REQUESTS)}


def unit_of(mix: Mix, prices: UnitPrices) -> TrafficUnit:
    """Of a mix by the prices of its row, which asks for something of it."""
    by_tok = (prices.input is not None and mix.input_tok > 0) or (
        prices.output is not None and mix.output_tok > 0
    )
    if by_tok:
        return TOKENS
    if prices.audio is not None and mix.audio_min > 0:
        return AUDIO
    return TOKENS if mix.tok > 0 else REQUESTS
