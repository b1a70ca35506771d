"""The parts of a script that shape an answer's content: deltas, SSE spelling, token counts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.units import Seconds


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Chunks(Options):
    kind: Literal["text", "tools", "refusal"] = Field(
        default="text",
        description="Delta that carries the tokens. text: a call, or a document, that fits where"
        " the request offers tools or a schema.",
    )
    fit: bool = Field(default=True, description="False: calls and documents miss their schema.")
    text: str | None = Field(default=None, description="Text of every token; else words.")
    role_first: bool = Field(default=True, description="Chat opens with a role-only chunk.")
    empty_deltas: int = Field(
        default=0, ge=0, description="Empty deltas, spread evenly before the first token."
    )
    reasoning_tok: int = Field(default=0, ge=0, description="First tokens that are reasoning.")
    reasoning_field: Literal["reasoning_content", "reasoning"] = Field(
        default="reasoning_content", description="Delta key of reasoning."
    )
    tok_per_chunk: int = Field(default=1, ge=1, description="Tokens in a chunk.")
    pad_bytes: int = Field(default=0, ge=0, description="Ballast in the JSON of a token chunk.")
    first_chunk_tok: int | None = Field(default=None, ge=1, description="In the first chunk.")
    events_per_segment: int = Field(
        default=1, ge=1, description="Token events written at once, when the last is due."
    )
    split_at: int | None = Field(
        default=None,
        description="Each event is written in two, cut at this byte; < 0 from its end.",
    )
    split_utf8: bool = Field(
        default=False, description="Each event is cut inside its first non-ASCII character."
    )
    split_gap: Seconds = Field(default=0.001, description="From the first part to the second.")
    finish: Literal["own", "last_token", "none"] = Field(
        default="own", description="Chunk that holds finish_reason."
    )
    finish_reason: str | None = Field(default=None, description="Instead of stop or length.")


class Sse(Options):
    line_end: Literal["lf", "cr", "crlf"] = Field(default="lf", description="End of a line.")
    space: bool = Field(default=True, description="A space after the colon of a field.")
    bom: bool = Field(default=False, description="The stream opens with a byte order mark.")
    comments: bool = Field(default=False, description="A comment line before every event.")
    comment_every: Seconds | None = Field(
        default=None, description="Comments while waiting for the next chunk, this far apart."
    )
    multi_line: bool = Field(default=False, description="The JSON spans several data lines.")
    other_fields: bool = Field(default=False, description="Fields event, id, retry and unknown.")
    done: bool = Field(default=True, description="The stream ends in [DONE].")
    after_done: str | None = Field(default=None, description="Data of an event after the end.")
    last_blank_line: bool = Field(default=True, description="The last event is terminated.")


class Usage(Options):
    where: Literal["final", "finish", "every", "after_done", "absent"] = Field(
        default="final",
        description="Own last chunk with empty choices, finish chunk, every chunk, or none.",
    )
    always: bool = Field(default=False, description="Also when stream_options does not ask.")
    null_before: bool = Field(default=False, description="Chunks without usage say null.")
    values: Literal["true", "null", "zero", "echo_max", "wrong"] = Field(
        default="true", description="Which counts; wrong adds wrong_by to the answer's."
    )
    reasoning: Literal["untold", "inside", "outside"] = Field(
        default="untold", description="Told apart; within the completion count, or beside it."
    )
    wrong_by: int = Field(default=7, description="Error of the wrong count.")
    cached_tok: int | None = Field(default=None, ge=0, description="Prompt tokens from a cache.")
    cached_field: Literal["details", "prompt_cache_hit_tokens"] = Field(
        default="details", description="prompt_tokens_details.cached_tokens, or a flat name."
    )


class Vectors(Options):
    dims: int = Field(default=8, ge=1, description="Numbers a vector, where none are asked for.")
    wrong_dims: int | None = Field(
        default=None, ge=1, description="Numbers a vector, whatever is asked for."
    )
    delta: int = Field(default=0, description="Added to the number of vectors.")
    entry: Literal["numbers", "nan", "null", "text"] = Field(
        default="numbers", description="What the last entry of each vector is."
    )
