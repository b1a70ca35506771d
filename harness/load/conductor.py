"""The master's half between points: gathers workers, shares out shards, routes their messages.

Handlers of messages only enqueue. What happens during a point is point_run.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from gevent.queue import Empty, Queue

from harness.errors import HarnessError, UsageError
from harness.load.messages import TO_MASTER, wire_name
from harness.load.parcel import Parcel
from harness.load.plan import Done, LoadEvent, PointPlan
from harness.load.point_run import PointLost, PointRun
from harness.load.roster import Member, Roster, too_uncertain

LOCAL_JOIN_S = 120.0  # local workers: importing takes long on a busy machine
REMOTE_JOIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Crew:
    """How many workers take part.  remote_join_s: how long those of other hosts are waited for."""

    num_local: int
    num_remote: int = 0
    remote_join_s: float = REMOTE_JOIN_S
    invitation: str = ""  # the command to type on other hosts

    @property
    def size(self) -> int:
        return self.num_local + self.num_remote


class Conductor:
    """emit: shows an event to the process that asked."""

    def __init__(
        self, runner: Any, roster: Roster, crew: Crew, emit: Callable[[LoadEvent], None],
        replace_dead: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.runner, self.roster, self._crew = runner, roster, crew
        self.emit, self._replace_dead = emit, replace_dead
        self.members: list[Member] = []  # of this point; the index is the shard
        self.stop_requests = 0
        self.round = 0
        self._inbox: Queue = Queue()
        for name in TO_MASTER:
            runner.register_message(wire_name(name), partial(self._enqueue, name))

    def _enqueue(self, name: str, *, environment: Any, msg: Any) -> None:
        sender = self.roster.sender(msg.data)
        if sender is not None and sender in self.members:
            self._inbox.put((name, msg.data | {"shard": sender.shard}))

    def tell_self(self, name: str, data: dict[str, Any]) -> None:
        """A message among our own greenlets."""
        self._inbox.put((name, data | {"shard": -1}))

    def say(self, name: str, data: dict[str, Any], shard: int | None = None) -> None:
        """A message to one member or to all."""
        for member in self.members if shard is None else [self.members[shard]]:
            self.runner.send_message(wire_name(name), data, member.client_id)

    def say_time(self, name: str, key: str, at_ns: int, data: dict[str, Any]) -> None:
        """A message to all that names a time, on each one's own axis."""
        for member in self.members:
            assert member.clock is not None
            there = data | {key: member.clock.to_worker(at_ns)}
            self.runner.send_message(wire_name(name), there, member.client_id)

    def request_stop(self) -> None:
        """First call: drain. Second: cut at once."""
        self.stop_requests += 1
        self.tell_self("stop", {})

    def request_abort(self) -> None:
        self.stop_requests = 2
        self.tell_self("stop", {})

    def lost(self) -> list[Member]:
        """Members of this point that are gone."""
        return [member for member in self.members if self.roster.is_lost(member)]

    def next_message(self, timeout_s: float) -> tuple[str, dict[str, Any]]:
        try:
            name, data = self._inbox.get(timeout=timeout_s)
        except Empty:
            return "nothing", {}
        # what an abandoned point still says concerns nobody
        return (name, data) if data.get("round", self.round) == self.round else ("nothing", {})

    # -- before a point --------------------------------------------------------------------------

    def gather(self) -> None:
        """Find the crew, compare clocks, give out shards.

        Raises PointLost where the user stops it, HarnessError where the crew does not come.
        """
        self.roster.strike_lost()
        self._replace_dead()
        begin_s = monotonic()
        while True:
            locals_ = self.roster.present(is_remote=False)[: self._crew.num_local]
            remotes = self.roster.present(is_remote=True)[: self._crew.num_remote]
            if len(locals_) + len(remotes) == self._crew.size:
                uncertain = self.roster.compare_clocks([*locals_, *remotes])
                if not uncertain:
                    break
                for member in uncertain:
                    self.roster.refuse(member.client_id, member.facts.host, too_uncertain(member))
            self._check_patience(monotonic() - begin_s, len(locals_), len(remotes))
            if self.next_message(0.1)[0] == "stop":
                raise PointLost("stopped before the first request", "interrupted")
        self.members = [*locals_, *remotes]
        for shard, member in enumerate(self.members):
            member.shard = shard

    def _check_patience(self, waited_s: float, num_local: int, num_remote: int) -> None:
        crew, refusals = self._crew, "; ".join(dict.fromkeys(self.roster.refusals))
        if num_local < crew.num_local:
            if waited_s > LOCAL_JOIN_S or len(self.roster.refusals) >= crew.num_local:
                raise UsageError("the load workers did not come up", why=refusals)
        elif waited_s > crew.remote_join_s:
            raise UsageError(
                f"{num_remote} of {crew.num_remote} remote load workers joined within"
                f" {crew.remote_join_s:.0f} s",
                why=refusals or "the others never said hello",
                do=f"type on the other hosts: {crew.invitation}",
            )

    # -- a point ---------------------------------------------------------------------------------

    def run_point(self, plan: PointPlan) -> Done:
        """Drive one point to its end. Raises HarnessError where it could not begin."""
        self.stop_requests = 0
        self.round += 1
        self.members = []
        run: PointRun | None = None
        try:
            self.gather()
            self.roster.is_measuring = True
            needs_parcel = any(member.is_remote for member in self.members)
            run = PointRun(self, plan, Parcel(plan) if needs_parcel else None)
            return run.play()
        except PointLost as loss:
            return self._abandoned(run, loss.status, str(loss))
        except HarnessError:
            self._abandoned(run, "partial", "")
            raise
        except OSError as error:  # the disk: stages.json could not be written
            reason = f"{error.strerror}: {error.filename or plan.point_dir}"
            return self._abandoned(run, "partial", reason)
        finally:
            self.roster.is_measuring = False
            if run is not None:
                run.close()
                self.runner.stop()

    def _abandoned(self, run: PointRun | None, status: str, reason: str) -> Done:
        if run is None:
            return Done(status, 0, reason)
        self.say("drain", {"deadline_ns": 0})
        return Done(status, run.num_rows, reason)
