"""What the engine is asked and what it answers, as plain data: no torch, no asyncio.

A Request lives in the scheduler from `add` to its last token. RequestOutput is what one step says
about one request; Timings is what a finished request knows of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import accumulate
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .errors import RequestRefused

Pooling = Literal["last", "mean", "cls"]
FloatArray = npt.NDArray[np.floating]
PLACEHOLDER = -1  # stands for a token that the device has drawn and the host does not know yet


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to draw tokens. Ranges are checked by the server; the engine trusts them.

    temperature >= 0 (0 is greedy), 0 < top_p <= 1, top_k 0 = off, 0 <= min_p <= 1.
    seed None: drawn at admission and recorded.  logprobs: None off, else 0..20 alternatives.
    prompt_logprobs: the same of the prompt's own tokens; such a prompt is computed in full.
    """

    max_tokens: int = 16
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    seed: int | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None


NO_TOKENS = SamplingParams(max_tokens=0, seed=0)  # of a request that is over with its prompt


class Adapter(Protocol):
    """A LoRA adapter as the scheduler and the cache know it; two loads are two adapters."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str:
        """A digest of its weights: what it computed is found by no other's requests."""


class Grammar(Protocol):
    """What an answer must match, as the scheduler sees it; one object a request.

    is_ready: compiled, or refused.  error: why the request cannot go on, empty while it can.
    end_ids: tokens that mean "complete" to the grammar; they end the request whatever it asked.
    refusal: set where the grammar itself cannot be served, at any time, by any engine of ours.
    """

    error: str
    end_ids: frozenset[int]
    refusal: RequestRefused | None

    @property
    def is_ready(self) -> bool: ...

    def may_end(self, r: Request) -> bool:
        """Whether the answer is complete without r's last token."""


class RequestStatus(IntEnum):
    WAITING = 0
    RUNNING = 1
    FINISHED = 2
    ENDING = 3  # its last token is being computed: see overlap.py


class FinishReason(StrEnum):
    STOP = "stop"  # end-of-sequence or a stop token
    LENGTH = "length"  # max_tokens or the context window
    ABORT = "abort"  # the client left, or a stop string was found by the server
    ERROR = "error"


@dataclass(slots=True)
class Timings:
    """CLOCK_MONOTONIC ns of a request's life; 0 where it did not get that far.

    queue = scheduled - admitted, prefill = first - scheduled, decode = last - first.
    """

    received_ns: int = 0
    admitted_ns: int = 0
    scheduled_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    preempted_ns: int = 0
    prefill_steps: int = 0
    decode_steps: int = 0
    preemptions: int = 0
    cached_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    compared_s: float = 0.0  # steps of decoding, and what their tokens would have taken without
    without_drafts_s: float = 0.0  # drafts: see spec_gain.py
    accepted_lengths: list[int] = field(default_factory=list)  # [n]: n drafts accepted, so often

    def book_drafts(self, num_drafts: int, num_accepted: int) -> None:
        """A verification of num_drafts > 0 drafts."""
        self.drafted_tokens += num_drafts
        self.accepted_tokens += num_accepted
        lengths = self.accepted_lengths
        if len(lengths) <= num_drafts:
            lengths.extend([0] * (num_drafts + 1 - len(lengths)))
        lengths[num_accepted] += 1

    @property
    def accepted_per_pos(self) -> list[int]:
        """How often the draft at each place was accepted, up to the longest trial."""
        return per_position(self.accepted_lengths)


def per_position(lengths: Sequence[int]) -> list[int]:
    """From how often n were accepted to how often place p was: all of more than p."""
    return list(accumulate(reversed(lengths[1:])))[::-1]


@dataclass(slots=True, eq=False)
class Request:
    """One sequence. token_ids is prompt + generated; num_computed chases len(token_ids)."""

    request_id: str
    prompt_ids: list[int]
    params: SamplingParams
    priority: int = 0  # lower is sooner, as in vLLM
    cache_salt: str = ""
    adapter: Adapter | None = None  # None: the base model
    grammar: Grammar | None = None  # its answer is constrained: see structured.py
    pooling: Pooling | None = None  # its answer is a vector, its params NO_TOKENS: see pooling.py
    follows: bool = False  # its HTTP request was let in before: no full queue refuses it
    arrival: int = 0  # set by the scheduler: order of admission
    end_ids: frozenset[int] = frozenset()  # set by the scheduler: tokens that end it
    max_num_tokens: int = 0  # set by the scheduler: prompt and answer together
    status: RequestStatus = RequestStatus.WAITING
    token_ids: list[int] = field(default_factory=list)
    num_computed: int = 0
    num_scored: int = 0  # of the prompt: leading positions whose log-probabilities are out
    draft_ids: list[int] = field(default_factory=list)  # on trial in the present step
    acceptance_ratio: float | None = None  # of its drafts, moving; set by the length policy
    block_ids: list[int] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        assert self.pooling is None or self.params.max_tokens == 0, "a vector and tokens"
        if not self.token_ids:
            self.token_ids = list(self.prompt_ids)

    @property
    def cache_key(self) -> str:
        """What besides its tokens decides this sequence's keys and values; "" for nothing."""
        if self.adapter is None and not self.cache_salt:
            return ""
        key = self.adapter.key if self.adapter is not None else ""
        return f"{len(key)}:{key}{self.cache_salt}"  # no salt can spell an adapter's key

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_prompt(self) -> int:
        return len(self.prompt_ids)

    @property
    def num_generated(self) -> int:
        return len(self.token_ids) - len(self.prompt_ids)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of the chosen token and of the most likely alternatives."""

    token_id: int
    logprob: float
    rank: int  # 1 = most likely
    top: tuple[tuple[int, float], ...] = ()


class RequestOutput(NamedTuple):
    """What one step says about one request. new_token_ids excludes nothing: EOS is included.

    prompt_logprobs: the next of those asked for, in order, the prompt's second token first.
    embedding: [hidden_size] float32, or float64 of a float64 model; not normalised. It is the only
    output of a request with pooling.
    """

    request_id: str
    new_token_ids: list[int]
    logprobs: list[TokenLogprob] | None = None
    finish_reason: FinishReason | None = None
    timings: Timings | None = None  # on the last output only
    error: str = ""
    prompt_logprobs: list[TokenLogprob] | None = None
    embedding: FloatArray | None = None
