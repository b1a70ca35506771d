"""The scenario document, version 1: what is sent, how hard, to whom, and what counts as good.

`kind` chooses a type, so open and closed load are different types and an editor completes only
legal keys. Values carry units and are held in base units (seconds, requests/s, ratios 0-1).
This file only describes; reading with line numbers is loader.py, sweeps are expand.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.scenario.slo import Slo
from harness.units import ReqPerS, Seconds, Share


class Document(BaseModel):
    """Base of every block: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )


# -- distributions: lengths and counts are bare numbers, times carry units ---------------------


class Fixed(Document):
    kind: Literal["fixed"]
    value: float = Field(ge=0, description="Every draw is this number.")


class Uniform(Document):
    kind: Literal["uniform"]
    min: float = Field(ge=0, description="Smallest draw, inclusive.")
    max: float = Field(ge=0, description="Largest draw, inclusive for whole numbers.")


class Lognormal(Document):
    kind: Literal["lognormal"]
    median: float = Field(gt=0, description="Half of the draws lie below.")
    p95: float = Field(gt=0, description="19 of 20 draws lie below (before max).")
    max: float = Field(gt=0, description="Draws above are redrawn, not clipped.")


class Exponential(Document):
    kind: Literal["exponential"]
    mean: float = Field(gt=0, description="Mean of the draws.")


class Empirical(Document):
    kind: Literal["empirical"]
    file: str = Field(
        description="CSV; with a column q it is a quantile table, else one row a draw."
    )
    column: str = Field(description="Column that holds the values.")
    max: float | None = Field(
        default=None, gt=0, description="Draws above are redrawn, not clipped."
    )


class Zipf(Document):
    kind: Literal["zipf"]
    s: float = Field(gt=0, description="Exponent: item k is drawn with weight k^-s.")


Lengths = Annotated[
    Fixed | Uniform | Lognormal | Exponential | Empirical, Field(discriminator="kind")
]


class FixedTime(Document):
    kind: Literal["fixed"]
    value: Seconds = Field(description="Every draw is this time.")


class UniformTime(Document):
    kind: Literal["uniform"]
    min: Seconds = Field(description="Shortest draw.")
    max: Seconds = Field(description="Longest draw.")


class LognormalTime(Document):
    kind: Literal["lognormal"]
    median: Seconds = Field(description="Half of the draws are shorter.")
    p95: Seconds = Field(description="19 of 20 draws are shorter (before max).")
    max: Seconds = Field(description="Draws above are redrawn, not clipped.")


class ExponentialTime(Document):
    kind: Literal["exponential"]
    mean: Seconds = Field(description="Mean of the draws.")


Times = Annotated[
    FixedTime | UniformTime | LognormalTime | ExponentialTime, Field(discriminator="kind")
]


# -- targets -----------------------------------------------------------------------------------


class EnvValue(Document):
    env: str = Field(description="Name of the environment variable that holds the value.")


class Timeouts(Document):
    connect: Seconds = Field(default=10.0, description="TCP and TLS, each.")
    send: Seconds = Field(default=10.0, description="Until the request is written.")
    first_byte: Seconds = Field(default=120.0, description="Sent to the first body byte.")
    token_idle: Seconds = Field(default=60.0, description="Longest silence between tokens.")
    total: Seconds = Field(default=600.0, description="Sent to the end.")


class OpenAITarget(Document):
    kind: Literal["openai"]
    url: str = Field(description="Base URL up to and including /v1.")
    model: str = Field(default="auto", description="Model id; auto is the first of /v1/models.")
    api_key_env: str | None = Field(default=None, description="Variable that holds the key.")
    headers: dict[str, str | EnvValue] = Field(default_factory=dict, description="Extra headers.")
    timeout: Timeouts = Field(default_factory=Timeouts, description="Limits of one request.")


class ReferenceTarget(Document):
    kind: Literal["reference"]
    model: str = Field(default="tiny", description="tiny, a named shape, or a model directory.")
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
    groups: int = Field(ge=1, description="Number of distinct shared openings.")
    tokens: int = Field(ge=1, description="Length of each opening.")
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


Workload = Annotated[ChatWorkload | DatasetWorkload | TraceWorkload, Field(discriminator="kind")]


class TrafficClass(Document):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="Appears in records and reports.")
    workload: Workload
    weight: float = Field(default=1.0, gt=0, description="Share of arrivals, relative.")
    api: Literal["chat", "completions"] = Field(default="chat", description="Endpoint dialect.")
    model: str | None = Field(default=None, description="Overrides the target's model.")
    api_key_env: str | None = Field(default=None, description="Overrides the target's key.")
    sampling: Sampling = Field(default_factory=Sampling, description="Sent as given.")
    prefix: Prefix | None = Field(default=None, description="Shared openings; None: all unique.")
    slo: Slo | None = Field(default=None, description="Replaces limits by metric name.")


# -- load --------------------------------------------------------------------------------------


class Constant(Document):
    kind: Literal["constant"]


class Poisson(Document):
    kind: Literal["poisson"]


class Gamma(Document):
    kind: Literal["gamma"]
    cv: float = Field(gt=0, description="Coefficient of variation of the gaps; 1 is Poisson.")


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
    name: str = Field(default="main", description="Appears in records and reports.")
    arrival: Arrival = Field(description="The process; its gaps are never stretched to fit.")
    rate: ReqPerS | Ramp | None = Field(default=None, description="None only for a trace.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(default=None, ge=1, description="Or this many measured requests.")


class ClosedStage(Document):
    """A fixed number of users, each waiting for its answer. No evidence for a rate."""

    kind: Literal["closed"]
    name: str = Field(default="main", description="Appears in records and reports.")
    concurrency: int = Field(ge=1, description="Users.")
    think_time: Times | None = Field(default=None, description="Pause after an answer.")
    ramp: Seconds | None = Field(default=None, description="Users start spread over this time.")
    duration: Seconds | None = Field(default=None, description="Measured window.")
    requests: int | None = Field(default=None, ge=1, description="Or this many measured requests.")


Stage = Annotated[OpenStage | ClosedStage, Field(discriminator="kind")]


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


class StagedLoad(_Common):
    """Stages follow each other."""

    kind: Literal["stages"]
    stages: tuple[Stage, ...] = Field(min_length=1, description="In order; names are unique.")


Load = Annotated[OpenLoad | ClosedLoad | StagedLoad, Field(discriminator="kind")]


# -- sweep, validity, output -------------------------------------------------------------------


class _Sweep(Document):
    over: dict[str, tuple[Any, ...]] = Field(min_length=1, description="Path -> values.")
    targets: tuple[str, ...] | None = Field(default=None, description="None: all.")
    repeat: int = Field(default=1, ge=1, description="Each point this often, with other seeds.")
    order: Literal["given", "shuffled"] = Field(default="given", description="Seeded shuffle.")
    cooldown: Seconds = Field(default=0.0, description="Pause between points.")


class ListSweep(_Sweep):
    """One path, its values in turn."""

    kind: Literal["list"]


class GridSweep(_Sweep):
    """Every combination of the paths' values."""

    kind: Literal["grid"]


Sweep = Annotated[ListSweep | GridSweep, Field(discriminator="kind")]


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
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="Appears in the run's name.")
    description: str = Field(default="", description="One sentence for the report's header.")
    labels: dict[str, str] = Field(default_factory=dict, description="Reach records and report.")
    seed: int = Field(default=0, ge=0, description="Feeds every random stream; never the clock.")
    targets: dict[str, Target] = Field(min_length=1, description="Name -> endpoint.")
    tokens: Tokens = Field(default_factory=CalibratedTokens, description="How lengths are met.")
    traffic: tuple[TrafficClass, ...] = Field(min_length=1, description="Classes; names unique.")
    load: Load = Field(description="How hard.")
    sweep: Sweep | None = Field(default=None, description="Several points from one document.")
    slo: Slo = Field(default_factory=Slo, description="What a good answer is, and the limits.")
    validity: Validity = Field(default_factory=Validity, description="What voids a measurement.")
    output: Output = Field(default_factory=Output, description="What is left behind.")
