"""The gate block: which arm is judged against what, in how many blocks, by which rules.

`slo` is what a good answer is; `gate` is what fails a change. A relative rule asks for a change
that is both material (beyond its limit) and significant; an absolute one holds the candidate alone
against a limit. Everything is declared before the run: rules are not chosen by what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from harness.scenario.distributions import Document
from harness.scenario.slo import (
    AudioRateLimit,
    LatencyLimits,
    RequestRateLimit,
    RtfLimits,
    ShareLimit,
    Slo,
    TokenRateLimit,
    VectorRateLimit,
)
from harness.units import Share, parse_rate, parse_seconds, parse_share

TIMES = ("ttft", "ttfv", "tpot", "e2e_latency", "max_stall")
FACTORS = ("rtf",)  # waiting over what was sent: a bare number
LATENCIES = (*TIMES, *FACTORS)  # have quantiles; lower is better
SHARES = ("error_rate", "throttle_rate")
# limited by a bare number, of a unit that the metric's name tells
_COUNTED: dict[str, tuple[type[BaseModel], str]] = {
    "output_tok_per_s": (TokenRateLimit, "tokens/s, such as 400"),
    "input_tok_per_s": (TokenRateLimit, "tokens/s, such as 4000"),
    "vector_per_s": (VectorRateLimit, "vectors/s, such as 50"),
    "audio_min_per_s": (AudioRateLimit, "minutes of audio a second, such as 0.5"),
}  # fmt: skip
RATES = (*_COUNTED, "goodput_req_per_s", "request_per_s")
HIGHER_IS_BETTER = (*RATES, "slo_attainment")
MOST_RELATIVE = 6
MOST_BLOCKS = 64

Metric = Literal[
    "ttft", "ttfv", "tpot", "e2e_latency", "max_stall", "error_rate", "throttle_rate",
    "slo_attainment", "output_tok_per_s", "input_tok_per_s", "vector_per_s", "audio_min_per_s",
    "rtf", "goodput_req_per_s", "request_per_s",
]  # fmt: skip
Stat = Literal["p50", "p90", "p95", "p99"]
Comparable = Literal["scenario", "model", "hardware", "client", "engine_flags", "realised_lengths"]
RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class TargetBaseline(Document):
    kind: Literal["target"]
    target: str = Field(description="A target of this scenario, measured block by block beside it.")


class StoredBaseline(Document):
    kind: Literal["stored"]
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="Saved by --save-baseline.")


class RunBaseline(Document):
    kind: Literal["run"]
    run: str = Field(min_length=1, description="An earlier run's directory.")


Baseline = Annotated[TargetBaseline | StoredBaseline | RunBaseline, Field(discriminator="kind")]


class SloRule(Document):
    kind: Literal["slo"]
    id: RuleName = Field(description="Stable; also the JUnit name and the anchor in the report.")
    stage: str | None = Field(default=None, description="Of a load in stages; None: the only one.")


class AbsoluteRule(Document):
    kind: Literal["absolute"]
    id: RuleName = Field(description="Stable; also the JUnit name and the anchor in the report.")
    metric: Metric = Field(description="Held over the candidate's runs, pooled.")
    stat: Stat | None = Field(default=None, description="Of a latency; a rate or share has none.")
    stage: str | None = Field(default=None, description="Of a load in stages; None: the only one.")
    max: str | int | float | None = Field(
        default=None, description="At most: 150ms, 1%, or 0.5 of rtf."
    )
    min: str | int | float | None = Field(
        default=None, description="At least: 8/s, or tokens, vectors or audio minutes a second."
    )


class RelativeRule(Document):
    kind: Literal["relative"]
    id: RuleName = Field(description="Stable; also the JUnit name and the anchor in the report.")
    metric: Metric = Field(description="One number a run; runs are paired by block.")
    stat: Stat | None = Field(default=None, description="Of a latency; a rate or share has none.")
    stage: str | None = Field(default=None, description="Of a load in stages; None: the only one.")
    max_increase: Share | None = Field(default=None, description="Where lower is better.")
    max_decrease: Share | None = Field(default=None, description="Where higher is better.")

    @property
    def limit_ratio(self) -> float:
        """The material change, as a ratio - 1 in the worse direction."""
        return self.max_increase if self.max_increase is not None else self.max_decrease or 0.0


Rule = Annotated[SloRule | AbsoluteRule | RelativeRule, Field(discriminator="kind")]


class Gate(Document):
    candidate: str = Field(description="The target that is judged.")
    baseline: Baseline = Field(description="What it is judged against.")
    blocks: int = Field(
        default=8, ge=1, le=MOST_BLOCKS, description="Valid blocks before the first look."
    )
    max_blocks: int | None = Field(
        default=None, ge=1, le=MOST_BLOCKS, description="None: blocks, one look at all of alpha."
    )
    alpha: float = Field(
        default=0.05, gt=0, le=0.2, description="Chance that a gate fails though nothing changed."
    )
    require_comparable: tuple[Comparable, ...] = Field(
        default=("scenario", "model", "hardware", "client", "realised_lengths"),
        description="What must agree between the arms.",
    )
    rules: tuple[Rule, ...] = Field(min_length=1, description="Declared before the run.")

    @property
    def most_blocks(self) -> int:
        return self.max_blocks or self.blocks

    @property
    def relative(self) -> tuple[RelativeRule, ...]:
        return tuple(r for r in self.rules if isinstance(r, RelativeRule))


def limit_of(rule: AbsoluteRule) -> float:
    """The limit in base units. Raises ValueError saying what to write instead."""
    given = rule.max if rule.max is not None else rule.min
    if rule.metric in TIMES:
        return parse_seconds(given)
    if rule.metric in FACTORS:
        return _bare(given, "of seconds of waiting a second of audio, such as 0.5")
    if rule.metric in SHARES or rule.metric == "slo_attainment":
        return parse_share(given)
    if rule.metric in _COUNTED:
        return _bare(given, f"of {_COUNTED[rule.metric][1]}")
    return parse_rate(given)


def _bare(given: str | int | float | None, what: str) -> float:
    if isinstance(given, str):
        raise ValueError(f"is a bare number {what}")
    if not (given or 0) > 0:
        raise ValueError(f"must be above 0; a number {what}")
    return float(given or 0.0)


def as_slo(rule: AbsoluteRule) -> Slo:
    """The same limit as an SLO block, so that one judge serves both."""
    limit = limit_of(rule)
    if rule.metric in LATENCIES:
        empty = RtfLimits() if rule.metric in FACTORS else LatencyLimits()
        limits = empty.model_copy(update={str(rule.stat): limit})
        return Slo().model_copy(update={rule.metric: limits})
    if rule.metric == "slo_attainment":
        return Slo().model_copy(update={"attainment": limit})
    if rule.metric in SHARES:
        return Slo().model_copy(update={rule.metric: ShareLimit.model_construct(max=limit)})
    kind = _COUNTED.get(rule.metric, (RequestRateLimit, ""))[0]
    return Slo().model_copy(update={rule.metric: kind.model_construct(min=limit)})


def rule_complaints(rule: AbsoluteRule | RelativeRule) -> Iterator[tuple[str, str]]:
    """What is wrong between a rule's own fields: (field, message)."""
    is_latency = rule.metric in LATENCIES
    if is_latency and rule.stat is None:
        yield "stat", "missing; a latency needs one of p50, p90, p95, p99"
    if not is_latency and rule.stat is not None:
        yield "stat", f"{rule.metric} has none; remove it"
    is_up = rule.metric in HIGHER_IS_BETTER
    names = ("min", "max") if isinstance(rule, AbsoluteRule) else ("max_decrease", "max_increase")
    right, wrong = names if is_up else names[::-1]
    better = "higher" if is_up else "lower"
    if getattr(rule, wrong) is not None:
        yield wrong, f"{rule.metric} is better when {better}; write {right}"
    elif getattr(rule, right) is None:
        yield right, "missing; say how far it may go"
    elif isinstance(rule, RelativeRule):
        if rule.metric in SHARES:
            yield "metric", f"{rule.metric} may be 0, which has no ratio; use kind: absolute"
        elif not 0 < rule.limit_ratio < 1:
            yield right, "must be above 0% and below 100%"
    else:
        try:
            limit_of(rule)
        except ValueError as error:
            yield right, str(error)
