"""An autoscaled fleet under rates alone: the same policy as the twin's, without single requests.

Where no twin is calibrated the rates of the windows are all that is known of the traffic. They flow
evenly: the autoscaler (autoscaler.py, its windows up and down) looks at them every ten seconds, a
replica that it asks for is ready a cold start later, one that it stops is gone at once. Where those
ready serve less than what comes a backlog grows, and who has to wait longer in it than a first
token may take is late. Left out: the bursts of single requests within a window, how long a request
takes, and so every miss that a fleet of the right size has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.decisions.autoscaler import Load, Policy, Scaler
from harness.decisions.staircase import FloatArray, IntArray


@dataclass(slots=True)
class _Life:
    start_s: float
    ready_s: float
    stop_s: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class FluidFleet:
    """asked: (since when, replicas asked for).  edges_s: [k + 1] between two of them the replicas
    that are ready, ready: [k], do not change.  paid_s: replica-seconds.  starts: replicas started
    after the beginning.  late_ratio: of all that came, 0..1.
    """

    asked: tuple[tuple[float, int], ...]
    edges_s: FloatArray
    ready: IntArray
    paid_s: float
    starts: int
    late_ratio: float

    @property
    def span_s(self) -> float:
        return float(self.edges_s[-1])

    def ready_at(self, times_s: FloatArray) -> IntArray:
        """[n] replicas that are ready."""
        at = np.searchsorted(self.edges_s, times_s, "right") - 1
        return self.ready[np.clip(at, 0, len(self.ready) - 1)]


def fluid_fleet(
    rates: FloatArray, window_s: float, policy: Policy, *, capacity_req_per_s: float,
    cold_start_s: float, bill_cold_start: bool = False, limit_s: float = 0.0,
    every_s: float = 10.0, initial: int = 1,
) -> FluidFleet:  # fmt: skip
    """rates: [w] requests/s of windows of window_s.  initial: replicas ready at 0, at least one.

    limit_s: the wait that a request may have.  policy: one that keeps a replica up.
    """
    if policy.min_replicas < 1 or initial < 1:
        raise ValueError("a fluid never stops coming: one replica stays up")
    span_s = len(rates) * window_s
    lives, asked = _lives(rates, window_s, policy, cold_start_s, every_s, initial)
    begin = [max(0.0, life.start_s if bill_cold_start else life.ready_s) for life in lives]
    paid_s = sum(
        max(0.0, min(life.stop_s, span_s) - since_s)
        for life, since_s in zip(lives, begin, strict=True)
    )
    cuts = [np.arange(len(rates) + 1) * window_s]
    cuts += [np.array([s for x in lives for s in (x.ready_s, x.stop_s) if 0 < s < span_s])]
    edges = np.unique(np.concatenate(cuts))
    middle = (edges[1:] + edges[:-1]) / 2
    # one stopped before it was ready never served
    served = [life for life in lives if life.stop_s > life.ready_s]
    ready_s = np.sort([life.ready_s for life in served])
    stop_s = np.sort([life.stop_s for life in served])
    ready = np.searchsorted(ready_s, middle, "right") - np.searchsorted(stop_s, middle, "right")
    rate = rates[np.minimum((middle / window_s).astype(np.int64), len(rates) - 1)]
    late = _late(edges, rate, ready * capacity_req_per_s, limit_s)
    came = float(rates.sum()) * window_s
    return FluidFleet(
        tuple(asked), edges, ready.astype(np.int64), paid_s, len(lives) - initial,
        late / came if came > 0 else 0.0,
    )  # fmt: skip


def _lives(
    rates: FloatArray, window_s: float, policy: Policy, cold_start_s: float, every_s: float,
    initial: int,
) -> tuple[list[_Life], list[tuple[float, int]]]:  # fmt: skip
    """Every replica there was, and what was asked for when."""
    scaler = Scaler(initial)
    lives = [_Life(0.0, 0.0) for _ in range(initial)]
    asked = [(0.0, initial)]
    for look in range(math.ceil(len(rates) * window_s / every_s)):
        now_s = look * every_s
        # what came since the look before
        seen = rates[max(0, math.ceil(now_s / window_s - 1e-9) - 1)]
        scaler = scaler.step(policy, now_s, Load(req_per_s=float(seen)))
        if scaler.replicas == asked[-1][1]:
            continue
        asked.append((now_s, scaler.replicas))
        kept = [life for life in lives if math.isinf(life.stop_s)]
        for _ in range(scaler.replicas - len(kept)):
            lives.append(_Life(now_s, now_s + cold_start_s))
        # those that are not ready yet go first, then the youngest
        kept.sort(key=lambda life: (life.ready_s > now_s, life.start_s), reverse=True)
        for life in kept[: max(0, len(kept) - scaler.replicas)]:
            life.stop_s = now_s
    return lives, asked


def _late(edges: FloatArray, rate: FloatArray, pace: FloatArray, limit_s: float) -> float:
    """How much comes while the wait, backlog over the pace of those ready then, passes limit_s."""
    backlog = late = 0.0
    for length, come, go in zip(np.diff(edges), rate, pace, strict=True):
        end = max(0.0, backlog + (come - go) * length)
        allowed = limit_s * go
        if max(backlog, end) > allowed:
            # a straight line, until it is empty: late after the turn where it rises, else before
            turn = (allowed - backlog) / (come - go) if come != go else length
            inside = length - max(0.0, turn) if come > go else min(turn, length)
            late += come * inside
        backlog = end
    return late
