"""A fleet that follows its load: who started when, what is billed, who waited for a cold start.

Between two events (a look at the load, a replica that becomes ready) the kernel routes and
advances; at them the autoscaler decides. A replica that is told to stop takes no new requests,
serves those that it has, and is gone with the last of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.decisions.autoscaler import Load, Policy, Scaler

from .fleet import Fleet, Router
from .model import TOKEN_UNITS, Deployment, StepModel
from .outcome import BoolArray, Outcome
from .requests import FloatArray, IntArray, Requests

OnCold = Literal["hold", "reject"]
NOBODY = np.zeros(0, np.int64)


@dataclass(slots=True)
class ReplicaLife:
    """Seconds. stop_s: told to go; gone_s: with its last request. Infinite: not that we saw."""

    number: int
    start_s: float
    ready_s: float
    stop_s: float = math.inf
    gone_s: float = math.inf

    def billed_s(self, end_s: float, bill_cold_start: bool) -> int:
        """From ready (or start) to gone, a begun second as a whole one."""
        since_s = self.start_s if bill_cold_start else self.ready_s
        return max(0, math.ceil(min(self.gone_s, end_s) - since_s))


@dataclass(frozen=True, slots=True, eq=False)
class Autoscaled:
    """A simulated fleet and its bill.

    outcome: its `replica` is a number of lives.  asked: (since when, replicas asked for).
    start_s, end_s: the time simulated and billed.  billed_s: replica-seconds.  cold_starts: lives
    that were not ready at start_s.  is_held: [n] whether a request waited for a cold start.
    """

    outcome: Outcome
    lives: tuple[ReplicaLife, ...]
    asked: tuple[tuple[float, int], ...]
    start_s: float
    end_s: float
    billed_s: int
    cold_starts: int
    is_held: BoolArray

    def ready_at(self, times_s: FloatArray) -> IntArray:
        """[len(times_s)] replicas that are ready and not gone."""
        ready_s = np.array([life.ready_s for life in self.lives]).reshape(-1, 1)
        gone_s = np.array([life.gone_s for life in self.lives]).reshape(-1, 1)
        return np.asarray(((ready_s <= times_s) & (times_s < gone_s)).sum(axis=0), np.int64)


def simulate_autoscaled(
    model: StepModel, deployment: Deployment, requests: Requests,
    *, policy: Policy, router: Router = "least_loaded", seed: int = 0,
    cold_start_s: Sequence[float] = (60.0,), on_cold: OnCold = "hold", every_s: float = 10.0,
    bill_cold_start: bool = False, start_s: float = 0.0, end_s: float | None = None,
    initial: int | None = None,
) -> Autoscaled:  # fmt: skip
    """Serve all requests on a fleet that the policy sizes.

    cold_start_s: seconds from start to ready, one of them drawn for each start.  on_cold: while no
    replica is ready requests wait (`hold`) or are refused with a 503 (`reject`); both are load.
    every_s: between two looks at the load; where no replica is asked for, an arrival is looked at
    at once.  initial: replicas ready at start_s; policy.min_replicas unless given.  end_s: billed
    to here, or to the end of the last request where that is later or none is given.
    Raises ValueError where a request arrives before start_s or a number makes no sense.
    """
    if not len(cold_start_s) or min(cold_start_s) < 0 or not every_s > 0:
        raise ValueError("autoscaled: cold starts must be >= 0 s, looks more than 0 s apart")
    if on_cold not in ("hold", "reject"):
        raise ValueError(f"autoscaled: on_cold is {on_cold!r}, not hold or reject")
    if len(requests) and requests.arrival_s[0] < start_s:
        raise ValueError(f"autoscaled: a request arrives before start_s = {start_s:g}")
    fleet = Fleet(model, deployment, requests, num_replicas=0, router=router, seed=seed)
    cold_starts_s = np.asarray(cold_start_s, np.float64)
    run = _Run(fleet, policy, on_cold, every_s, cold_starts_s, np.random.default_rng(seed), start_s)
    run.begin(policy.min_replicas if initial is None else initial)
    run.finish(end_s)
    outcome = fleet.outcome()
    to_s = max(outcome.totals.end_s, start_s, start_s if end_s is None else end_s)
    return Autoscaled(
        outcome=outcome, lives=tuple(run.lives), asked=tuple(run.asked), start_s=start_s,
        end_s=to_s, billed_s=sum(life.billed_s(to_s, bill_cold_start) for life in run.lives),
        cold_starts=sum(life.ready_s > start_s for life in run.lives),
        is_held=fleet.rows["enter_s"] > requests.arrival_s,
    )  # fmt: skip


class _Run:
    """The simulation from event to event."""

    def __init__(
        self, fleet: Fleet, policy: Policy, on_cold: OnCold, every_s: float,
        cold_start_s: FloatArray, rng: np.random.Generator, start_s: float,
    ) -> None:  # fmt: skip
        self.fleet, self.policy, self.on_cold, self.every_s = fleet, policy, on_cold, every_s
        self.cold_start_s, self.rng, self.now_s = cold_start_s, rng, start_s
        self.coming = np.flatnonzero(fleet.fits)
        self.arrival_s = fleet.rows["enter_s"][self.coming]
        self.num_come = 0
        self.held: list[int] = []
        self.lives: list[ReplicaLife] = []
        self.asked: list[tuple[float, int]] = []
        # since the last regular look
        self.num_new = self.new_prompt_tok = self.num_refused = self.output_units = 0

    def begin(self, initial: int) -> None:
        self.scaler = Scaler(initial)
        self.asked.append((self.now_s, initial))
        for _ in range(initial):
            self.lives.append(ReplicaLife(self.fleet.add_replica(), self.now_s, self.now_s))

    def finish(self, end_s: float | None) -> None:
        """Event after event, until everything is served and the time is over."""
        look_s, first_s, num_looks = self.now_s, self.now_s, 0
        while True:
            starting = [life.ready_s for life in self._lives() if life.ready_s > self.now_s]
            at_s, is_waking = min([look_s, *starting]), False
            if self.scaler.replicas == 0 and self._next_arrival_s() < at_s:
                at_s, is_waking = self._next_arrival_s(), True
            self._pass_time(at_s, is_waking)
            self._welcome()
            if is_waking or at_s == look_s:
                self._look(is_regular=at_s == look_s)
                self._welcome()  # a start may take no time
            if at_s == look_s:
                num_looks += 1
                look_s = first_s + num_looks * self.every_s
            self._see_off()
            if self._is_served() and (end_s is None or self.now_s >= end_s):
                return

    def _lives(self) -> list[ReplicaLife]:
        """Starting or ready, not told to stop."""
        return [life for life in self.lives if math.isinf(life.stop_s)]

    def _open(self) -> IntArray:
        numbers = [life.number for life in self._lives() if life.ready_s <= self.now_s]
        return np.array(numbers, np.int64)

    def _next_arrival_s(self) -> float:
        left = self.num_come < len(self.coming)
        return float(self.arrival_s[self.num_come]) if left else math.inf

    def _is_served(self) -> bool:
        present = int(self.fleet.replicas["num_present"].sum()) + len(self.held)
        return present == 0 and self.num_come == len(self.coming)

    def _pass_time(self, at_s: float, is_waking: bool) -> None:
        """Up to an event: who arrives before it is routed, held or refused."""
        side: Literal["left", "right"] = "right" if is_waking else "left"
        num = int(np.searchsorted(self.arrival_s, at_s, side))
        arriving, is_open = self.coming[self.num_come : num], self._open()
        self.num_come = num
        self.num_new += len(arriving)
        self.new_prompt_tok += int(self.fleet.rows["n_in"][arriving].sum())
        if not len(is_open):
            if self.on_cold == "hold":
                self.held.extend(arriving.tolist())
            else:
                self.num_refused += len(arriving)
            arriving = NOBODY
        self.fleet.serve(arriving, is_open, at_s)
        self.now_s = at_s

    def _welcome(self) -> None:
        """Those held enter once a replica is ready."""
        is_open = self._open()
        if self.held and len(is_open):
            entering = np.array(self.held, np.int64)
            self.fleet.rows["enter_s"][entering] = self.now_s
            self.fleet.serve(entering, is_open, self.now_s)
            self.held = []

    def _look(self, is_regular: bool) -> None:
        """Observe the load, let the autoscaler decide, start or stop replicas."""
        replicas = self.fleet.replicas
        present = replicas["num_present"][[life.number for life in self._lives()]].sum()
        output_units = int(replicas["output_units"].sum())
        load = Load(
            concurrent_requests=float(present) + len(self.held) + self.num_refused,
            req_per_s=self.num_new / self.every_s,
            prompt_tok_per_s=self.new_prompt_tok / self.every_s,
            output_tok_per_s=(output_units - self.output_units) / TOKEN_UNITS / self.every_s,
        )
        if is_regular:
            self.num_new = self.new_prompt_tok = self.num_refused = 0
            self.output_units = output_units
        self.scaler = self.scaler.step(self.policy, self.now_s, load)
        if self.scaler.replicas != self.asked[-1][1]:
            self.asked.append((self.now_s, self.scaler.replicas))
        lives = self._lives()
        for _ in range(self.scaler.replicas - len(lives)):
            ready_s = self.now_s + float(self.rng.choice(self.cold_start_s))
            self.lives.append(ReplicaLife(self.fleet.add_replica(), self.now_s, ready_s))
        # Those that are not ready yet go first, then the youngest.
        lives.sort(key=lambda life: (life.ready_s > self.now_s, life.number), reverse=True)
        for life in lives[: max(0, len(lives) - self.scaler.replicas)]:
            life.stop_s = self.now_s

    def _see_off(self) -> None:
        for life in self.lives:
            is_leaving = math.isinf(life.gone_s) and not math.isinf(life.stop_s)
            if is_leaving and self.fleet.replicas["num_present"][life.number] == 0:
                life.gone_s = max(life.stop_s, float(self.fleet.replicas["now_s"][life.number]))
                self.fleet.remove_replica(life.number)
