"""The script document: what the endpoint does, when, and to which requests.

A `Behaviour` says how one request is answered. A `Script` is the behaviour of every request plus
what belongs to the server as a whole: its seed, its queue, its outages, and the share of requests
that get another behaviour. A request may override any part of it with an `x-script` header (JSON).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.testing._chunk_options import Chunks, Sse, Usage, Vectors
from harness.testing._http_options import Http, Transport
from harness.units import Seconds, Share


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lognormal(Document):
    median: Seconds = Field(description="Half of the draws are shorter.")
    p95: Seconds = Field(description="19 of 20 draws are shorter.")

    @model_validator(mode="after")
    def _ordered(self) -> Lognormal:
        if not 0 < self.median <= self.p95:
            raise ValueError("p95 must be at least median, and median above 0")
        return self


class Stall(Document):
    at: int = Field(ge=0, description="Token chunk before which nothing comes; from 0.")
    duration: Seconds = Field(description="How much later that chunk and all after it are due.")


class Timing(Document):
    ttft: Seconds | Lognormal = Field(default=0.05, description="Start to first token chunk.")
    per_prompt_tok: Seconds = Field(default=0.0, description="Added to ttft for each prompt token.")
    per_audio_s: Seconds = Field(default=0.0, description="Added for each second of audio.")
    gap: Seconds | tuple[Seconds, ...] | Lognormal = Field(
        default=0.01, description="Between token chunks; of a list the last value repeats."
    )
    step: Seconds | None = Field(
        default=None, description="All token chunks wait for a multiple of this, one grid for all."
    )
    stall: Stall | None = Field(default=None, description="One silence within the answer.")
    headers: Seconds = Field(default=0.0, description="Start to response headers.")
    tail: Seconds = Field(default=0.0, description="Last token to finish, usage and [DONE].")

    @model_validator(mode="after")
    def _positive(self) -> Timing:
        if self.step == 0:
            raise ValueError("step must be above 0")
        if self.gap == ():
            raise ValueError("gap must name at least one time")
        return self


class Tokens(Document):
    output: int | None = Field(default=None, ge=0, description="Fixed length; else max_tokens.")
    output_delta: int = Field(default=0, description="Added to it: ends early, or runs over.")
    output_default: int = Field(default=16, ge=0, description="Where the request names no limit.")
    prompt_slope: float = Field(default=1.0, gt=0, description="Prompt tokens a word.")
    prompt_fixed: int = Field(default=0, ge=0, description="Prompt tokens of the template.")


class Behaviour(Document):
    timing: Timing = Field(default_factory=Timing, description="When.")
    tokens: Tokens = Field(default_factory=Tokens, description="How many.")
    chunks: Chunks = Field(default_factory=Chunks, description="What the chunks hold.")
    sse: Sse = Field(default_factory=Sse, description="How events are written.")
    http: Http = Field(default_factory=Http, description="Status, headers and framing.")
    usage: Usage = Field(default_factory=Usage, description="Where and which token counts.")
    vectors: Vectors = Field(default_factory=Vectors, description="What embeddings hold.")
    transcript: str | None = Field(
        default="hello from the scripted endpoint", description="Of audio; null: no text at all."
    )
    transport: Transport = Field(default_factory=Transport, description="How connections break.")


class Fault(Document):
    """Requests that are answered otherwise. Of several faults the first that fits wins."""

    share: Share = Field(default=1.0, description="Share of the arrivals, by hash of the seed.")
    first: int = Field(default=0, ge=0, description="Arrivals before this one are spared.")
    last: int | None = Field(default=None, ge=0, description="Last arrival that may be hit.")
    model: str | None = Field(
        default=None, description="Only requests for this model: so a traffic class is chosen."
    )
    then: dict[str, object] = Field(description="The parts of a behaviour that differ.")


class Outage(Document):
    start: Seconds = Field(description="After the server's start.")
    duration: Seconds = Field(description="How long.")
    every: Seconds | None = Field(default=None, description="Repeats with this period.")
    kind: Literal["stall", "refuse", "no_accept"] = Field(
        default="stall",
        description="Silence; connections refused; connections left unaccepted in the backlog.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Outage:
        if self.duration <= 0 or (self.every is not None and self.every <= self.duration):
            raise ValueError("duration must be above 0, and every above duration")
        return self


class Script(Behaviour):
    model: str = Field(default="scripted", min_length=1, description="Id in /v1/models.")
    seed: int = Field(default=0, description="Of the laws and of the choice of victims.")
    api_key: str | None = Field(default=None, description="Bearer key asked for; else 401.")
    servers: int | None = Field(
        default=None, ge=1, description="Requests answered at a time; the rest wait in order."
    )
    most_running: int | None = Field(
        default=None, ge=1, description="Requests at a time; a further one gets 503 at once."
    )
    faults: tuple[Fault, ...] = Field(default=(), description="Requests answered otherwise.")
    outages: tuple[Outage, ...] = Field(default=(), description="Times when all suffer.")
    log_requests: int = Field(default=10_000, ge=0, description="Requests kept in the log.")
