"""The SLO block: what a good request is, and the limits a run must keep.

A limit on a latency quantile is in seconds; on a share a ratio 0-1; on a rate a minimum.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.scenario.sla import Redundancy, Sla
from harness.units import ReqPerS, Seconds, Share


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LatencyLimits(_Block):
    """Largest allowed quantiles over requests (chunk gaps for icl and itl)."""

    p50: Seconds | None = Field(default=None, description="Median at most this.")
    p90: Seconds | None = Field(default=None, description="90th percentile at most this.")
    p95: Seconds | None = Field(default=None, description="95th percentile at most this.")
    p99: Seconds | None = Field(default=None, description="99th percentile at most this.")
    max: Seconds | None = Field(default=None, description="No observation above this.")


class RtfLimits(_Block):
    """Largest allowed quantiles of the real-time factor: seconds of waiting a second of audio."""

    p50: float | None = Field(default=None, gt=0, description="Median at most this.")
    p90: float | None = Field(default=None, gt=0, description="90th percentile at most this.")
    p95: float | None = Field(default=None, gt=0, description="95th percentile at most this.")
    p99: float | None = Field(default=None, gt=0, description="99th percentile at most this.")
    max: float | None = Field(default=None, gt=0, description="No observation above this.")


class GoodRequest(_Block):
    """A request is good when it succeeded and kept every limit it can have."""

    ttft: Seconds | None = Field(default=None, description="Intended send to first token.")
    ttfv: Seconds | None = Field(default=None, description="Intended send to first visible text.")
    tpot: Seconds | None = Field(default=None, description="Mean time per output token after it.")
    e2e_latency: Seconds | None = Field(default=None, description="Intended send to the end.")
    max_stall: Seconds | None = Field(default=None, description="Longest gap between chunks.")
    time_to_first_argument: Seconds | None = Field(
        default=None, description="Intended send to the first byte of a call's arguments."
    )
    time_to_tool_call: Seconds | None = Field(
        default=None, description="Intended send to the first complete and valid call."
    )


class ShareLimit(_Block):
    max: Share = Field(description="At most this share.")


class LeastShare(_Block):
    min: Share = Field(description="At least this share.")


class TokenRateLimit(_Block):
    min: float = Field(gt=0, description="At least this many tokens/s.")


class VectorRateLimit(_Block):
    min: float = Field(gt=0, description="At least this many vectors/s.")


class AudioRateLimit(_Block):
    min: float = Field(gt=0, description="At least this many minutes of audio a second.")


class RequestRateLimit(_Block):
    min: ReqPerS = Field(description="At least this many requests/s.")


class UptimeLimit(_Block):
    """A window is up when its error rate is at most 1 - good; uptime is the share that is up."""

    window: Seconds = Field(default=300.0, description="Length of one window.")
    good: Share = Field(default=0.95, description="Least share of good answers in an up window.")
    objective: Share = Field(description="Least share of up windows.")
    throttled: Literal["apart", "bad"] = Field(
        default="apart", description="Whether a 429 speaks against the target: bad, or not."
    )
    sla: Sla | str | None = Field(
        default=None, description="File of a service level agreement; its credits are worked out."
    )
    redundancy: Redundancy | None = Field(
        default=None, description="What spare replicas or regions would buy."
    )


class Slo(_Block):
    good_request: GoodRequest | None = Field(
        default=None, description="None: the highest-percentile limit of each metric."
    )
    attainment: Share | None = Field(default=None, description="Least share of good requests.")
    ttft: LatencyLimits | None = Field(default=None, description="Time to first token.")
    ttfv: LatencyLimits | None = Field(default=None, description="Time to first visible text.")
    tpot: LatencyLimits | None = Field(default=None, description="Time per output token.")
    itl: LatencyLimits | None = Field(default=None, description="Inter-token latency.")
    icl: LatencyLimits | None = Field(default=None, description="Inter-chunk latency.")
    e2e_latency: LatencyLimits | None = Field(default=None, description="Whole answer.")
    max_stall: LatencyLimits | None = Field(default=None, description="Longest gap of a request.")
    time_to_first_argument: LatencyLimits | None = Field(
        default=None, description="First byte of a call's arguments."
    )
    time_to_tool_call: LatencyLimits | None = Field(
        default=None, description="First complete and valid call."
    )
    tool_valid: LeastShare | None = Field(default=None, description="Answers with valid calls.")
    schema_valid: LeastShare | None = Field(default=None, description="Answers with the schema.")
    rtf: RtfLimits | None = Field(default=None, description="Waiting a second of audio.")
    error_rate: ShareLimit | None = Field(default=None, description="Failures over valid.")
    throttle_rate: ShareLimit | None = Field(default=None, description="429 over valid.")
    uptime: UptimeLimit | None = Field(default=None, description="Availability by windows.")
    output_tok_per_s: TokenRateLimit | None = Field(default=None, description="System output.")
    valid_tok_per_s: TokenRateLimit | None = Field(
        default=None, description="Output tokens of fit answers."
    )
    input_tok_per_s: TokenRateLimit | None = Field(default=None, description="Prompts answered.")
    vector_per_s: VectorRateLimit | None = Field(default=None, description="Embeddings.")
    audio_min_per_s: AudioRateLimit | None = Field(
        default=None, description="Minutes of audio transcribed a second."
    )
    goodput_req_per_s: RequestRateLimit | None = Field(default=None, description="Good requests.")
    request_per_s: RequestRateLimit | None = Field(default=None, description="Completed requests.")
