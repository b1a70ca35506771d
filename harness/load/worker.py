"""The worker's half: takes a plan, prepares its shard, runs it, reports once a second.

All times here are on this host's own axis; the master translates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.queue import Queue

from harness.errors import HarnessError, InternalError, MeasurementError
from harness.load.clock import Axis
from harness.load.collector import Collector
from harness.load.counters import Counters
from harness.load.dispatcher import Dispatcher
from harness.load.exchange import Exchange
from harness.load.failure import error_to_json
from harness.load.load import Load
from harness.load.membership import Membership
from harness.load.messages import TO_WORKER, wire_name
from harness.load.parcel import Item, Store
from harness.load.plan import PointPlan
from harness.load.polls import Polls
from harness.load.pulse import Health, Ticker
from harness.load.record import RecordContext
from harness.load.recorder import Breather, Recorder, Tell
from harness.load.setup import Shard, prepare
from harness.load.tokens import CountTokens
from harness.load.wire import NUM_STAMPS, hold_kernel_stamps

PULSE_S = 1.0
PART_WAIT_S = 60.0
PREPARING_NS = 1_000_000_000


class Preparation(Breather):
    """Called once a request made; tells the master every second how many there are."""

    def __init__(self, polls: Polls, tell: Tell, shard: int) -> None:
        super().__init__(polls)
        self._tell, self._shard = tell, shard
        self._count, self._told_ns = 0, monotonic_ns()

    def __call__(self) -> None:
        self._count += 1
        now_ns = monotonic_ns()
        if now_ns - self._told_ns > PREPARING_NS:
            self._told_ns = now_ns
            self._tell("preparing", {"shard": self._shard, "count": self._count})
        super().__call__()


class Worker:
    """One a process. runner: locust's, whose messages carry ours.  store: where the files of a
    run of another host are put; None where the master's disk is ours."""

    def __init__(
        self, environment: Any, runner: Any, membership: Membership, store: Path | None = None
    ) -> None:
        self._environment, self._runner, self._membership = environment, runner, membership
        self._store = Store(store) if store else None
        self._parts: dict[str, AsyncResult] = {}
        self._holder, self._polls, self._axis = hold_kernel_stamps(), Polls(), Axis()
        self._ticker, self._health, self._collector = Ticker(), Health(), Collector()
        self._shard_index, self._num_shards = 0, 1
        self._load: Load | None = None
        self._round = 0
        self._recorder: Recorder | None = None
        self._counters = Counters()
        self._outbox: Queue = Queue()
        self._handlers = {name: getattr(self, f"_on_{name}") for name in TO_WORKER}
        for name, handler in self._handlers.items():
            runner.register_message(wire_name(name), partial(self._enqueue, handler))
        Dispatcher.start_once = staticmethod(self._start_once)
        gevent.spawn(self._send)
        gevent.spawn(self._beat)

    def _teller(self, number: int) -> Tell:
        """Queues messages about point `number` for the master: one greenlet sends, so that none
        waits for another; the number keeps late words about an abandoned point apart."""
        return lambda name, data: self._outbox.put((name, data | {"round": number}))

    def _send(self) -> None:
        while True:
            name, data = self._outbox.get()
            session = {"session": self._membership.session}
            self._runner.send_message(wire_name(name), data | session)

    @staticmethod
    def _enqueue(handler: Callable[[dict[str, Any]], None], *, environment: Any, msg: Any) -> None:
        """Handlers run in greenlets of their own: locust's receiver is never held up."""
        gevent.spawn(handler, msg.data)

    def _start_once(self) -> None:
        if self._load is not None:
            self._load.start_once()

    def _on_plan(self, data: dict[str, Any]) -> None:
        number = data["round"]
        tell = self._teller(number)
        breathe = Preparation(self._polls, tell, data["shard"])
        self._shard_index, self._num_shards = data["shard"], data["num_shards"]
        self._collector.release()
        try:
            plan = self._received(data) if "items" in data else PointPlan.from_json(data["plan"])
            shard = prepare(plan, self._shard_index, self._num_shards, self._polls, breathe)
            self._build(plan, shard, number)
            self._collector.hold()
        except HarnessError as error:
            self._decline(error, tell)
            return
        except Exception as error:
            self._decline(InternalError(f"{type(error).__name__}: {error}"), tell)
            return
        self._membership.tell(
            f"point {plan.point_index}: shard {self._shard_index + 1} of {self._num_shards}"
        )
        tell("ready", {
            "error": None, "schedule_sha256": shard.schedule.sha256(),
            "bodies_sha256": shard.bodies_sha256, "drain_ns": shard.schedule.drain_ns,
            "stages": [_phases(stage) for stage in shard.schedule.stages],
        })  # fmt: skip

    def _decline(self, error: HarnessError, tell: Tell) -> None:
        """The point cannot begin here; both sides say why."""
        tell("ready", {"error": error_to_json(error)})
        if self._store is not None:
            gevent.sleep(0.1)  # the message leaves before the process does
            self._membership.fail(error)

    def _received(self, data: dict[str, Any]) -> PointPlan:
        """The plan of another host's master, once every file it names is here."""
        if self._store is None:
            raise MeasurementError("the master sent files to a worker of its own host")
        items = [Item(*row) for row in data["items"]]
        tell = self._teller(data["round"])
        for item in self._store.missing(items):
            incoming = self._store.open(item)
            for index in range(item.num_parts):
                ticket = f"{data['round']}:{item.name}:{index}"
                result = self._parts[ticket] = AsyncResult()
                tell("want", {"name": item.name, "index": index, "id": ticket})
                with gevent.Timeout(PART_WAIT_S, MeasurementError(
                    f"the file {item.name} did not arrive", why=f"waited {PART_WAIT_S:.0f} s"
                )):  # fmt: skip
                    incoming.add(result.get())
                del self._parts[ticket]
            incoming.close()
        return self._store.plan(data["plan"], items)

    def _on_part(self, data: dict[str, Any]) -> None:
        if data["id"] in self._parts:
            self._parts[data["id"]].set(data["raw"])

    def _build(self, plan: PointPlan, shard: Shard, number: int) -> None:
        tell = self._teller(number)
        estimates = plan.token_plan.kind == "estimated"
        context = RecordContext(
            run_id=plan.run_id,
            point=plan.point_index,
            target=shard.point.target_name,
            worker=self._shard_index,
            axis=self._axis,
            count_tokens=_counter(plan.token_plan.tokenizer_json),
            chars_per_token=plan.token_plan.chars_per_token if estimates else 0.0,
            believes_prompts=not plan.token_plan.doubt,
            keep_text=shard.keeps_text,
            keeps_user_stamps=plan.keeps_user_stamps,
        )
        self._counters = Counters()

        def prompt_of(exchange: Exchange) -> str:
            return load.body_of(exchange.arrival).decode("utf-8", "replace")

        self._recorder = Recorder(context, self._counters, tell, self._fire, prompt_of, self._polls)

        def last_pulse() -> None:
            """What came after the last full second is in a row too, however little that is; a rate
            of the clock needs a whole second and is left out."""
            if self._load is load:  # else the point was abandoned, and what is counted is another's
                tell("pulse", self._pulse(load, self._axis.sample(), slew_ppm=None))

        load = Load(
            shard, self._shard_index, self._num_shards, self._recorder, self._counters, tell,
            last_pulse,
        )  # fmt: skip
        self._load, self._round = load, number

    def _on_go(self, data: dict[str, Any]) -> None:
        assert self._load is not None
        self._load.begin_stage(data["stage"], data["start_ns"])
        self._load.start_once()  # locust may have given our user to a worker that is parked
        if data["is_first"]:
            self._load.shard.pool.warm(self._load.shard.num_to_warm)

    def _on_load_end(self, data: dict[str, Any]) -> None:
        if self._load is not None:
            self._load.end_stage(data["stage"])

    def _on_drain(self, data: dict[str, Any]) -> None:
        if self._load is not None:
            self._load.drain(data["deadline_ns"])
            self._load.start_once()  # where it never began, it has to say that it is done

    def _on_acknowledge(self, data: dict[str, Any]) -> None:
        if self._recorder is not None and data["round"] == self._round:
            self._recorder.acknowledge(data["seq"])

    def _fire(self, row: dict[str, Any]) -> None:
        """One locust event a finished request; never a source of metrics."""
        begin_ns, error = row["sent_ns"] or row["released_ns"], row["error_class"]
        self._environment.events.request.fire(
            request_type="POST", name=row["class"], context={},
            response_time=(row["end_ns"] - (begin_ns or row["end_ns"])) / 1e6,
            response_length=row["bytes_in"], exception=RuntimeError(error) if error else None,
        )  # fmt: skip

    # -- once a second -------------------------------------------------------------------------

    def _beat(self) -> None:
        next_ns = monotonic_ns()
        while True:
            next_ns = max(next_ns + int(PULSE_S * 1e9), monotonic_ns())
            gevent.sleep(max(0.0, (next_ns - monotonic_ns()) / 1e9))
            step_ns = self._axis.sample()
            load, recorder = self._load, self._recorder
            if load is None or recorder is None:
                self._health.read()
                self._ticker.take()
                continue
            load.shard.pool.drop_idle()
            recorder.absorb_long(load.in_flight)
            recorder.flush()
            self._teller(self._round)("pulse", self._pulse(load, step_ns, self._axis.slew_ppm()))

    def _pulse(self, load: Load, step_ns: int, slew_ppm: float | None) -> dict[str, Any]:
        counters, hub = self._counters, self._ticker.take()
        sketches = counters.take_sketches()
        send, receive = sketches["send_lag_s"], sketches["recv_lag_s"]
        streaming = sum(len(x.receives) // NUM_STAMPS for x in load.in_flight)
        if self._recorder is not None:
            streaming += self._recorder.num_waiting_receives
        health = self._health.read()
        self._collector.look(health["rss_bytes"])
        row = health | {
            "worker": self._shard_index,
            "t_ns": monotonic_ns(),
            "stage": load.stage,
            "in_flight": len(load.in_flight),
            "scheduled": load.num_due,
            "sent": counters.sent,
            "finished": counters.finished,
            "failed": counters.failed,
            "num_blocked": counters.num_blocked,
            "blocked_s": counters.blocked_ns / 1e9,
            "send_lag_p50_ns": _ns(send.quantile(0.5)),
            "send_lag_p99_ns": _ns(send.quantile(0.99)),
            "send_lag_max_ns": _ns(send.largest if send.count else None),
            "recv_lag_p50_ns": _ns(receive.quantile(0.5)),
            "recv_lag_p99_ns": _ns(receive.quantile(0.99)),
            "recv_lag_max_ns": _ns(receive.largest if receive.count else None),
            "hub_lag_p99_ns": _ns(hub.quantile(0.99)),
            "hub_lag_max_ns": _ns(hub.largest if hub.count else None),
            "num_receives": counters.num_receives + streaming,
            "num_coalesced": counters.num_coalesced,
            "clock_step_ns": step_ns,
            "slew_ppm": slew_ppm,
        }
        return {
            "row": row,
            "ok": counters.ok,
            "throttled": counters.throttled,
            "tok_per_receive": counters.num_tok / max(1, counters.num_tok_receives),
            "last_error": counters.last_error,
            "ttft_s": sketches["ttft_s"].to_json(),
            "tpot_s": sketches["tpot_s"].to_json(),
            "whole_s": sketches["whole_s"].to_json(),
        }


def _phases(stage: Any) -> dict[str, Any]:
    return {
        "index": stage.index,
        "name": stage.name,
        "kind": stage.kind,
        "warmup_ns": int(stage.warmup_ns),
        "window_ns": int(stage.window_ns),
        "cooldown_ns": int(stage.cooldown_ns),
    }


def _counter(tokenizer_json: bytes | None) -> CountTokens | None:
    """Counts an answer's tokens without special ones, in a native thread."""
    if tokenizer_json is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(tokenizer_json)

    def count(text: str) -> int:
        pool = gevent.get_hub().threadpool
        return int(pool.apply(lambda: len(tokenizer.encode(text, add_special_tokens=False).ids)))

    return count


def _ns(value_s: float | None) -> int | None:
    return None if value_s is None else round(value_s * 1e9)
