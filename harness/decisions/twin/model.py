"""What the twin is told of a server: how long a step takes, and what a step may hold.

The step time is a hinge, not a line: below some number of tokens the weights' traffic decides,
above it the arithmetic does. Neither class measures anything; `step_fit` fits the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

Memory = Literal["watermark", "reserve"]
Drafts = Literal["last", "first"]

# KV and progress are counted in integer parts of a token, so that a fractional mean accepted
# length never decides by a rounding error whether a sequence fits or has ended.
TOKEN_UNITS = 1 << 20
FREE_RATIO = 0.01  # `watermark` admission leaves this share of the cache to those already running


@dataclass(frozen=True, slots=True)
class StepModel:
    """Seconds of a step: max(a0, b + a1 n) + d D + c K + e sum p (x + p/2) + r N + g S + h I.

    n: tokens in the step.  D: its decoding sequences.  K: their context, tokens.  p: chunk of a
    prompt after x earlier tokens.  a0 > 0: floor, s.  b: s, may be negative.  a1, c: s/token, >= 0.
    d: s/sequence, >= 0: what a sequence costs beside its token (sampling, its row of the block
    table), which an engine on a CPU shows and a prompt does not pay.  e: s/token^2, >= 0.  N:
    requests admitted for the first time.  r: s/request, >= 0: what a request takes of the server
    beside its tokens (read, worded, closed), where that keeps steps waiting.  S: of a step that
    reads no prompt, the prompt tokens read since the last such step, at most a step's tokens; 0 of
    others.  g: s/token, >= 0: how much longer it takes while caches hold what prompts left there.
    I: 1 for the first step that reads prompts, and for the first that reads none, after the server
    had nothing to do for idle_s; else 0.  h: s, >= 0: what either takes longer, all being cold.
    """

    a0: float
    b: float
    a1: float
    c: float = 0.0
    e: float = 0.0
    d: float = 0.0
    r: float = 0.0
    g: float = 0.0
    h: float = 0.0
    idle_s: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            if not math.isfinite(getattr(self, field.name)):
                raise ValueError(f"step model: {field.name} is not a finite number")
        if self.a0 <= 0:
            raise ValueError(f"step model: a0 is {self.a0}; a step takes time")
        for name in ("a1", "c", "e", "d", "r", "g", "h", "idle_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"step model: {name} is {getattr(self, name)}, below 0")

    def step_s(
        self, num_tok: float, context_tok: float = 0.0, chunk_area: float = 0.0,
        num_decoding: float = 0.0, num_new: float = 0.0, after_tok: float = 0.0,
        is_cold: bool = False,
    ) -> float:  # fmt: skip
        """Seconds of one step; chunk_area: sum over its chunks of p (x + p/2).  after_tok: S.
        is_cold: I."""
        linear_s = max(self.a0, self.b + self.a1 * num_tok)
        own_s = self.d * num_decoding + self.r * num_new + self.g * after_tok
        own_s += self.h * is_cold
        return linear_s + own_s + self.c * context_tok + self.e * chunk_area


@dataclass(frozen=True, slots=True)
class Deployment:
    """One replica's limits.

    max_batch: sequences that run at once.  max_batched_tokens: tokens a step, drafts included.
    kv_tokens: tokens the KV cache holds.  memory: `watermark` admits a prompt that fits and leaves
    1 % free, preempts the newest when growth overflows, and recomputes; `reserve` admits input +
    output and never preempts.  block_tok: KV block; half of one is lost to each running sequence,
    none where it is 0.
    gamma: drafts a decoding sequence tries each step.  tau: mean accepted length, the bonus token
    included (1..gamma + 1), kept to 2^-20 token.  drafts: `last` grants them from the tokens that
    prompts leave and from memory that admission need not keep free, to all sequences of a step or
    to none, which then gain one token (the reference engine); `first` always, before prompts
    (vLLM).  prefix_cache: blocks with equal ids are computed once while they last: idle ones share
    what active sequences leave, the least recently used go first.
    """

    max_batch: int
    max_batched_tokens: int
    kv_tokens: int
    memory: Memory = "watermark"
    block_tok: int = 16
    gamma: int = 0
    tau: float = 1.0
    drafts: Drafts = "last"
    prefix_cache: bool = False

    def __post_init__(self) -> None:
        if self.memory not in ("watermark", "reserve"):
            raise ValueError(f"deployment: memory is {self.memory!r}, not watermark or reserve")
        if self.drafts not in ("last", "first"):
            raise ValueError(f"deployment: drafts is {self.drafts!r}, not last or first")
        if self.block_tok < 0:
            raise ValueError(f"deployment: block_tok is {self.block_tok}, below 0")
        for name in ("max_batch", "max_batched_tokens", "kv_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"deployment: {name} is {getattr(self, name)}, below 1")
        if self.gamma < 0 or not 1 <= self.tau <= self.gamma + 1:
            raise ValueError(
                f"deployment: tau {self.tau} with {self.gamma} drafts; "
                "a step yields 1 to gamma + 1 tokens"
            )
        least_tok = 1 + self.gamma * (self.drafts == "first")
        if self.max_batched_tokens < self.max_batch * least_tok:
            raise ValueError(
                f"deployment: {self.max_batched_tokens} tokens a step cannot serve "
                f"{self.max_batch} sequences of {least_tok}; "
                "raise max_batched_tokens or lower max_batch"
            )

    @property
    def tau_units(self) -> int:
        return round(self.tau * TOKEN_UNITS)

    @property
    def kv_units(self) -> int:
        return self.kv_tokens * TOKEN_UNITS

    @property
    def half_block_units(self) -> int:
        return self.block_tok * TOKEN_UNITS // 2

    @property
    def free_units(self) -> int:
        return int(self.kv_tokens * FREE_RATIO) * TOKEN_UNITS
