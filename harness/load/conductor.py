"""The master's half: one schedule over all workers, their rows on disk, their pulses as one.

It starts and ends every stage, acknowledges rows only after fsync, and calls a point complete only
when it holds every row of every shard. Handlers of messages only enqueue.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import Any

import gevent
from gevent.queue import Empty, Queue

from harness.errors import HarnessError
from harness.load.merge import Merge
from harness.load.messages import TO_MASTER, proof, wire_name
from harness.load.plan import Done, LoadEvent, PointPlan
from harness.load.rows import client_batch, from_bytes
from harness.load.worker import boot_id
from harness.records import SpoolWriter

LEAD_NS = 1_000_000_000  # between go and the first stage
READY_TIMEOUT_S = 600.0
HELLO_TIMEOUT_S = 120.0
MIN_REFUSALS = 5


class PointLost(Exception):
    """A point cannot be finished; its text is the reason, status that of its Done."""

    def __init__(self, reason: str, status: str = "partial") -> None:
        super().__init__(reason)
        self.status = status


class Conductor:
    """emit: shows an event to the process that asked. lost: names of workers that are gone."""

    def __init__(
        self, runner: Any, num_workers: int, emit: Callable[[LoadEvent], None],
        lost: Callable[[], list[str]],
    ) -> None:  # fmt: skip
        self._runner, self._num_workers = runner, num_workers
        self._emit, self._lost = emit, lost
        self._inbox: Queue = Queue()
        self._clients: dict[int, str] = {}
        self._stop_requests = 0
        self._round = 0
        for name in TO_MASTER:
            runner.register_message(wire_name(name), partial(self._enqueue, name))

    def _enqueue(self, name: str, *, environment: Any, msg: Any) -> None:
        self._inbox.put((name, msg.data))

    def _say(self, name: str, data: dict[str, Any], shard: int | None = None) -> None:
        shards = self._clients if shard is None else {shard: self._clients[shard]}
        for client in shards.values():
            self._runner.send_message(wire_name(name), data, client)

    def request_stop(self) -> None:
        """First call: drain. Second: cut at once."""
        self._stop_requests += 1
        self._inbox.put(("stop", {"shard": -1}))

    def request_abort(self) -> None:
        self._stop_requests = 2
        self._inbox.put(("stop", {"shard": -1}))

    def gather(self) -> None:
        """Wait for every worker to say hello, and give out the shards. Raises PointLost."""
        with gevent.Timeout(HELLO_TIMEOUT_S, PointLost("the load workers did not come up")):
            while len(self._clients) < self._num_workers:
                name, data = self._next(0.5)
                if name == "stop":
                    raise PointLost("stopped before the first request", "interrupted")
                if name != "hello":
                    continue
                if data["proof"] != proof(data["client_id"]):
                    raise PointLost("a load worker does not know HARNESS_TOKEN")
                if data["boot_id"] != boot_id():
                    raise PointLost("a load worker runs on another machine: its clock differs")
                shard = len(self._clients)
                self._clients[shard] = data["client_id"]
                self._say("assign", {"shard": shard, "num_shards": self._num_workers}, shard)

    def run_point(self, plan: PointPlan) -> Done:
        """Drive one point to its end; never raises but for bugs."""
        self._stop_requests = 0
        self._round += 1
        run = _Run(self, plan)
        try:
            return run.play()
        except PointLost as loss:
            run.abandon()
            return Done(loss.status, run.num_rows, str(loss))
        except OSError as error:  # the disk: stages.json could not be written
            run.abandon()
            reason = f"{error.strerror}: {error.filename or plan.point_dir}"
            return Done("partial", run.num_rows, reason)
        finally:
            run.close()
            self._runner.stop()

    def _next(self, timeout_s: float) -> tuple[str, dict[str, Any]]:
        try:
            name, data = self._inbox.get(timeout=timeout_s)
        except Empty:
            return "nothing", {}
        # what an abandoned point still says concerns nobody
        return (name, data) if data.get("round", self._round) == self._round else ("nothing", {})


class _Run:
    """One point's state at the master."""

    def __init__(self, conductor: Conductor, plan: PointPlan) -> None:
        self._c, self._plan = conductor, plan
        self._folder = Path(plan.point_dir)
        self._spool: SpoolWriter | None = None
        self._batches: Queue = Queue()
        self._writer = gevent.spawn(self._write)
        self._merge = Merge(conductor._num_workers)
        self._stages: list[dict[str, Any]] = []
        self._done: dict[int, dict[str, Any]] = {}
        self._seen: set[tuple[int, int]] = set()
        self._measured: dict[int, int] = {}  # shard -> end of its window, this stage
        self._now = -1  # position in self._stages
        self._drain_ns = 0
        self._lead_ns = 5_000_000 if conductor._num_workers == 1 else 100_000_000
        self._status, self._reason = "complete", ""
        self._is_draining = False
        self.num_rows = 0

    def play(self) -> Done:
        try:
            self._spool = SpoolWriter(self._folder)
        except (HarnessError, OSError) as error:
            raise PointLost(_words(error)) from error
        self._prepare()
        self._c._runner.start(self._c._num_workers, spawn_rate=self._c._num_workers)
        self._begin_next(monotonic_ns() + LEAD_NS)
        next_pulse_ns = monotonic_ns() + LEAD_NS
        while len(self._done) < self._c._num_workers - len(self._c._lost()):
            name, data = self._c._next(0.2)
            self._handle(name, data)
            if monotonic_ns() >= next_pulse_ns:
                next_pulse_ns += 1_000_000_000
                self._look_after()
        self._settle()
        return Done(self._status, self.num_rows, self._reason)

    def _prepare(self) -> None:
        self._c._say("plan", {"plan": self._plan.to_json(), "round": self._c._round})
        ready: dict[int, dict[str, Any]] = {}
        with gevent.Timeout(READY_TIMEOUT_S, PointLost("the load workers did not get ready")):
            while len(ready) < self._c._num_workers:
                name, data = self._c._next(0.5)
                if name == "ready":
                    if data["error"]:
                        raise PointLost(data["error"])
                    ready[data["shard"]] = data
                elif name == "stop":
                    raise PointLost("stopped before the first request", "interrupted")
                if self._c._lost():
                    raise PointLost(f"lost {', '.join(self._c._lost())}")
        if len({data["schedule_sha256"] for data in ready.values()}) != 1:
            raise PointLost("the load workers built different schedules")
        only = self._plan.only_stage
        self._stages = [s for s in ready[0]["stages"] if only in (None, s["index"])]
        self._drain_ns = ready[0]["drain_ns"]

    def _begin_next(self, start_ns: int) -> None:
        """The next stage starts at start_ns; after the last, the drain begins by itself."""
        self._now += 1
        self._measured = {}
        if self._now >= len(self._stages):
            return
        stage = self._stages[self._now]
        stage["start_ns"] = start_ns
        stage["t0_ns"] = start_ns + stage["warmup_ns"]
        stage["t1_ns"] = stage["t0_ns"] + stage["window_ns"] if stage["window_ns"] else None
        stage["load_end_ns"] = None
        self._write_stages()
        self._merge.begin(stage)
        is_first = self._now == 0
        self._c._say("go", {"stage": stage["index"], "start_ns": start_ns, "is_first": is_first})

    def _end_stage(self) -> None:
        """Measured requests of all shards are over: the load may stop."""
        stage, now_ns = self._stages[self._now], monotonic_ns()
        stage["load_end_ns"] = now_ns
        if stage["t1_ns"] is None:
            stage["t1_ns"] = max(self._measured.values(), default=now_ns) or now_ns
        self._write_stages()
        index = stage["index"]
        self._begin_next(now_ns + self._lead_ns)
        self._c._say("load_end", {"stage": index})
        if self._now >= len(self._stages):
            self._merge.phase = "drain"

    def _handle(self, name: str, data: dict[str, Any]) -> None:
        if name == "batch":
            key = (data["shard"], data["seq"])
            is_new = key not in self._seen
            self._seen.add(key)
            self._batches.put((key, data if is_new else None))
        elif name == "pulse":
            self._merge.take(data["shard"], data)
            self._batches.put((None, data["row"]))
        elif name == "measured" and self._now < len(self._stages):
            if data["stage"] == self._stages[self._now]["index"]:
                self._measured[data["shard"]] = data["window_end_ns"]
                if len(self._measured) == self._c._num_workers:
                    self._end_stage()
        elif name == "done":
            self._done[data["shard"]] = data
        elif name == "stop":
            self._drain("interrupted", "stopped by the user", self._c._stop_requests > 1)
        elif name == "full":
            self._drain("partial", data["reason"], True)

    def _look_after(self) -> None:
        """Once a second: show, notice lost workers and a target that refuses everything."""
        lost = self._c._lost()
        pulse = self._merge.pulse(self._c._num_workers - len(lost))
        self._c._emit(pulse)
        if lost:
            self._drain("partial", f"lost {', '.join(lost)}", False)
        elif self._now == 0 and self._merge.phase != "warmup" and not self._is_draining:
            has_warmup = self._stages[0]["warmup_ns"] > 0
            ended = pulse.failed + pulse.throttled
            if (
                has_warmup
                and not pulse.ok
                and ended >= MIN_REFUSALS
                and (self._merge.num_ok_at_window_start == 0)
            ):
                why = f"the target refused every request of the warm-up: {self._merge.last_error}"
                self._drain("partial", why, True)

    def _drain(self, status: str, reason: str, is_at_once: bool) -> None:
        if self._status == "complete":
            self._status, self._reason = status, reason
        self._is_draining = True
        now_ns = monotonic_ns()
        if 0 <= self._now < len(self._stages):
            stage = self._stages[self._now]
            stage["load_end_ns"] = now_ns
            stage["t1_ns"] = min(stage["t1_ns"] or now_ns, now_ns)
            self._write_stages()
            self._now = len(self._stages)
        self._merge.phase = "drain"
        self._c._say("drain", {"deadline_ns": now_ns + (0 if is_at_once else self._drain_ns)})

    def _settle(self) -> None:
        """All that came is on disk; a shard whose rows are missing makes the point partial."""
        self._batches.put(None)
        self._writer.join()
        expected = sum(data["rows"] for data in self._done.values())
        if self.num_rows != expected and self._status == "complete":
            self._status = "partial"
            self._reason = f"{expected - self.num_rows} rows were lost on their way"
        lost = self._c._lost()
        if lost and self._status == "complete":
            self._status, self._reason = "partial", f"lost {', '.join(lost)}"

    def abandon(self) -> None:
        self._c._say("drain", {"deadline_ns": 0})

    def close(self) -> None:
        self._writer.kill()
        if self._spool is not None:
            self._spool.close()

    def _write(self) -> None:
        """The one greenlet that writes: fsync runs in a native thread, acknowledgement follows."""
        is_full = False
        while True:
            item = self._batches.get()
            if item is None:
                return
            key, data = item
            if data is not None and not is_full:
                try:
                    gevent.get_hub().threadpool.apply(self._append, (key, data))
                    self.num_rows += data.get("rows", 0)
                except (HarnessError, OSError) as error:
                    is_full = True
                    self._c._inbox.put(("full", {"reason": _words(error), "shard": -1}))
            if key is not None:
                self._c._say("acknowledge", {"seq": key[1], "round": self._c._round}, key[0])

    def _append(self, key: tuple[int, int] | None, data: dict[str, Any]) -> None:
        assert self._spool is not None
        if key is None:
            self._spool.append_clients(client_batch([data]))
            return
        self._spool.append_requests(from_bytes(data["raw"]))
        if data["samples"]:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in data["samples"]]
            with open(self._folder / "samples.jsonl", "a", encoding="utf-8") as file:
                file.writelines(lines)

    def _write_stages(self) -> None:
        """stages.json, replaced as a whole: a killed run has the stages that began."""
        names = ("index", "name", "t0_ns", "t1_ns", "load_end_ns", "start_ns")
        rows = [{k: s[k] for k in names} for s in self._stages if "start_ns" in s]
        path = self._folder / "stages.json"
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        os.replace(draft, path)


def _words(error: HarnessError | OSError) -> str:
    if isinstance(error, HarnessError):
        return f"{error.what}: {error.where}" if error.where else error.what
    return str(error)
