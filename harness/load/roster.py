"""Who may take part: workers prove the shared secret, tell their host and code, and are counted.

Both sides prove it: a worker that obeyed any master would send its host's API keys wherever that
master likes. Every later message of a worker carries a word that only those two can know. Who comes
while a point is measured is parked; the next point may take it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool as GreenletPool

from harness.errors import HarnessError, MeasurementError, UsageError
from harness.load.failure import error_to_json
from harness.load.hostclock import (
    MAX_UNCERTAINTY_NS,
    NUM_EXCHANGES,
    Exchange,
    HostClock,
    Reading,
)
from harness.load.hostfacts import HostFacts, differences, read_host_facts
from harness.load.messages import TO_ROSTER, TOKEN_ENV, is_same_proof, proof, wire_name

LATE_NS = 4_000_000_000  # a heartbeat each second, lost when it is three late
WATCH_S = 0.5
STALL_NS = 1_500_000_000  # our own lateness, which is no worker's fault
PONG_S = 2.0
MIN_EXCHANGES = 8


@dataclass(eq=False, slots=True)
class Member:
    """A worker that proved itself. session: marks its messages as its own."""

    client_id: str
    facts: HostFacts
    is_remote: bool
    session: str
    shard: int = -1
    clock: HostClock | None = None
    last_seen_ns: int = field(default_factory=monotonic_ns)
    has_left: bool = False
    pong: AsyncResult | None = None

    @property
    def name(self) -> str:
        where = f" on {self.facts.host}" if self.is_remote else ""
        return f"load worker {self.shard}{where}"


@dataclass(frozen=True, slots=True)
class _Applicant:
    facts: HostFacts
    is_remote: bool
    nonce: str
    nonce_of_worker: str


class Roster:
    """runner: locust's.  say: tells the user a line.  dead: pids of local workers that ended."""

    def __init__(
        self, runner: Any, say: Callable[[str], None], dead: Callable[[], dict[int, int]]
    ) -> None:
        self._runner, self._say, self._dead = runner, say, dead
        self._here = read_host_facts()
        self._applicants: dict[str, _Applicant] = {}
        self._members: dict[str, Member] = {}
        self._by_session: dict[str, Member] = {}
        self.refusals: list[str] = []
        self.is_measuring = False
        for name in TO_ROSTER:
            runner.register_message(wire_name(name), getattr(self, f"_on_{name}"))
        runner.register_message(wire_name("pong"), self._on_pong)
        runner.environment.events.heartbeat_sent.add_listener(self._on_heartbeat)
        gevent.spawn(self._watch)

    # -- who is there --------------------------------------------------------------------------

    def sender(self, data: dict[str, Any]) -> Member | None:
        """Whose message this is; None for a stranger's."""
        member = self._by_session.get(str(data.get("session")))
        if member is not None:
            member.last_seen_ns = monotonic_ns()
        return member

    def present(self, *, is_remote: bool) -> list[Member]:
        """Members that answer, in the order in which they came."""
        kind = [m for m in self._members.values() if m.is_remote == is_remote]
        return [m for m in kind if not self.is_lost(m)]

    def is_lost(self, member: Member) -> bool:
        if not member.is_remote:
            return member.facts.pid in self._dead()
        return member.has_left or monotonic_ns() - member.last_seen_ns > LATE_NS

    def fate(self, member: Member) -> str:
        """How a member that is lost was lost."""
        code = self._dead().get(member.facts.pid) if not member.is_remote else None
        if code is not None:
            return f"{member.name} (exit {code})"
        return f"{member.name} ({'it left' if member.has_left else 'its heartbeat stopped'})"

    def strike(self, member: Member) -> None:
        """Forget a member; its later messages are a stranger's."""
        self._members.pop(member.client_id, None)
        self._by_session.pop(member.session, None)

    def strike_lost(self) -> None:
        for member in [m for m in self._members.values() if self.is_lost(m)]:
            self.strike(member)

    def refuse(self, client_id: str, host: str, error: HarnessError) -> None:
        """Tell both sides why, and forget it."""
        member = self._members.get(client_id)
        if member is not None:
            self.strike(member)
        why = f": {error.why}" if error.why else ""
        self.refusals.append(f"{host}: {error.what}{why}")
        self._say(f"refused a load worker on {host}: {error.what}{why}")
        self._send("refuse", error_to_json(error), client_id)

    def dismiss(self) -> None:
        """The run is over: remote workers may go."""
        for member in self.present(is_remote=True):
            self._send("bye", {}, member.client_id)

    # -- the handshake; these run in locust's receiving greenlet and never wait -------------------

    def _on_hello(self, *, environment: Any, msg: Any) -> None:
        data = msg.data
        client_id = str(data["client_id"])
        if client_id in self._members or client_id in self._applicants:
            self._say(f"ignored a load worker that says hello twice: {client_id}")
            return
        try:
            facts = HostFacts.from_json(data["facts"])
        except (KeyError, TypeError):
            self._say("ignored a load worker of an older version")
            return
        nonce, theirs = secrets.token_hex(16), str(data["nonce"])
        self._applicants[client_id] = _Applicant(facts, bool(data["is_remote"]), nonce, theirs)
        ours = proof("master", client_id, theirs, nonce)
        self._send("challenge", {"nonce": nonce, "proof": ours}, client_id)

    def _on_answer(self, *, environment: Any, msg: Any) -> None:
        client_id = str(msg.data["client_id"])
        applicant = self._applicants.pop(client_id, None)
        if applicant is None:
            return
        words = (client_id, applicant.nonce_of_worker, applicant.nonce)
        if not is_same_proof(msg.data["proof"], proof("worker", *words)):
            self.refuse(client_id, applicant.facts.host, wrong_token())
            return
        # local workers are of this very checkout, even where somebody is editing it
        other = differences(self._here, applicant.facts) if applicant.is_remote else ""
        if other:
            error = UsageError(
                "a load worker runs other code than the master", why=other,
                do="install the same version of the harness on all hosts",
            )  # fmt: skip
            self.refuse(client_id, applicant.facts.host, error)
            return
        session = proof("session", *words)
        member = Member(client_id, applicant.facts, applicant.is_remote, session)
        self._members[client_id] = self._by_session[session] = member
        self._send("welcome", {"is_parked": self.is_measuring}, client_id)
        if member.is_remote:
            parked = ", parked until the next point" if self.is_measuring else ""
            self._say(f"a load worker on {member.facts.host} joined{parked}")

    def _on_leave(self, *, environment: Any, msg: Any) -> None:
        if (member := self.sender(msg.data)) is not None:
            member.has_left = True

    # -- clocks ----------------------------------------------------------------------------------

    def compare_clocks(self, members: list[Member], *, is_end: bool = False) -> list[Member]:
        """Set start or end of each member's clock; those that could not be compared or are too
        uncertain. Blocks its greenlet for some 32 round trips."""
        if not hasattr(self._runner, "server"):  # one process: one clock
            for member in members:
                member.clock = HostClock(Reading(0, 0, monotonic_ns()), is_same_boot=True)
            return []
        pool = GreenletPool(4)  # few at a time: they share this process, and a wait is uncertainty
        readings = pool.map(self._read_clock, members)
        bad = []
        for member, reading in zip(members, readings, strict=True):
            if reading is None:
                bad.append(member)
            elif is_end and member.clock is not None:
                member.clock.end = None if member.clock.is_shared else reading
            else:
                is_same = member.facts.boot_id == self._here.boot_id
                member.clock = HostClock(reading, is_same_boot=is_same)
                if not member.clock.is_shared and reading.uncertainty_ns > MAX_UNCERTAINTY_NS:
                    bad.append(member)
        return bad

    def _read_clock(self, member: Member) -> Reading | None:
        exchanges = []
        for number in range(NUM_EXCHANGES):
            if self.is_lost(member):
                return None
            member.pong = AsyncResult()
            sent_ns = monotonic_ns()
            self._send("ping", {"number": number}, member.client_id)
            with gevent.Timeout(PONG_S, False):
                got, there_ns, left_ns, here_ns = member.pong.get()
                if got == number:
                    exchanges.append(Exchange(sent_ns, there_ns, left_ns, here_ns))
        return Reading.best_of(exchanges) if len(exchanges) >= MIN_EXCHANGES else None

    def _on_pong(self, *, environment: Any, msg: Any) -> None:
        here_ns = monotonic_ns()  # before anything else
        member = self.sender(msg.data)
        if member is not None and member.pong is not None:
            data = msg.data
            member.pong.set((data["number"], data["received_ns"], data["sent_ns"], here_ns))

    # -- liveness --------------------------------------------------------------------------------

    def _on_heartbeat(self, client_id: str, **_: Any) -> None:
        if client_id in self._members:
            self._members[client_id].last_seen_ns = monotonic_ns()

    def _watch(self) -> None:
        """Where this process itself was held up, heartbeats wait in its queue: forgive them."""
        before_ns = monotonic_ns()
        while True:
            gevent.sleep(WATCH_S)
            now_ns = monotonic_ns()
            if now_ns - before_ns > STALL_NS:
                for member in self._members.values():
                    member.last_seen_ns += now_ns - before_ns
            before_ns = now_ns

    def _send(self, name: str, data: dict[str, Any], client_id: str) -> None:
        self._runner.send_message(wire_name(name), data, client_id)


def wrong_token() -> UsageError:
    return UsageError(
        f"a load worker and the master do not share {TOKEN_ENV}",
        do=f"export the same {TOKEN_ENV} on all hosts",
    )


def too_uncertain(member: Member) -> MeasurementError:
    """Why a member whose clock could not be compared well enough cannot take part."""
    clock = member.clock
    why = (
        f"known within {clock.start.uncertainty_ns / 1e6:.1f} ms, limit"
        f" {MAX_UNCERTAINTY_NS / 1e6:.0f} ms" if clock is not None else "it does not answer"
    )  # fmt: skip
    return MeasurementError(
        "a load worker's clock is too uncertain", where=member.facts.host, why=why,
        do="use a host with a quieter or shorter way to the master",
    )  # fmt: skip
