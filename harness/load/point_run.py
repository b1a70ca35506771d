"""The master's half of one point: stages begun and ended, rows on disk, lost workers noticed.

It calls a point complete only when every row of every shard is on disk, where point_writer.py puts
them. Times are on the master's axis here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, MeasurementError
from harness.load.failure import error_from_json
from harness.load.merge import Merge
from harness.load.parcel import Parcel
from harness.load.plan import Done, PointPlan, Pulse
from harness.load.point_writer import PointWriter, words_of
from harness.load.roster import Member

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
        self._writer = PointWriter(self._folder, self._acknowledge, self._stop_for_disk)
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

    @property
    def num_rows(self) -> int:
        """Requests on disk."""
        return self._writer.num_rows

    def play(self) -> Done:
        try:
            self._writer.open()
        except (HarnessError, OSError) as error:
            raise PointLost(words_of(error)) from error
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
        self._writer.write_stages(self._stages)
        self._merge.begin(stage)
        more = {"stage": stage["index"], "is_first": self._now == 0}
        self._c.say_time("go", "start_ns", start_ns, more)

    def _end_stage(self) -> None:
        """Measured requests of all shards are over: the load may stop."""
        stage, now_ns = self._stages[self._now], monotonic_ns()
        stage["load_end_ns"] = now_ns
        if stage["t1_ns"] is None:
            stage["t1_ns"] = max(self._measured.values(), default=now_ns) or now_ns
        self._writer.write_stages(self._stages)
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
            self._writer.put_requests(key, data if is_new else None)
        elif name == "pulse":
            self._merge.take(data["shard"], data)
            self._writer.put_client(data["row"])
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
            self._note_refusal(pulse)

    def _note_refusal(self, pulse: Pulse) -> None:
        """A warm-up without one good answer ends the point. But an outage is what uptime is
        measured for; a refusal of what we ask (4xx) is none."""
        has_warmup, error = self._stages[0]["warmup_ns"] > 0, self._merge.last_error
        is_outage = self._plan.keeps_asking and not error.startswith("http_4xx")
        num_ended = pulse.failed + pulse.throttled
        if has_warmup and not is_outage and not pulse.ok and num_ended >= MIN_REFUSALS:
            self._is_refused = self._status == "complete"
            why = f"the target refused every request of the warm-up: {error}"
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
            self._writer.write_stages(self._stages)
            self._now = len(self._stages)
        self._merge.phase = "drain"
        deadline_ns = now_ns + (0 if is_at_once else self._drain_ns)
        self._c.say_time("drain", "deadline_ns", deadline_ns, {})

    def _settle(self) -> None:
        """All that came is on disk; a shard whose rows are missing makes the point partial, and so
        does a clock that was moved."""
        self._writer.settle()
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
        self._writer.close()

    def _acknowledge(self, key: tuple[int, int]) -> None:
        shard, seq = key
        self._c.say("acknowledge", {"seq": seq, "round": self._c.round}, shard)

    def _stop_for_disk(self, reason: str) -> None:
        self._c.tell_self("full", {"reason": reason})

    def _write_workers(self) -> None:
        try:
            self._writer.write_workers(self._members)
        except (HarnessError, OSError) as error:
            raise PointLost(words_of(error)) from error


def _moved(member: Member) -> str:
    assert member.clock is not None
    return (
        f"the clock of {member.name} moved by {member.clock.step_ns / 1e6:.1f} ms during the point:"
        " the host slept, or its clock was set"
    )
