"""The scenario document, version 1: what is sent, how hard, to whom, and what counts as good.

`kind` chooses a type, so open and closed load are different types and an editor completes only
legal keys. Values carry units and are held in base units (seconds, requests/s, ratios 0-1).
This file only describes; reading with line numbers is loader.py, sweeps are expand.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from harness.scenario.cost import Cost as Cost
from harness.scenario.cost import Stop as Stop
from harness.scenario.distributions import MOST_TOK
from harness.scenario.distributions import Document as Document
from harness.scenario.distributions import Empirical as Empirical
from harness.scenario.distributions import Exponential as Exponential
from harness.scenario.distributions import ExponentialTime as ExponentialTime
from harness.scenario.distributions import Fixed as Fixed
from harness.scenario.distributions import FixedTime as FixedTime
from harness.scenario.distributions import Lengths as Lengths
from harness.scenario.distributions import Lognormal as Lognormal
from harness.scenario.distributions import LognormalTime as LognormalTime
from harness.scenario.distributions import Times as Times
from harness.scenario.distributions import Uniform as Uniform
from harness.scenario.distributions import UniformTime as UniformTime
from harness.scenario.distributions import Zipf as Zipf
from harness.scenario.gate import Gate as Gate
from harness.scenario.patience import Cancel as Cancel
from harness.scenario.patience import Retry as Retry
from harness.scenario.slo import Slo
from harness.scenario.sweep import MOST_POINTS as MOST_POINTS
from harness.scenario.sweep import GridSweep as GridSweep
from harness.scenario.sweep import ListSweep as ListSweep
from harness.scenario.sweep import RepeatSweep as RepeatSweep
from harness.scenario.sweep import SearchSweep as SearchSweep
from harness.scenario.sweep import Sweep as Sweep
from harness.scenario.sweep import ValuesSweep as ValuesSweep
from harness.scenario.sweep import ZipSweep as ZipSweep
from harness.scenario.telemetry import Prometheus as Prometheus
from harness.scenario.telemetry import Telemetry as Telemetry
from harness.units import ReqPerS, Seconds, Share

MOST_REQUESTS = 20_000_000  # of one stage: its schedule stays below a few GB; larger ones are typos

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


# -- targets -----------------------------------------------------------------------------------


class EnvValue(Document):
    env: str = Field(description="Name of the environment variable that holds the value.")


class Timeouts(Document):
    connect: Seconds = Field(default=10.0, description="TCP and TLS, each.")
    send: Seconds = Field(default=10.0, description="Until the request is written.")
    first_byte: Seconds = Field(default=120.0, description="Sent to the first body byte.")
    token_idle: Seconds = Field(default=60.0, description="Longest silence between tokens.")
    total: Seconds = Field(default=600.0, description="Sent to the end.")


def _url_or_preset(schema: dict[str, Any]) -> None:
    """In the JSON Schema, for editors: a preset gives the url, the loader then fills it in."""
    schema["required"] = [name for name in schema["required"] if name != "url"]
    schema["anyOf"] = [{"required": ["url"]}, {"required": ["preset"]}]


class OpenAITarget(Document):
    model_config = ConfigDict(json_schema_extra=_url_or_preset)

    kind: Literal["openai"]
    url: str = Field(description="Base URL up to and including /v1.")
    model: str = Field(
        default="auto", min_length=1, description="Model id; auto is the first of /v1/models."
    )
    preset: str | None = Field(
        default=None, description="Provider file that gives url, key variable and models."
    )
    models: dict[str, str] = Field(
        default_factory=dict, description="Asked id -> the id sent instead, for a migration."
    )
    api_key_env: str | None = Field(default=None, description="Variable that holds the key.")
    headers: dict[str, str | EnvValue] = Field(default_factory=dict, description="Extra headers.")
    timeout: Timeouts = Field(default_factory=Timeouts, description="Limits of one request.")

    @property
    def sent_model(self) -> str:
        """The id that goes out for the one that was asked for."""
        return self.models.get(self.model, self.model)


class ReferenceTarget(Document):
    kind: Literal["reference"]
    model: str = Field(
        default="tiny", min_length=1, description="tiny, a named shape, or a model directory."
    )
    flags: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Passed to the engine as they are."
    )
    timeout: Timeouts = Field(default_factory=Timeouts, description="Limits of one request.")


class ScriptedTarget(Document):
    kind: Literal["scripted"]
    script: dict[str, Any] | str = Field(
        default_factory=dict, description="Timings and behaviours, or a file that holds them."
    )
    timeout: Timeouts = Field(default_factory=Timeouts, description="Limits of one request.")


Target = Annotated[OpenAITarget | ReferenceTarget | ScriptedTarget, Field(discriminator="kind")]


class CalibratedTokens(Document):
    """By two probes; on the reference engine by its own tokenizer, which needs none."""

    kind: Literal["calibrated"] = "calibrated"


class TokenizerTokens(Document):
    kind: Literal["tokenizer"]
    file: str = Field(description="tokenizer.json of the served model.")


class EstimatedTokens(Document):
    kind: Literal["estimated"]
    chars_per_token: float = Field(default=4.0, gt=0, description="Characters a token, on average.")


Tokens = Annotated[
    CalibratedTokens | TokenizerTokens | EstimatedTokens, Field(discriminator="kind")
]


# -- traffic -----------------------------------------------------------------------------------


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


TaskWorkload = ToolsWorkload | JsonSchemaWorkload
Workload = Annotated[
    ChatWorkload | DatasetWorkload | TraceWorkload | ToolsWorkload | JsonSchemaWorkload,
    Field(discriminator="kind"),
]


class TrafficClass(Document):
    name: Name = Field(description="Appears in records and reports.")
    workload: Workload
    weight: float = Field(default=1.0, gt=0, le=1e9, description="Share of arrivals, relative.")
    api: Literal["chat", "completions"] = Field(default="chat", description="Endpoint dialect.")
    model: str | None = Field(
        default=None, min_length=1, description="Overrides the target's model."
    )
    api_key_env: str | None = Field(default=None, description="Overrides the target's key.")
    sampling: Sampling = Field(default_factory=Sampling, description="Sent as given.")
    prefix: Prefix | None = Field(default=None, description="Shared openings; None: all unique.")
    cancel: Cancel | None = Field(default=None, description="Users who leave; None: nobody does.")
    retry: Retry | None = Field(default=None, description="Users who ask again; None: nobody.")
    slo: Slo | None = Field(default=None, description="Replaces limits by metric name.")


# -- load --------------------------------------------------------------------------------------


class Constant(Document):
    kind: Literal["constant"]


class Poisson(Document):
    kind: Literal["poisson"]


class Gamma(Document):
    kind: Literal["gamma"]
    cv: float = Field(
        ge=0.01, le=100, description="Coefficient of variation of the gaps; 1 is Poisson."
    )


class TraceArrival(Document):
    kind: Literal["trace"]
    file: str = Field(description="A real trace; its times are used.")
    format: TraceFormat = Field(description="Layout of the file.")
    thin: Share = Field(default=1.0, description="Share of rows kept; bursts survive thinning.")
    jitter: Seconds = Field(default=0.0, description="Seeded spread of quantised times.")


Arrival = Annotated[Constant | Poisson | Gamma | TraceArrival, Field(discriminator="kind")]


class Ramp(Document):
    kind: Literal["ramp"]
    from_: ReqPerS = Field(alias="from", description="Rate at the start of the window.")
    to: ReqPerS = Field(description="Rate at its end; linear between.")


class OpenStage(Document):
    """Arrivals come whether or not earlier ones were answered."""

    kind: Literal["open"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    arrival: Arrival = Field(description="The process; its gaps are never stretched to fit.")
    rate: ReqPerS | Ramp | None = Field(default=None, description="None only for a trace.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS, description="Or this many measured requests."
    )


class ClosedStage(Document):
    """A fixed number of users, each waiting for its answer. No evidence for a rate."""

    kind: Literal["closed"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    concurrency: int = Field(ge=1, le=1_000_000, description="Users.")
    think_time: Times | None = Field(default=None, description="Pause after an answer.")
    ramp: Seconds | None = Field(default=None, description="Users start spread over this time.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS, description="Or this many measured requests."
    )


class ProbeStage(Document):
    """One request at a fixed interval, for as long as it takes: uptime over days."""

    kind: Literal["probe"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    every: Seconds = Field(description="Between requests, whether or not they were answered.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS, description="Or this many measured requests."
    )


class IdleBurstStage(Document):
    """Silence, then a few requests: what the first of them pays for a target that went to sleep."""

    kind: Literal["idle_burst"]
    name: str = Field(default="main", min_length=1, description="Appears in records and reports.")
    idle: tuple[Seconds, ...] = Field(
        min_length=1, description="Silences before a burst, in turn; from intended send to send."
    )
    requests: int = Field(
        default=5, ge=2, le=1_000_000, description="Of a burst; the first is cold."
    )
    gap: Seconds = Field(default=1.0, description="Between the requests of a burst.")
    cycles: int = Field(
        default=6, ge=1, le=1_000_000, description="Times each silence is tried; 6 carry a p50."
    )


Stage = Annotated[
    OpenStage | ClosedStage | ProbeStage | IdleBurstStage, Field(discriminator="kind")
]


class _Common(Document):
    warmup: Seconds = Field(default=10.0, description="Load before the window; not measured.")
    cooldown: Seconds = Field(
        default=60.0, description="Load stays on until measured requests ended, at most this long."
    )
    drain: Seconds = Field(default=30.0, description="After the load: then the rest is cut.")
    max_in_flight: int | None = Field(
        default=None, ge=1, description="Reached: the point is invalid. Never a throttle."
    )


class OpenLoad(OpenStage, _Common):
    """One open stage with its phases."""


class ClosedLoad(ClosedStage, _Common):
    """One closed stage with its phases."""


class ProbeLoad(ProbeStage, _Common):
    """One probe with its phases."""


class IdleBurstLoad(IdleBurstStage, _Common):
    """Idle bursts with their phases; one burst is sent at the start of the warm-up."""


class StagedLoad(_Common):
    """Stages follow each other."""

    kind: Literal["stages"]
    stages: tuple[Stage, ...] = Field(min_length=1, description="In order; names are unique.")


Load = Annotated[
    OpenLoad | ClosedLoad | ProbeLoad | IdleBurstLoad | StagedLoad, Field(discriminator="kind")
]


# -- validity, output -------------------------------------------------------------------


class SendLagLimit(Document):
    p99: Seconds = Field(default=0.010, description="Above: invalid.")


class Validity(Document):
    min_requests: int = Field(default=1, ge=1, description="Measured requests a point needs.")
    min_duration: Seconds = Field(default=0.0, description="Shortest window accepted.")
    max_send_lag: SendLagLimit = Field(default_factory=SendLagLimit, description="Schedule lag.")
    max_client_cpu: Share = Field(default=0.9, description="Of a load worker's core.")
    max_blocked: int = Field(default=0, ge=0, description="Arrivals held by max_in_flight.")
    steady_state: Literal["required", "warn", "off"] = Field(
        default="warn", description="What a drifting window does to the verdict."
    )


class Output(Document):
    reports: tuple[Literal["html", "markdown", "junit"], ...] = Field(
        default=("html", "markdown", "junit"), description="Written at the end of a run."
    )
    samples: int = Field(default=0, ge=0, le=1000, description="Answers kept, seeded choice.")


class Scenario(Document):
    """The whole document."""

    schema_: Literal["harness/v1"] = Field(alias="schema", description="Version of this language.")
    name: Name = Field(description="Appears in the run's name.")
    description: str = Field(default="", description="One sentence for the report's header.")
    labels: dict[str, str] = Field(default_factory=dict, description="Reach records and report.")
    seed: int = Field(default=0, ge=0, description="Feeds every random stream; never the clock.")
    targets: dict[Name, Target] = Field(min_length=1, description="Name -> endpoint.")
    tokens: Tokens = Field(default_factory=CalibratedTokens, description="How lengths are met.")
    traffic: tuple[TrafficClass, ...] = Field(min_length=1, description="Classes; names unique.")
    load: Load = Field(description="How hard.")
    sweep: Sweep | None = Field(default=None, description="Several points from one document.")
    slo: Slo = Field(default_factory=Slo, description="What a good answer is, and the limits.")
    gate: Gate | None = Field(default=None, description="What fails a change; two arms, in blocks.")
    validity: Validity = Field(default_factory=Validity, description="What voids a measurement.")
    telemetry: Telemetry = Field(
        default_factory=Telemetry, description="What the target is asked meanwhile."
    )
    stop: Stop | None = Field(default=None, description="What ends a run before its time.")
    cost: Cost | None = Field(default=None, description="Prices; changes nothing that is sent.")
    output: Output = Field(default_factory=Output, description="What is left behind.")
