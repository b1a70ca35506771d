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
    writes: Fraction = Fraction(0)  # tokens of the coming step
    is_decoding: bool = False
    scheduled: Fraction | None = None
    first: Fraction | None = None
    last: Fraction | None = None
    preemptions: int = 0

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
    def __init__(self, model: Any, d: Any, rows: list[tuple[float, int, int]]) -> None:
        self.model, self.d = model, d
        self.tau = Fraction(round(d.tau * 2**20), 2**20)
        self.half_block = Fraction(d.block_tok, 2)
        self.reserves = d.memory == "reserve"
        sequences = [Sequence(Fraction(at), x, y) for at, x, y in rows]
        self.line = [s for s in sequences if s.n_in + s.n_out + self.half_block <= d.kv_tokens]
        self.arrivals = sorted({s.arrival for s in self.line})
        self.running: list[Sequence] = []
        self.now = Fraction(-(10**6))
        self.result = Result(sequences)

    def held(self, s: Sequence) -> Fraction:
        return self.half_block + (s.n_in + s.n_out if self.reserves else s.computed)

    def used(self) -> Fraction:
        """KV tokens held, and by the coming step written."""
        writes = 0 if self.reserves else sum(s.writes for s in self.running)
        return sum(map(self.held, self.running), Fraction(0)) + writes

    def share_out(self) -> int:
        """Decoders first, then prompts in order; what is left of the step's tokens."""
        rest = self.d.max_batched_tokens
        for s in self.running:
            if s.is_decoding:
                s.writes = self.tau
                rest -= 1 + self.d.gamma
        for s in self.running:
            if not s.is_decoding:
                s.writes = min(s.to_compute - s.computed, Fraction(rest))
                rest -= int(s.writes)
        return rest

    def make_room(self) -> bool:
        """Whether the newest had to give way."""
        has_preempted = False
        while self.share_out() >= 0 and len(self.running) > 1 and self.used() > self.d.kv_tokens:
            s = self.running.pop()
            s.preemptions += 1
            s.generated = Fraction(math.floor(s.generated))
            s.computed, s.is_decoding = Fraction(0), False
            self.line.insert(0, s)
            has_preempted = True
        return has_preempted

    def fits(self, s: Sequence) -> bool:
        if self.reserves:
            return self.used() + s.n_in + s.n_out + self.half_block <= self.d.kv_tokens
        free = int(self.d.kv_tokens * 0.01) if self.running else 0
        return self.used() + s.to_compute + self.half_block + free <= self.d.kv_tokens

    def admit(self, has_preempted: bool) -> str:
        """Why the first in line, there already or not, is kept out; empty if it is not."""
        while True:
            rest = self.share_out()
            if has_preempted:
                return "kv"
            if rest == 0:
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
            s.scheduled = self.now if s.scheduled is None else s.scheduled
            self.running.append(s)

    def step_s(self) -> Fraction:
        m = self.model
        a0, b, a1, c, e, d = (Fraction(x) for x in (m.a0, m.b, m.a1, m.c, m.e, m.d))
        decoding = [s for s in self.running if s.is_decoding]
        prompts = [s for s in self.running if not s.is_decoding]
        n = len(decoding) * (1 + self.d.gamma) + sum(s.writes for s in prompts)
        context = sum(s.computed for s in decoding)
        area = sum(s.writes * (s.computed + s.writes / 2) for s in prompts)
        return max(a0, b + a1 * n) + d * len(decoding) + c * context + e * area

    def step(self) -> None:
        if not self.running and self.line[0].arrival > self.now:
            self.now = self.line[0].arrival
        reason = self.admit(self.make_room())
        span, before, result = self.step_s(), self.now, self.result
        self.now += span
        if reason and self.line and self.line[0].arrival <= before:
            result.blocked[reason] += span
        result.steps += 1
        result.busy += span
        result.running += span * len(self.running)
        for s in self.running:
            s.computed += s.writes
            if s.is_decoding:
                s.generated += s.writes
            else:
                result.prefill += int(s.writes)
                if s.computed == s.to_compute:
                    s.is_decoding = True
                    s.generated += 1
                    s.first = self.now if s.first is None else s.first
        result.peak = max(result.peak, sum(map(self.held, self.running), Fraction(0)))
        for s in [s for s in self.running if s.generated >= s.n_out]:
            s.last = self.now
            self.running.remove(s)
        gaps = [abs(at - self.now) for at in self.arrivals if at != self.now]
        result.closest = min([result.closest, *gaps])


def run(model: Any, deployment: Any, rows: list[tuple[float, int, int]]) -> Result:
    """rows: arrival in seconds, prompt and output tokens, in order of arrival."""
    stepper = Stepper(model, deployment, rows)
    while stepper.line or stepper.running:
        stepper.step()
    return stepper.result
