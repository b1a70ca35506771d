"""The master's half of one point: stages begun and ended, rows on disk, lost workers noticed.

It acknowledges rows only after fsync, and calls a point complete only when it holds every row of
every shard. Times are on the master's axis here; rows are spooled as they come, on their worker's
axis, with workers.json beside them, which tells how to put them on the master's.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import gevent
from gevent.queue import Queue

from harness.errors import HarnessError, MeasurementError
from harness.load.failure import error_from_json
from harness.load.merge import Merge
from harness.load.parcel import Parcel
from harness.load.plan import Done, PointPlan
from harness.load.roster import Member
from harness.load.rows import client_batch, from_bytes
from harness.records import SpoolWriter, write_workers

if TYPE_CHECKING:
    from harness.load.conductor import Conductor

LEAD_NS = 1_000_000_000  # between go and the first stage
SILENCE_NS = 600_000_000_000  # of all workers while they prepare; they tell of progress
MIN_REFUSALS = 5


class PointLost(Exception):
    """A point cannot be finished; its text is the reason, status that of its Done."""

    def __init__(self, reason: str, status: str = "partial") -> None:
        super().__init__(reason)
        self.status = status


class PointRun:
    """One point's state at the master. parcel: for members of other hosts."""

    def __init__(self, conductor: Conductor, plan: PointPlan, parcel: Parcel | None) -> None:
        self._c, self._plan, self._parcel = conductor, plan, parcel
        self._members = conductor.members
        self._folder = Path(plan.point_dir)
        self._spool: SpoolWriter | None = None
        self._batches: Queue = Queue()
        self._writer = gevent.spawn(self._write)
        self._merge = Merge(len(self._members))
        self._stages: list[dict[str, Any]] = []
        self._done: dict[int, dict[str, Any]] = {}
        self._lost_shards: dict[int, str] = {}  # shard -> how it was lost
        self._seen: set[tuple[int, int]] = set()
        self._measured: dict[int, int] = {}  # shard -> end of its window, this stage
        self._now = -1  # position in self._stages
        self._drain_ns = 0
        self._lead_ns = 5_000_000 if len(self._members) == 1 else 100_000_000
        self._status, self._reason = "complete", ""
        self._is_draining = self._is_refused = False
        self.num_rows = 0

    def play(self) -> Done:
        try:
            self._spool = SpoolWriter(self._folder)
        except (HarnessError, OSError) as error:
            raise PointLost(_words(error)) from error
        self._write_workers()
        self._prepare()
        self._c.runner.start(len(self._members), spawn_rate=len(self._members))
        self._begin_next(monotonic_ns() + LEAD_NS)
        next_pulse_ns = monotonic_ns() + LEAD_NS
        while len(self._done.keys() | self._lost_shards.keys()) < len(self._members):
            name, data = self._c.next_message(0.2)
            self._handle(name, data)
            if monotonic_ns() >= next_pulse_ns:
                next_pulse_ns += 1_000_000_000
                self._look_after()
        self._settle()
        return Done(self._status, self.num_rows, self._reason, self._is_refused)

    def _prepare(self) -> None:
        """Give out the plan and the files it names; every shard must build the same schedule."""
        for member in self._members:
            here = {"plan": self._plan.to_json()}
            sent = self._parcel.to_json() if member.is_remote and self._parcel else here
            data = sent | {"shard": member.shard, "num_shards": len(self._members)}
            self._c.say("plan", data | {"round": self._c.round}, member.shard)
        ready: dict[int, dict[str, Any]] = {}
        silent_since_ns = monotonic_ns()
        while len(ready) < len(self._members):
            name, data = self._c.next_message(0.5)
            if name != "nothing":
                silent_since_ns = monotonic_ns()
            if name == "ready":
                self._take_ready(data, ready)
            elif name == "want":
                self._give_part(data)
            elif name == "preparing":
                self._show_preparation(data)
            elif name == "stop":
                raise PointLost("stopped before the first request", "interrupted")
            elif lost := self._c.lost():  # asked only when nothing waits to be read: a worker
                # that cannot take part says why before it goes
                raise PointLost(f"lost {', '.join(map(self._c.roster.fate, lost))}")
            elif monotonic_ns() - silent_since_ns > SILENCE_NS:
                raise PointLost("the load workers did not get ready")
        self._compare(ready)
        only = self._plan.only_stage
        self._stages = [s for s in ready[0]["stages"] if only in (None, s["index"])]
        self._drain_ns = ready[0]["drain_ns"]

    def _show_preparation(self, data: dict[str, Any]) -> None:
        self._merge.phase = "preparing"
        self._merge.num_prepared[data["shard"]] = data["count"]
        self._c.emit(self._merge.pulse(len(self._members)))

    def _take_ready(self, data: dict[str, Any], ready: dict[int, dict[str, Any]]) -> None:
        shard = data["shard"]
        member = self._members[shard]
        if data["error"] is not None:
            error = error_from_json(data["error"])
            where = " ".join(filter(None, (error.where, f"({member.name})")))
            raise type(error)(error.what, where=where, why=error.why, do=error.do)
        if shard in ready:
            raise PointLost(f"{member.name} said twice that it is ready")
        ready[shard] = data

    def _compare(self, ready: dict[int, dict[str, Any]]) -> None:
        """Refuse the first worker whose digests are not those of most; between two, shard 0 is
        believed. Raises MeasurementError."""
        digests = {"schedule_sha256": "another schedule", "bodies_sha256": "other requests"}
        for name, what in digests.items():
            ours = Counter(ready[m.shard][name] for m in self._members).most_common(1)[0][0]
            for member in self._members:
                if ready[member.shard][name] == ours:
                    continue
                error = MeasurementError(
                    f"{member.name} built {what} than the others",
                    why="the same scenario and seed gave other bytes there: its packages or data"
                    " differ",
                    do="install the same versions on all hosts",
                )
                self._c.roster.refuse(member.client_id, member.facts.host, error)
                raise error

    def _give_part(self, data: dict[str, Any]) -> None:
        if self._parcel is not None:
            raw = self._parcel.part(data["name"], data["index"])
            self._c.say("part", {"id": data["id"], "raw": raw}, data["shard"])

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
        more = {"stage": stage["index"], "is_first": self._now == 0}
        self._c.say_time("go", "start_ns", start_ns, more)

    def _end_stage(self) -> None:
        """Measured requests of all shards are over: the load may stop."""
        stage, now_ns = self._stages[self._now], monotonic_ns()
        stage["load_end_ns"] = now_ns
        if stage["t1_ns"] is None:
            stage["t1_ns"] = max(self._measured.values(), default=now_ns) or now_ns
        self._write_stages()
        index = stage["index"]
        self._begin_next(now_ns + self._lead_ns)
        self._c.say("load_end", {"stage": index})
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
                clock = self._members[data["shard"]].clock
                assert clock is not None
                self._measured[data["shard"]] = clock.to_master(data["window_end_ns"])
                if len(self._measured) == len(self._members):
                    self._end_stage()
        elif name == "done":
            self._done[data["shard"]] = data
        elif name == "stop":
            self._drain("interrupted", "stopped by the user", self._c.stop_requests > 1)
        elif name == "full":
            self._drain("partial", data["reason"], True)

    def _look_after(self) -> None:
        """Once a second: show, notice lost workers and a target that refuses everything."""
        self._note_lost()
        pulse = self._merge.pulse(len(self._members) - len(self._lost_shards))
        self._c.emit(pulse)
        if self._now == 0 and self._merge.phase != "warmup" and not self._is_draining:
            has_warmup = self._stages[0]["warmup_ns"] > 0
            # an outage is what uptime is measured for; a refusal of what we ask (4xx) is none
            is_outage = self._plan.keeps_asking and not self._merge.last_error.startswith(
                "http_4xx"
            )
            ended = pulse.failed + pulse.throttled
            if (
                has_warmup
                and not is_outage
                and not pulse.ok
                and ended >= MIN_REFUSALS
                and (self._merge.num_ok_at_window_start == 0)
            ):
                self._is_refused = self._status == "complete"
                why = f"the target refused every request of the warm-up: {self._merge.last_error}"
                self._drain("partial", why, True)

    def _note_lost(self) -> None:
        """A worker that was lost ends the point: its share of the load is not sent any more. One
        whose heartbeat returns may still hand in its rows."""
        lost = {m.shard: self._c.roster.fate(m) for m in self._c.lost()}
        is_news = lost.keys() - self._lost_shards.keys() - self._done.keys()
        self._lost_shards = lost
        if is_news:
            told = ", ".join(lost[shard] for shard in sorted(is_news))
            self._drain("partial", f"lost {told}", False)

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
        deadline_ns = now_ns + (0 if is_at_once else self._drain_ns)
        self._c.say_time("drain", "deadline_ns", deadline_ns, {})

    def _settle(self) -> None:
        """All that came is on disk; a shard whose rows are missing makes the point partial, and so
        does a clock that was moved."""
        self._batches.put(None)
        self._writer.join()
        there = [m for m in self._members if not self._c.roster.is_lost(m)]
        others = [m for m in there if m.clock is not None and not m.clock.is_shared]
        self._c.roster.compare_clocks(others, is_end=True)
        self._write_workers()
        if self._status != "complete":
            return
        expected = sum(data["rows"] for data in self._done.values())
        moved = [m for m in others if m.clock is not None and m.clock.step_ns]
        lost = [self._c.roster.fate(m) for m in self._members if m.shard not in self._done]
        if lost:
            self._status, self._reason = "partial", f"lost {', '.join(lost)}"
        elif self.num_rows != expected:
            self._status = "partial"
            self._reason = f"{expected - self.num_rows} rows were lost on their way"
        elif moved:
            self._status, self._reason = "partial", _moved(moved[0])

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
                    self._c.tell_self("full", {"reason": _words(error)})
            if key is not None:
                self._c.say("acknowledge", {"seq": key[1], "round": self._c.round}, key[0])

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

    def _write_workers(self) -> None:
        try:
            write_workers(self._folder, [_facts(member) for member in self._members])
        except (HarnessError, OSError) as error:
            raise PointLost(_words(error)) from error


def _facts(member: Member) -> dict[str, Any]:
    """A row of workers.json; hosts are told apart, not named."""
    clock, facts = member.clock, member.facts
    assert clock is not None
    return {
        "shard": member.shard,
        "is_remote": member.is_remote,
        "host_sha256": facts.host_sha256,
        "cores": facts.cores,
        "descriptors": facts.descriptors,
        "has_kernel_stamps": facts.has_kernel_stamps,
        "versions": facts.versions,
        "offset_ns": clock.start.offset_ns,
        "at_ns": clock.start.at_ns,
        "end_offset_ns": clock.end.offset_ns if clock.end else None,
        "end_at_ns": clock.end.at_ns if clock.end else None,
        "uncertainty_ns": clock.uncertainty_ns,
        "drift_ppm": clock.drift_ppm,
        "sure_drift_ppm": clock.surely_drifts_ppm,
    }


def _moved(member: Member) -> str:
    assert member.clock is not None
    return (
        f"the clock of {member.name} moved by {member.clock.step_ns / 1e6:.1f} ms during the point:"
        " the host slept, or its clock was set"
    )


def _words(error: HarnessError | OSError) -> str:
    if isinstance(error, HarnessError):
        return f"{error.what}: {error.where}" if error.where else error.what
    return str(error)
