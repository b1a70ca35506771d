"""What is sent: traffic classes, the workloads that give them their text, and how they sample."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.scenario.distributions import MOST_TOK, Document, Fixed, Lengths, Times, Uniform, Zipf
from harness.scenario.patience import Cancel, Retry
from harness.scenario.slo import Slo

Endpoint = Literal["chat", "completions", "embeddings", "transcriptions"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class Sampling(Document):
    temperature: float | None = Field(default=None, ge=0, description="None: not sent.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="None: not sent.")
    seed: int | None = Field(default=None, description="None: not sent.")
    ignore_eos: bool | Literal["auto"] = Field(
        default="auto", description="auto: sent where the endpoint takes it."
    )


class Prefix(Document):
    groups: int = Field(ge=1, le=1_000_000, description="Number of distinct shared openings.")
    tokens: int = Field(ge=1, le=MOST_TOK, description="Length of each opening.")
    popularity: Annotated[Uniform | Zipf, Field(discriminator="kind")] | None = Field(
        default=None, description="How groups are drawn; None: all equally often."
    )


class ChatWorkload(Document):
    kind: Literal["chat"]
    input_tokens: Lengths = Field(description="Prompt length, the chat template included.")
    output_tokens: Lengths | None = Field(default=None, description="Answer length asked for.")
    system_tokens: Lengths | None = Field(default=None, description="System message, in the input.")


class Columns(Document):
    prompt: str = Field(default="prompt", description="Text, or a list of chat messages.")
    output_tokens: str | None = Field(default=None, description="Answer length asked for.")


class DatasetWorkload(Document):
    kind: Literal["dataset"]
    file: str = Field(description="JSONL, one object a line.")
    columns: Columns = Field(default_factory=Columns, description="Which keys hold what.")
    order: Literal["sequential", "shuffled"] = Field(default="shuffled", description="Row order.")
    output_tokens: Lengths | None = Field(default=None, description="Where no column gives it.")
    salt: bool = Field(default=False, description="Open each prompt with a unique salt.")


TraceFormat = Literal["azure_csv", "mooncake_jsonl", "burstgpt_csv"]


class TraceWorkload(Document):
    kind: Literal["trace"]
    file: str = Field(description="A real trace; .gz is read too.")
    format: TraceFormat = Field(description="Layout of the file.")
    max_input_tokens: int | None = Field(default=None, ge=1, description="Longer rows are dropped.")


class ExpectedCall(Document):
    valid_call: bool = Field(
        default=True,
        description="An answer without a call, or with one that does not validate, is a failure.",
    )


class ToolsWorkload(Document):
    kind: Literal["tools"]
    tools_file: str = Field(description="JSON list of tools as the API takes them.")
    tool_choice: str = Field(
        default="auto", min_length=1, description="auto, required, none, or a function's name."
    )
    parallel_tool_calls: bool | None = Field(default=None, description="None: not sent.")
    prompts: tuple[str, ...] = Field(
        default=(), description="Requests that end a prompt, one drawn for each."
    )
    input_tokens: Lengths | None = Field(
        default=None, description="Prompt length without the tools; None: the request alone."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=MOST_TOK, description="Answers are cut here, and then unfit."
    )
    expect: ExpectedCall = Field(default_factory=ExpectedCall, description="What an answer is.")


class JsonSchemaWorkload(Document):
    kind: Literal["json_schema"]
    schema_file: str = Field(description="JSON schema that each answer must keep.")
    prompts: tuple[str, ...] = Field(
        default=(), description="Requests that end a prompt, one drawn for each."
    )
    input_tokens: Lengths | None = Field(
        default=None, description="Prompt length; None: the request alone."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=MOST_TOK, description="Answers are cut here, and then unfit."
    )


class EmbeddingsWorkload(Document):
    kind: Literal["embeddings"]
    batch: Lengths = Field(
        default_factory=lambda: Fixed(kind="fixed", value=1), description="Texts a request."
    )
    input_tokens: Lengths = Field(description="Length of each text.")
    dimensions: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Numbers a vector; None: the model's own."
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="How vectors are written; None: not sent, which is as numbers."
    )


class Clip(Document):
    duration: Times = Field(description="Length of each clip, exact to a millisecond.")
    format: Literal["wav"] = Field(default="wav", description="16 kHz, mono, 16 bits.")


class AudioWorkload(Document):
    kind: Literal["audio"]
    clip: Clip | None = Field(default=None, description="Sound like speech, made here; no words.")
    files: tuple[str, ...] = Field(default=(), description="WAV files, sent as they are, in turns.")
    language: str | None = Field(default=None, description="Of what is said, such as en.")
    response_format: Literal["json", "verbose_json", "text", "srt", "vtt"] = Field(
        default="json", description="verbose_json: with segments; text, srt, vtt: no JSON at all."
    )


TaskWorkload = ToolsWorkload | JsonSchemaWorkload
# Answered at once, not as a stream of tokens, by endpoints of their own.
WholeWorkload = EmbeddingsWorkload | AudioWorkload
Workload = Annotated[
    ChatWorkload
    | DatasetWorkload
    | TraceWorkload
    | ToolsWorkload
    | JsonSchemaWorkload
    | EmbeddingsWorkload
    | AudioWorkload,
    Field(discriminator="kind"),
]


class TrafficClass(Document):
    name: Name = Field(description="Appears in records and reports.")
    workload: Workload
    weight: float = Field(default=1.0, gt=0, le=1e9, description="Share of arrivals, relative.")
    api: Literal["chat", "completions"] = Field(
        default="chat", description="Dialect of text classes."
    )
    model: str | None = Field(
        default=None, min_length=1, description="Overrides the target's model."
    )
    api_key_env: str | None = Field(default=None, description="Overrides the target's key.")
    sampling: Sampling = Field(default_factory=Sampling, description="Sent as given.")
    prefix: Prefix | None = Field(default=None, description="Shared openings; None: all unique.")
    cancel: Cancel | None = Field(default=None, description="Users who leave; None: nobody does.")
    retry: Retry | None = Field(default=None, description="Users who ask again; None: nobody.")
    slo: Slo | None = Field(default=None, description="Replaces limits by metric name.")

    @property
    def endpoint(self) -> Endpoint:
        """Where its requests go: what its workload needs, else what `api` says."""
        match self.workload:
            case EmbeddingsWorkload():
                return "embeddings"
            case AudioWorkload():
                return "transcriptions"
        return self.api
