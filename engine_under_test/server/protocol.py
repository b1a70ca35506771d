"""The bodies we accept: OpenAI's field names, vLLM's names for extensions, nothing guessed.

Whether a field is served at all, harmless, unsupported or unknown is body_parser.py's matter.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from ..request import SamplingParams
from .errors import bad_request
from .tools import is_tool

MAX_BIASES = 4096
MAX_STOP_IDS = 1024
_TOKEN_KEY = re.compile(r"0|[1-9][0-9]{0,18}")
TokenId = Annotated[int, Field(ge=0)]
# A list stops at its first fault: a million wrong items would otherwise be a million messages.
FAIL_FAST = Field(fail_fast=True)
Ids = Annotated[list[TokenId], FAIL_FAST]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    include_usage: bool = False
    continuous_usage_stats: bool = False
    include_obfuscation: bool = False  # accepted, never done: padding would distort byte counts


class GenerationBody(BaseModel):
    """What chat and text completions share."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: int = Field(1, ge=1, le=128)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: list[str] = Field(default_factory=list, max_length=16)
    stop_token_ids: Ids = Field(default_factory=list, max_length=MAX_STOP_IDS)
    temperature: float = Field(1.0, ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(1.0, gt=0, le=1, allow_inf_nan=False)
    top_k: int = Field(0, ge=-1)
    min_p: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    presence_penalty: float = Field(0.0, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float = Field(0.0, ge=-2, le=2, allow_inf_nan=False)
    repetition_penalty: float = Field(1.0, gt=0, le=10, allow_inf_nan=False)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field(default_factory=dict)
    min_tokens: int = Field(0, ge=0)
    ignore_eos: bool = False
    priority: int = 0
    cache_salt: str = ""
    response_format: dict[str, Any] = Field(default_factory=lambda: {"type": "text"})

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _few_biases(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MAX_BIASES:
            raise ValueError(f"at most {MAX_BIASES} tokens can be biased")
        return value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("a stop string must not be empty")
        return value

    @property
    def has_form(self) -> bool:
        """Whether response_format binds the answer: then no stop string cuts it."""
        return self.response_format.get("type") != "text"

    @property
    def num_logprobs(self) -> int | None:
        """Alternatives wanted a token; None: no log-probabilities at all."""
        raise NotImplementedError

    @property
    def num_prompt_logprobs(self) -> int | None:
        """The same for the tokens of the prompt."""
        return None

    def sampling(self, max_tokens: int) -> SamplingParams:
        """The engine's parameters. Raises ApiError on a logit_bias key that is no token id, and
        where more tokens are demanded than allowed."""
        if self.min_tokens > max_tokens:
            raise bad_request(
                f"'min_tokens' {self.min_tokens} exceeds the {max_tokens} tokens of the answer",
                "min_tokens",
            )
        return SamplingParams(
            max_tokens=max_tokens,
            min_tokens=self.min_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(self.top_k, 0),
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
            logit_bias=_bias(self.logit_bias),
            stop_token_ids=tuple(self.stop_token_ids),
            ignore_eos=self.ignore_eos,
            seed=self.seed,
            logprobs=self.num_logprobs,
            prompt_logprobs=self.num_prompt_logprobs,
        )


class FunctionName(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str


class NamedChoice(BaseModel):
    """tool_choice that names the one function to call."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: Literal["function"]
    function: FunctionName


class Allowed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]] = Field(min_length=1, max_length=128)

    @field_validator("tools")
    @classmethod
    def _functions_only(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return _check_tools(value)


class AllowedChoice(BaseModel):
    """tool_choice that allows some of the tools; the model is shown all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: Literal["allowed_tools"]
    allowed_tools: Allowed


def _check_tools(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not all(map(is_tool, value)):
        raise ValueError("each tool must be {'type': 'function', 'function': {'name': ...}}")
    return value


class ChatBody(GenerationBody):
    messages: list[dict[str, Any]] = Field(min_length=1, fail_fast=True)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    tools: list[dict[str, Any]] = Field(default_factory=list, max_length=128)
    tool_choice: Literal["auto", "none", "required"] | NamedChoice | AllowedChoice = "auto"
    parallel_tool_calls: bool = True

    @field_validator("tools")
    @classmethod
    def _functions_only(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return _check_tools(value)

    @field_validator("chat_template_kwargs")
    @classmethod
    def _own_variables_only(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := {"messages", "tools", "add_generation_prompt"} & value.keys():
            raise ValueError(f"{', '.join(sorted(taken))}: a field of the request has that name")
        return value

    @property
    def callable_tools(self) -> list[dict[str, Any]]:
        """The tools the model is shown, and whose calls are parsed."""
        return self.tools if self.tool_choice != "none" else []

    @property
    def must_call(self) -> bool:
        """Whether the answer has to be a call."""
        if isinstance(self.tool_choice, AllowedChoice):
            return self.tool_choice.allowed_tools.mode == "required"
        return self.tool_choice not in ("auto", "none")

    @property
    def named_function(self) -> str | None:
        """The one function that has to be called."""
        choice = self.tool_choice
        return choice.function.name if isinstance(choice, NamedChoice) else None

    @property
    def allowed_names(self) -> set[str] | None:
        """The functions that may be called; None: all there are."""
        choice = self.tool_choice
        if isinstance(choice, AllowedChoice):
            return {tool["function"]["name"] for tool in choice.allowed_tools.tools}
        return None if self.named_function is None else {self.named_function}

    @property
    def num_logprobs(self) -> int | None:
        return self.top_logprobs if self.logprobs else None


def _prompt_kind(value: Any) -> str:
    """Which of its four forms a prompt has, judged by its first item."""
    if not isinstance(value, list):
        return "text"
    first = value[0] if value else 0
    return "ids lists" if isinstance(first, list) else "ids" if type(first) is int else "texts"


Prompts = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[list[str], FAIL_FAST, Tag("texts")]
    | Annotated[Ids, Tag("ids")]
    | Annotated[list[Ids], FAIL_FAST, Tag("ids lists")],
    Discriminator(_prompt_kind),
]


class CompletionBody(GenerationBody):
    prompt: Prompts
    max_tokens: int = Field(16, ge=0)  # 0: the prompt alone, with echo
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool = False
    add_special_tokens: bool = True

    @model_validator(mode="after")
    def _something_to_answer(self) -> CompletionBody:
        if not self.max_tokens and not self.echo:
            raise bad_request(
                "'max_tokens' 0 is for the prompt alone: it needs 'echo'", "max_tokens"
            )
        return self

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def num_prompt_logprobs(self) -> int | None:
        return self.logprobs if self.echo else None


def _bias(raw: dict[str, float]) -> tuple[tuple[int, float], ...]:
    # int() would take " 5 ", "1_0" and digits of any script, and two spellings of one id
    if not all(_TOKEN_KEY.fullmatch(token) for token in raw):
        raise bad_request('logit_bias keys must be token ids, as "42"', "logit_bias")
    return tuple((int(token), bias) for token, bias in raw.items())
