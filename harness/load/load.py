"""Load: the one sender of a worker process. It lives beside locust's users, not in them.

It runs the stages of its shard, hands finished exchanges to the recorder, and tells the master
when its measured requests are over. Stages begin and end when the master says so. Nothing is
retried unless the class says so; nothing that is due is dropped; what the end of the run cuts off
is recorded as cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

import gevent
from gevent.event import AsyncResult, Event

from harness.load.bodies import request_bytes
from harness.load.counters import Counters
from harness.load.deadlines import Deadlines
from harness.load.drivers import DRIVERS, Driver
from harness.load.exchange import Arrival, Exchange
from harness.load.faults import CutFault
from harness.load.recorder import Recorder
from harness.load.retry import retry_wait_ns
from harness.load.setup import Shard
from harness.traffic import salt

TICK_S = 0.02
BROKEN = ("dns", "connect", "tls", "client_fault")
Tell = Callable[[str, dict[str, Any]], None]


class Load:
    """One point on one worker. tell: sends a message to the master without blocking.  on_end:
    called once nothing of the point is left to happen, before the master is told."""

    def __init__(
        self, shard: Shard, worker: int, num_workers: int, recorder: Recorder,
        counters: Counters, tell: Tell, on_end: Callable[[], None],
    ) -> None:  # fmt: skip
        self.shard, self.limits = shard, shard.limits
        self._worker, self._num_workers = worker, num_workers
        self._recorder, self.counters, self._tell = recorder, counters, tell
        self._on_end = on_end
        self.in_flight: set[Exchange] = set()
        self._waiting: deque[Arrival] = deque()
        self._again: set[gevent.Greenlet] = set()  # retries that wait for their time
        self._retries = [traffic.retry for traffic in shard.point.traffic]
        self._deadlines = Deadlines()
        stages = shard.schedule.stages
        only = shard.plan.only_stage
        self._order = [k for k in range(len(stages)) if only in (None, k)]
        self._starts: dict[int, AsyncResult] = {k: AsyncResult() for k in self._order}
        self._ends: dict[int, Event] = {k: Event() for k in self._order}
        self._pending = dict.fromkeys(self._order, 0)  # measured, not yet over
        self._drivers: dict[int, Driver] = {}
        self._told: set[int] = set()
        self._drain_by_ns = 0
        self._is_stopping = self._is_draining = False
        self._greenlet: gevent.Greenlet | None = None
        self.stage = self._order[0] if self._order else 0

    # -- what the master and locust's user ask for ---------------------------------------------

    def start_once(self) -> None:
        """Safe to call any number of times: locust starts users as workers come and go."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def begin_stage(self, index: int, start_ns: int) -> None:
        if not self._starts[index].ready():
            self._starts[index].set(start_ns)

    def end_stage(self, index: int) -> None:
        self._ends[index].set()

    def drain(self, deadline_ns: int) -> None:
        """Stop arrivals in all stages; what is in flight has until deadline_ns."""
        self._is_stopping = True
        self._drain_by_ns = deadline_ns
        for index in self._order:
            self._ends[index].set()
            self.begin_stage(index, 0)

    @property
    def num_due(self) -> int:
        return sum(driver.num_due for driver in self._drivers.values())

    # -- the run -------------------------------------------------------------------------------

    def _run(self) -> None:
        ticker = gevent.spawn(self._tick)
        stages = self.shard.schedule.stages
        for index in self._order:
            start_ns = self._starts[index].get()
            if self._is_stopping:
                break
            self.stage = index
            driver = DRIVERS[stages[index].kind](
                stages[index], self._worker, self._num_workers, self._release
            )
            self._drivers[index] = driver
            driver.start(start_ns)
            self._ends[index].wait()
            driver.stop()
        self._drain()
        ticker.kill()
        rows = self._recorder.finish()
        self.shard.pool.close()
        self.shard.bodies.close()
        self._on_end()
        self._tell("done", {"rows": rows, "seq": self._recorder.seq})

    def _drain(self) -> None:
        self._is_draining = True
        deadline_ns = self._drain_by_ns or monotonic_ns() + self.shard.schedule.drain_ns
        self._drain_by_ns = deadline_ns
        for greenlet in self._again:  # the failure before them is what stays on record
            greenlet.kill(block=False)
        while (self.in_flight or self._waiting) and monotonic_ns() < self._drain_by_ns:
            gevent.sleep(TICK_S / 2)
        self._is_stopping = True
        while self._waiting:
            exchange = self._exchange(self._waiting.popleft())
            exchange.fault = CutFault("still waiting for max_in_flight when the run ended")
            self._finished(exchange)
        for exchange in list(self.in_flight):
            exchange.stop(CutFault("in flight when the run ended"))
        while self.in_flight:
            gevent.sleep(TICK_S / 2)

    def _tick(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            now_ns = monotonic_ns()
            self._deadlines.check(now_ns)
            for index in self._drivers:
                self._check_measured(index, now_ns)

    def _check_measured(self, index: int, now_ns: int) -> None:
        """Tell the master once when this shard's measured requests of a stage are over, or have
        been given all the cool-down there is."""
        if index in self._told:
            return
        driver = self._drivers[index]
        if not driver.is_window_over(now_ns):
            return
        cooldown_ns = self.shard.schedule.stages[index].cooldown_ns
        is_late = now_ns >= driver.window_end_ns + cooldown_ns
        if self._pending[index] == 0 or is_late:
            self._told.add(index)
            self._tell("measured", {"stage": index, "window_end_ns": driver.window_end_ns})

    # -- one request ---------------------------------------------------------------------------

    def _release(self, arrival: Arrival) -> None:
        if arrival.phase == "measured":
            self._pending[arrival.stage] += 1
        self._admit(arrival)

    def _admit(self, arrival: Arrival) -> None:
        """Send it, or have it wait for max_in_flight."""
        if len(self.in_flight) >= self.shard.max_in_flight or self._waiting:
            self._waiting.append(arrival)
            self.counters.num_blocked += 1
            return
        self._launch(arrival)

    def _launch(self, arrival: Arrival) -> None:
        exchange = self._exchange(arrival)
        self.in_flight.add(exchange)
        exchange.start()
        if exchange.cancel_at_ns:
            self._deadlines.add(exchange.cancel_at_ns, exchange)

    def _exchange(self, arrival: Arrival) -> Exchange:
        plan = self.shard.plan
        stage = self.shard.schedule.stages[arrival.stage]
        request_id = (
            f"{plan.run_id}-{plan.arm}-{plan.attempt}-{plan.point_index}"
            f"-{arrival.stage}-{arrival.ordinal}{f'-r{arrival.attempt}' if arrival.attempt else ''}"
        )
        class_plan = self.shard.classes[int(stage.class_id[arrival.row])]
        exchange = Exchange(self, arrival, class_plan, self.shard.pool, request_id)
        exchange.asked_in = int(stage.asked_in[arrival.row])
        exchange.asked_out = int(stage.asked_out[arrival.row])
        if len(stage.batch):
            exchange.num_inputs = int(stage.batch[arrival.row])
        if len(stage.audio_ms):
            exchange.audio_ms = int(stage.audio_ms[arrival.row])
        if len(stage.cancel_ns):
            after_ns = int(stage.cancel_ns[arrival.row])
            exchange.cancel_at_ns = arrival.intended_ns + after_ns if after_ns >= 0 else 0
            exchange.cancel_tok = max(0, int(stage.cancel_tok[arrival.row]))
        return exchange

    def body_of(self, arrival: Arrival) -> bytes:
        """The JSON body of an arrival, salted."""
        plan = self.shard.plan
        # the points of a sweep replay one schedule: without their index a cache would know it
        opening = salt(
            plan.run_id, f"{plan.arm} {plan.point_index}", plan.attempt,
            arrival.stage, arrival.ordinal, arrival.phase == "warmup", self.shard.salt_words,
        )  # fmt: skip
        return self.shard.bodies.body(arrival.stage, arrival.row, opening)

    def request_of(self, exchange: Exchange) -> bytes:
        return request_bytes(exchange.plan, self.body_of(exchange.arrival), exchange.request_id)

    def on_sent(self, exchange: Exchange) -> None:
        counters = self.counters
        counters.sent += 1
        if not exchange.arrival.attempt:
            counters.send_lag_s.add((exchange.sent_ns - exchange.arrival.intended_ns) / 1e9)
        first_ns = min(self.limits.first_byte_ns, self.limits.total_ns)
        if exchange.cancel_tok:
            first_ns = 0  # looked at in each tick, from the first on
        self._deadlines.add(exchange.sent_ns + first_ns, exchange)

    def on_end(self, exchange: Exchange) -> None:
        self.in_flight.discard(exchange)
        self._finished(exchange)
        now_ns = monotonic_ns()
        while self._waiting and not self._is_stopping:
            if len(self.in_flight) >= self.shard.max_in_flight:
                break
            arrival = self._waiting.popleft()
            self.counters.blocked_ns += max(0, now_ns - arrival.intended_ns)
            self._launch(arrival)

    def _finished(self, exchange: Exchange) -> None:
        arrival = exchange.arrival
        exchange.end_ns = exchange.end_ns or monotonic_ns()
        self._recorder.put(exchange)
        if self._ask_again(exchange):
            return
        if arrival.phase == "measured":
            self._pending[arrival.stage] -= 1
        driver = self._drivers.get(arrival.stage)
        if driver is not None and not self._is_stopping:
            is_broken = exchange.fault is not None and exchange.fault.error_class in BROKEN
            driver.on_end(arrival, is_broken=is_broken)
            self._check_measured(arrival.stage, monotonic_ns())

    def _ask_again(self, exchange: Exchange) -> bool:
        """Whether the request goes on with another attempt, after its wait."""
        arrival = exchange.arrival
        class_id = int(self.shard.schedule.stages[arrival.stage].class_id[arrival.row])
        wait_ns = retry_wait_ns(exchange, self._retries[class_id], self.shard.point.seed)
        if wait_ns is None or self._is_stopping or self._is_draining:
            return False
        at_ns = exchange.end_ns + wait_ns
        if exchange.cancel_at_ns and at_ns >= exchange.cancel_at_ns:
            return False  # by then its user has left
        wait_s = max(0.0, (at_ns - monotonic_ns()) / 1e9)
        greenlet = gevent.spawn_later(wait_s, self._try_again, arrival)
        self._again.add(greenlet)
        return True

    def _try_again(self, arrival: Arrival) -> None:
        self._again.discard(gevent.getcurrent())
        self._admit(arrival._replace(attempt=arrival.attempt + 1))
