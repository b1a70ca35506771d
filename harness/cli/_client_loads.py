"""The loads under which the client is checked: one table of defaults, or what a run will ask for.

A load is a number of streams at a token speed. The speed of a target is not known beforehand, so a
run's load is worked out at 50 tokens/s a stream; its chunks/s (what the client has to bear) need no
such guess when load is open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.client_check import NEAR_CEILING
from harness.scenario import Materials, Point
from harness.scenario.document import ClosedStage, OpenStage, Ramp
from harness.scenario.mean_use import mean_tokens

RISING = (64, 256, 1024)  # streams
TOK_PER_S = 50.0
ANSWER_S = 1.5
LONGEST_ANSWER_S = 3.0
TTFT_S = 0.05
# From here on a run checks its client first: 5 % of a core at 10 us a chunk, or as many
# connections or requests a second as a busy machine may already be late for.
WORTH_CHUNKS_PER_S = 5_000.0
WORTH_STREAMS = 128
WORTH_REQ_PER_S = 200.0


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """streams: at a time.  tok_per_s: of each, a chunk a token.  req_per_s: None for a closed loop
    of `streams` users, else of an open load.  answer_s: length of an answer."""

    streams: int
    tok_per_s: float = TOK_PER_S
    req_per_s: float | None = None
    answer_s: float = ANSWER_S

    @classmethod
    def open(cls, streams: int, req_per_s: float, tok_per_s: float = TOK_PER_S) -> ClientLoad:
        """Answers last streams / req_per_s; where that is above 3 s they are cut and come more
        often, so that a check is short and the streams are as many."""
        answer_s = min(streams / req_per_s, LONGEST_ANSWER_S)
        return cls(streams, tok_per_s, streams / answer_s, answer_s)

    @property
    def answer_tok(self) -> int:
        return max(2, round((self.answer_s - TTFT_S) * self.tok_per_s) + 1)

    @property
    def chunks_per_s(self) -> float:
        """Token chunks/s that the endpoint means to send."""
        if self.req_per_s is not None:
            return self.req_per_s * self.answer_tok
        return self.streams * self.answer_tok / (TTFT_S + (self.answer_tok - 1) / self.tok_per_s)

    @property
    def is_worth_checking(self) -> bool:
        return (
            self.chunks_per_s >= WORTH_CHUNKS_PER_S
            or self.streams >= WORTH_STREAMS
            or (self.req_per_s or 0.0) >= WORTH_REQ_PER_S
        )

    def times(self, factor: float) -> ClientLoad:
        """As many streams and requests times factor, answers as long."""
        rate = self.req_per_s * factor if self.req_per_s is not None else None
        streams = math.ceil(self.streams * factor - 1e-9)
        return ClientLoad(streams, self.tok_per_s, rate, self.answer_s)

    def stage(self, name: str, window_s: float) -> dict[str, Any]:
        """As a stage of a scenario."""
        stage: dict[str, Any] = {"name": name, "duration": f"{window_s:.9g}s"}
        if self.req_per_s is None:
            ramp = f"{self.answer_s:.9g}s"  # spread over an answer: requests never come in waves
            return stage | {"kind": "closed", "concurrency": self.streams, "ramp": ramp}
        arrival = {"kind": "poisson"}
        return stage | {"kind": "open", "arrival": arrival, "rate": f"{self.req_per_s:.9g}/s"}


def asked_loads(
    streams: int | None, req_per_s: float | None, tok_per_s: float
) -> tuple[ClientLoad, ...]:
    """What the flags of `doctor` ask for: the rising table, or the one load they name."""
    if streams is None and req_per_s is None:
        return tuple(ClientLoad(n, tok_per_s) for n in RISING)
    if req_per_s is None:
        assert streams is not None
        return (ClientLoad(streams, tok_per_s),)
    return (ClientLoad.open(streams or max(1, round(req_per_s * ANSWER_S)), req_per_s, tok_per_s),)


def with_headroom(load: ClientLoad) -> tuple[ClientLoad, ClientLoad]:
    """A run's load, and the one of which it is 60 %: where both are clean a run is well below the
    ceiling."""
    return load, load.times(1 / NEAR_CEILING)


def heaviest_load(points: Iterable[Point], materials: Materials) -> ClientLoad | None:
    """The most any stage of these points asks of the client; None where nothing is known."""
    loads = [load for point in points for load in _of_point(point, materials)]
    return max(loads, key=lambda load: load.chunks_per_s, default=None)


def _of_point(point: Point, materials: Materials) -> Sequence[ClientLoad]:
    _, mean_tok = mean_tokens(point.traffic, materials)
    found = []
    for stage in point.stages:
        if isinstance(stage, ClosedStage):
            found.append(ClientLoad(stage.concurrency))
            continue
        rate = _rate(stage, materials) if isinstance(stage, OpenStage) else None
        if rate:
            streams = math.ceil(rate * max(mean_tok or 0.0, 2.0) / TOK_PER_S)
            found.append(ClientLoad.open(max(1, streams), rate))
    return found


def _rate(stage: OpenStage, materials: Materials) -> float | None:
    """Requests/s at the busiest; of a trace its mean."""
    if isinstance(stage.rate, Ramp):
        return max(stage.rate.from_, stage.rate.to)
    if stage.rate is not None:
        return stage.rate
    trace = materials.traces.get(getattr(stage.arrival, "file", ""))
    if trace is None or len(trace.arrival_s) < 2:
        return None
    span_s = float(trace.arrival_s[-1] - trace.arrival_s[0])
    kept = len(trace.arrival_s) * float(getattr(stage.arrival, "thin", 1.0))
    return kept / span_s if span_s > 0 else None
