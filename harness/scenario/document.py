"""The scenario document, version 1: what is sent, how hard, to whom, and what counts as good.

`kind` chooses a type, so open and closed load are different types and an editor completes only
legal keys. Values carry units and are held in base units (seconds, requests/s, ratios 0-1).
This file only describes; its parts are told in files of their own and named here for all readers.
Reading with line numbers is loader.py, sweeps are expand.py.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.scenario.cost import Cost as Cost
from harness.scenario.cost import Stop as Stop
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
from harness.scenario.loads import MOST_REQUESTS as MOST_REQUESTS
from harness.scenario.loads import Arrival as Arrival
from harness.scenario.loads import ClosedLoad as ClosedLoad
from harness.scenario.loads import ClosedStage as ClosedStage
from harness.scenario.loads import Constant as Constant
from harness.scenario.loads import Gamma as Gamma
from harness.scenario.loads import IdleBurstLoad as IdleBurstLoad
from harness.scenario.loads import IdleBurstStage as IdleBurstStage
from harness.scenario.loads import Load as Load
from harness.scenario.loads import OpenLoad as OpenLoad
from harness.scenario.loads import OpenStage as OpenStage
from harness.scenario.loads import Poisson as Poisson
from harness.scenario.loads import ProbeLoad as ProbeLoad
from harness.scenario.loads import ProbeStage as ProbeStage
from harness.scenario.loads import Ramp as Ramp
from harness.scenario.loads import Stage as Stage
from harness.scenario.loads import StagedLoad as StagedLoad
from harness.scenario.loads import TraceArrival as TraceArrival
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
from harness.scenario.targets import CalibratedTokens as CalibratedTokens
from harness.scenario.targets import EnvValue as EnvValue
from harness.scenario.targets import EstimatedTokens as EstimatedTokens
from harness.scenario.targets import OpenAITarget as OpenAITarget
from harness.scenario.targets import ReferenceTarget as ReferenceTarget
from harness.scenario.targets import ScriptedTarget as ScriptedTarget
from harness.scenario.targets import Target as Target
from harness.scenario.targets import Timeouts as Timeouts
from harness.scenario.targets import TokenizerTokens as TokenizerTokens
from harness.scenario.targets import Tokens as Tokens
from harness.scenario.telemetry import Prometheus as Prometheus
from harness.scenario.telemetry import Telemetry as Telemetry
from harness.scenario.workloads import AudioWorkload as AudioWorkload
from harness.scenario.workloads import ChatWorkload as ChatWorkload
from harness.scenario.workloads import Columns as Columns
from harness.scenario.workloads import DatasetWorkload as DatasetWorkload
from harness.scenario.workloads import EmbeddingsWorkload as EmbeddingsWorkload
from harness.scenario.workloads import Endpoint as Endpoint
from harness.scenario.workloads import ExpectedCall as ExpectedCall
from harness.scenario.workloads import JsonSchemaWorkload as JsonSchemaWorkload
from harness.scenario.workloads import Name as Name
from harness.scenario.workloads import Prefix as Prefix
from harness.scenario.workloads import Sampling as Sampling
from harness.scenario.workloads import TaskWorkload as TaskWorkload
from harness.scenario.workloads import ToolsWorkload as ToolsWorkload
from harness.scenario.workloads import TraceFormat as TraceFormat
from harness.scenario.workloads import TraceWorkload as TraceWorkload
from harness.scenario.workloads import TrafficClass as TrafficClass
from harness.scenario.workloads import WholeWorkload as WholeWorkload
from harness.scenario.workloads import Workload as Workload
from harness.units import Seconds, Share


class SendLagLimit(Document):
    p99: Seconds = Field(default=0.010, description="Above: invalid.")


class ReceiveLagLimit(Document):
    p99: Seconds = Field(default=0.050, description="Above: invalid.")


class Validity(Document):
    min_requests: int = Field(default=1, ge=1, description="Measured requests a point needs.")
    min_duration: Seconds = Field(default=0.0, description="Shortest window accepted.")
    max_send_lag: SendLagLimit = Field(default_factory=SendLagLimit, description="Schedule lag.")
    max_receive_lag: ReceiveLagLimit = Field(
        default_factory=ReceiveLagLimit, description="Reads after the kernel's stamp."
    )
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
