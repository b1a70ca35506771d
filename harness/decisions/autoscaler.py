"""How many replicas an autoscaling policy wants. A state machine: no clock, no replicas of its own.

The windows and defaults are those that Fireworks publishes for on-demand deployments (load target
.8, up after 30 s, down after 10 min, to zero after 1 h but never under 5 min). A serving fleet that
claims the same rule is held to the same table, tests/autoscaler_cases.json.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

LEAST_TO_ZERO_S = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """Of a whole deployment, or what one replica carries at capacity; None: not looked at.

    concurrent_requests: waiting or running.  Rates per second: requests that arrive, prompt tokens
    that arrive, output tokens made.
    """

    concurrent_requests: float | None = None
    req_per_s: float | None = None
    prompt_tok_per_s: float | None = None
    output_tok_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """capacity: of one replica, at least one load.  utilisation: share of it to aim at, 0..1.

    up_after_s: more must have been wanted all this time.  down_after_s: fewer must have been.
    to_zero_after_s: nothing must have been, >= 300.
    """

    capacity: Load
    utilisation: float = 0.8
    min_replicas: int = 0
    max_replicas: int = 1
    up_after_s: float = 30.0
    down_after_s: float = 600.0
    to_zero_after_s: float = 3600.0

    def __post_init__(self) -> None:
        given = [getattr(self.capacity, field.name) for field in fields(Load)]
        if all(value is None for value in given):
            raise ValueError("autoscaler: capacity names no load; give at least one")
        if any(value is not None and value <= 0 for value in given):
            raise ValueError("autoscaler: a replica's capacity must be above 0")
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"autoscaler: utilisation {self.utilisation} is not in (0, 1]")
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise ValueError(
                f"autoscaler: {self.min_replicas} to {self.max_replicas} replicas is no range"
            )
        if min(self.up_after_s, self.down_after_s) < 0:
            raise ValueError("autoscaler: a window is below 0 s")
        if self.to_zero_after_s < LEAST_TO_ZERO_S:
            raise ValueError(f"autoscaler: to zero after {self.to_zero_after_s:g} s; least is 300")


def wanted(policy: Policy, load: Load) -> int:
    """Replicas that carry this load at the policy's utilisation, whatever was wanted before.

    The most over the loads that both name; at least one while any request is present.
    """
    most = 0
    for field in fields(Load):
        now, each = getattr(load, field.name), getattr(policy.capacity, field.name)
        if now is not None and each is not None:
            # 8 / (.8 x 10) must not become two by the last bit
            most = max(most, math.ceil(now / (policy.utilisation * each) - 1e-9))
    if load.concurrent_requests:
        most = max(most, 1)
    return min(max(most, policy.min_replicas), policy.max_replicas)


@dataclass(frozen=True, slots=True)
class Scaler:
    """replicas: asked for now.  changes: (since when, wanted), the oldest first; a value holds
    until the next."""

    replicas: int
    changes: tuple[tuple[float, int], ...] = ()

    def step(self, policy: Policy, now_s: float, load: Load) -> Scaler:
        """The state after an observation at now_s, which never lies before the one before.

        From zero at once to what is wanted; up to the least wanted over the whole up window; down
        to the most over the down window, to zero only by its own. A window that began before the
        first observation decides nothing.
        """
        want, changes = wanted(policy, load), self.changes
        if not changes or changes[-1][1] != want:
            changes = (*changes, (now_s, want))
        longest_s = max(policy.up_after_s, policy.down_after_s, policy.to_zero_after_s)
        while len(changes) > 1 and changes[1][0] <= now_s - longest_s:
            changes = changes[1:]

        replicas = self.replicas
        if replicas == 0:
            replicas = want
        else:
            replicas = max(replicas, min(_over(changes, now_s, policy.up_after_s), default=0))
            most = max(_over(changes, now_s, policy.down_after_s), default=replicas)
            if most < replicas:
                replicas = max(most, 1)
            if max(_over(changes, now_s, policy.to_zero_after_s), default=1) == 0:
                replicas = 0
        return Scaler(max(replicas, policy.min_replicas), changes)


def _over(changes: tuple[tuple[float, int], ...], now_s: float, window_s: float) -> list[int]:
    """What was wanted at any time of the last window_s; empty where its start is not known."""
    since_s = now_s - window_s
    if changes[0][0] > since_s:
        return []
    before = [value for at_s, value in changes if at_s <= since_s]
    return [before[-1], *(value for at_s, value in changes if at_s > since_s)]
