"""The twin's oracle: every step one by one, in exact fractions, with lists. Slow and plain.

It shares no code with the twin and follows the engine's scheduler: memory first, then admission,
then the step's time, then what each sequence gained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


@dataclass
class Sequence:
    arrival: Fraction
    n_in: int
    n_out: int
    generated: Fraction = Fraction(0)  # tokens emitted; a fraction while between two
    computed: Fraction = Fraction(0)  # tokens in the KV cache
    writes: Fraction = Fraction(0)  # tokens that the coming step adds
    tokens: int = 0  # tokens that it computes
    is_decoding: bool = False
    scheduled: Fraction | None = None
    first: Fraction | None = None
    last: Fraction | None = None
    preemptions: int = 0
    ids: list[int] = field(default_factory=list)  # of its whole blocks
    shared: list[int] = field(default_factory=list)  # places in ids of the blocks that it holds
    offered: int = 0  # blocks it has found or computed
    cached: int | None = None
    replica: int = -1

    @property
    def to_compute(self) -> Fraction:
        """Before it decodes: the prompt, and what a preemption left of the answer."""
        return self.n_in + self.generated


@dataclass
class Result:
    sequences: list[Sequence]
    steps: int = 0
    busy: Fraction = Fraction(0)
    running: Fraction = Fraction(0)
    prefill: int = 0
    peak: Fraction = Fraction(0)
    blocked: dict[str, Fraction] = field(
        default_factory=lambda: dict.fromkeys(("batch", "kv", "budget"), Fraction(0))
    )
    closest: Fraction = Fraction(10**9)  # least distance of an arrival from a boundary near it


class Stepper:
    """One replica."""

    def __init__(self, model: Any, d: Any, sequences: list[Sequence], size: int = 0) -> None:
        self.model, self.d, self.size = model, d, size if d.prefix_cache else 0
        self.tau = Fraction(round(d.tau * 2**20), 2**20)
        self.half_block = Fraction(d.block_tok, 2)
        self.reserves = d.memory == "reserve"
        self.line: list[Sequence] = []
        self.arrivals = sorted({s.arrival for s in sequences})
        self.running: list[Sequence] = []
        self.num_new = 0  # of the coming step: admitted for the first time
        self.rest = 0  # tokens of the coming step that nobody took
        self.cold: set[bool] = set()  # kinds not run since it had nothing to do: reads prompts
        self.after = 0  # prompt tokens read since the last step that read none
        self.now = Fraction(-(10**6))
        self.result = Result(sequences)
        self.holders: dict[int, int] = {}  # of every cached block
        self.idle: list[int] = []  # cached, held by nobody; least recently used first
        self.pending: tuple[str, Fraction] | None = None

    @property
    def load(self) -> int:
        return len(self.line) + len(self.running)

    def held(self, s: Sequence) -> Fraction:
        whole = s.n_in + s.n_out if self.reserves else s.computed
        return self.half_block + whole - len(s.shared) * self.size

    def used(self) -> Fraction:
        """KV tokens held, and by the coming step written."""
        writes = 0 if self.reserves else sum(s.writes for s in self.running)
        shared = sum(n > 0 for n in self.holders.values()) * self.size
        return sum(map(self.held, self.running), Fraction(0)) + writes + shared

    def cost(self) -> Fraction:
        """Prompt tokens to compute, and tokens in the cache of the running."""
        present = [s for s in [*self.line, *self.running] if not s.is_decoding]
        shared = sum(n > 0 for n in self.holders.values()) * self.size
        held = sum(map(self.held, self.running), Fraction(0)) + shared
        return sum((s.to_compute - s.computed for s in present), Fraction(0)) + held

    def trim(self) -> None:
        while self.idle and self.used() + len(self.idle) * self.size > self.d.kv_tokens:
            del self.holders[self.idle.pop(0)]

    def match(self, s: Sequence) -> int:
        """Leading blocks of s that are cached, one token at least left over."""
        n = 0
        if self.size:
            most = min(len(s.ids), int(s.to_compute - 1) // self.size)
            while n < most and s.ids[n] in self.holders:
                n += 1
        return n

    def publish(self, s: Sequence, tokens: int) -> None:
        if not self.size:
            return
        for at in range(s.offered, min(tokens // self.size, len(s.ids))):
            if s.ids[at] not in self.holders:
                self.holders[s.ids[at]] = 1
                s.shared.append(at)
            s.offered = at + 1

    def let_go(self, s: Sequence) -> None:
        for at in sorted(s.shared, reverse=True):
            self.holders[s.ids[at]] -= 1
            if self.holders[s.ids[at]] == 0:
                self.idle.append(s.ids[at])
        s.shared, s.offered = [], 0

    def share_out(self) -> int:
        """Decoders first, then prompts in order; what is left of the step's tokens."""
        rest = self.d.max_batched_tokens
        for s in self.running:
            if s.is_decoding:
                s.writes = self.tau if self.d.drafts == "first" else Fraction(1)
                s.tokens = 1 + self.d.gamma if self.d.drafts == "first" else 1
                rest -= s.tokens
        for s in self.running:
            if not s.is_decoding:
                s.writes = min(s.to_compute - s.computed, Fraction(rest))
                s.tokens = int(s.writes)
                rest -= s.tokens
        return rest

    def grant_drafts(self) -> None:
        """After all else: where tokens are left for all, and no memory that is kept free."""
        decoding = [s for s in self.running if s.is_decoding]
        more = len(decoding) * (self.tau - 1)
        kept = int(self.d.kv_tokens * 0.01)
        fits = self.reserves or not more or self.used() + more + kept <= self.d.kv_tokens
        if self.d.drafts == "last" and self.rest >= len(decoding) * self.d.gamma and fits:
            for s in decoding:
                s.writes, s.tokens = self.tau, 1 + self.d.gamma

    def make_room(self) -> bool:
        """Whether the newest had to give way."""
        has_preempted = False
        while self.share_out() >= 0 and len(self.running) > 1 and self.used() > self.d.kv_tokens:
            self.trim()
            s = self.running.pop()
            s.preemptions += 1
            s.generated = Fraction(math.floor(s.generated))
            if s.is_decoding:
                self.publish(s, int(s.n_in + s.generated - 1))
            self.let_go(s)
            s.computed, s.is_decoding = Fraction(0), False
            self.line.insert(0, s)
            has_preempted = True
        self.trim()
        return has_preempted

    def fits(self, s: Sequence) -> bool:
        free = int(self.d.kv_tokens * 0.01) if self.running and not self.reserves else 0
        whole = s.n_in + s.n_out if self.reserves else s.to_compute
        in_use = sum(self.holders[block] > 0 for block in s.ids[: self.match(s)]) * self.size
        return self.used() + whole - in_use + self.half_block + free <= self.d.kv_tokens

    def admit(self, has_preempted: bool) -> str:
        """Why the first in line, there already or not, is kept out; empty if it is not."""
        self.num_new = 0
        while True:
            self.rest = self.share_out()
            self.trim()
            if has_preempted:
                return "kv"
            if self.rest == 0:
                return "budget"
            if len(self.running) >= self.d.max_batch:
                return "batch"
            if not self.line:
                return ""
            if not self.fits(self.line[0]):
                return "kv"
            if self.line[0].arrival > self.now:
                return ""
            s = self.line.pop(0)
            self.num_new += s.scheduled is None
            s.scheduled = self.now if s.scheduled is None else s.scheduled
            s.shared = list(range(self.match(s)))
            s.offered, s.computed = len(s.shared), Fraction(len(s.shared) * self.size)
            s.cached = int(s.computed) if s.cached is None else s.cached
            for at in s.shared:
                self.holders[s.ids[at]] += 1
                if s.ids[at] in self.idle:
                    self.idle.remove(s.ids[at])
            self.running.append(s)

    def step_s(self) -> Fraction:
        m = self.model
        a0, b, a1, c, e, d = (Fraction(x) for x in (m.a0, m.b, m.a1, m.c, m.e, m.d))
        decoding = [s for s in self.running if s.is_decoding]
        prompts = [s for s in self.running if not s.is_decoding]
        n = sum(s.tokens for s in self.running)
        context = sum(s.computed for s in decoding)
        area = sum(s.writes * (s.computed + s.writes / 2) for s in prompts)
        own = d * len(decoding) + Fraction(m.r) * self.num_new
        after = 0 if prompts else min(self.after, self.d.max_batched_tokens) * Fraction(m.g)
        after += Fraction(m.h) * (bool(prompts) in self.cold)
        return max(a0, b + a1 * n) + own + c * context + e * area + after

    def advance(self, until: float) -> None:
        """Every step that ends by then; a boundary at that very instant is left for later."""
        while self.line or self.running:
            if self.pending is None:
                if not self.running:
                    if self.line[0].arrival - self.now >= Fraction(self.model.idle_s):
                        self.cold = {True, False}
                    self.now = max(self.now, self.line[0].arrival)
                if self.now >= until:
                    return
                reason = self.admit(self.make_room())
                self.grant_drafts()
                self.pending = reason, self.step_s()
            if self.now + self.pending[1] > until:
                return
            self.book(*self.pending)
            self.pending = None

    def book(self, reason: str, span: Fraction) -> None:
        before, result = self.now, self.result
        self.now += span
        if reason and self.line and self.line[0].arrival <= before:
            result.blocked[reason] += span
        result.steps += 1
        result.busy += span
        result.running += span * len(self.running)
        prompts = [s for s in self.running if not s.is_decoding]
        result.prefill += int(sum(s.writes for s in prompts))
        self.cold -= {bool(prompts)}
        self.after = self.after + int(sum(s.writes for s in prompts)) if prompts else 0
        for s in self.running:
            s.computed += s.writes
            s.generated += s.writes if s.is_decoding else 0
            s.writes = Fraction(0)
        result.peak = max(result.peak, self.used())
        self.trim()
        for s in prompts:
            self.publish(s, int(s.computed))
            if s.computed == s.to_compute:
                s.is_decoding = True
                s.generated += 1
                s.first = self.now if s.first is None else s.first
        for s in [s for s in self.running if s.generated >= s.n_out]:
            s.last = self.now
            self.publish(s, s.n_in + s.n_out - 1)
            self.running.remove(s)
            self.let_go(s)
        gaps = [abs(at - self.now) for at in self.arrivals if at != self.now]
        result.closest = min([result.closest, *gaps])


def choose(
    router: str, replicas: list[Stepper], s: Sequence, turn: int, key: int, draw: Any
) -> int:
    n, loads = len(replicas), [replica.load for replica in replicas]
    if router == "round_robin":
        return turn % n
    if router == "sticky":
        return key % n
    if router == "two_choices":
        one = int(draw[0] * n)
        others = [r for r in range(n) if r != one]
        other = others[int(draw[1] * (n - 1))] if others else one
        return other if loads[other] < loads[one] else one
    costs = loads
    if router == "prefix_aware":
        costs = [r.cost() - r.match(s) * r.size for r in replicas]
    return costs.index(min(costs))


def run(
    model: Any, d: Any, rows: list[tuple[float, int, int]], *, ids: Any = None, size: int = 0,
    replicas: int = 1, router: str = "round_robin", session: Any = None, draws: Any = None,
) -> list[Result]:  # fmt: skip
    """A result a replica. rows: arrival in seconds, prompt and output tokens, by arrival."""
    everyone = [Sequence(Fraction(at), x, y) for at, x, y in rows]
    for s, own in zip(everyone, ids or [[] for _ in rows], strict=True):
        s.ids = list(own)
    fleet = [Stepper(model, d, everyone, size) for _ in range(replicas)]
    turn = 0
    for i, s in enumerate(everyone):
        if s.n_in + s.n_out + Fraction(d.block_tok, 2) > d.kv_tokens:
            continue
        if router in ("least_loaded", "two_choices", "prefix_aware"):
            for stepper in fleet:
                stepper.advance(float(s.arrival))
        key, draw = session[i] if session else 0, draws[i] if draws is not None else None
        s.replica = choose(router, fleet, s, turn, key, draw)
        turn += 1
        fleet[s.replica].line.append(s)
    for stepper in fleet:
        stepper.advance(math.inf)
    return [stepper.result for stepper in fleet]
