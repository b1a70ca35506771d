"""Estimate, the only way a statistic travels, and Verdict, the only way a judgement does.

A number without its interval, its sample size and its method cannot be built here on purpose: the
reader of a report must always be able to ask "how sure, from how many, how".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its interval.

    metric: an id of docs/method.md's glossary (`ttft`).  stat: `p50` .. `p99.9`, `mean`, `ratio`,
    `rate`, `max`.  unit: `s`, `tok/s`, `req/s`, `ratio`, `s/tok`, `tok`.
    value: None when withheld (then `reason` says why), math.inf when the quantile falls among
    failures ("not reached").  low, high: the two-sided interval at `level`, None where none exists.
    n: sample size in the units of the population; n_eff: after autocorrelation.
    scope: `all` or the name of a traffic class.  population: `success` (answers that succeeded) or
    `valid` (all but cancelled and client faults, failures = infinity).
    """

    metric: str
    stat: str
    unit: str
    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    n_eff: float = 0.0
    method: str = ""
    reason: str = ""
    scope: str = "all"
    population: str = "success"

    @property
    def is_absent(self) -> bool:
        return self.value is None

    @property
    def is_reached(self) -> bool:
        """False where the quantile falls among failures."""
        return self.value is not None and math.isfinite(self.value)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; infinity is written "inf", since JSON has none."""
        return dict(to_plain(asdict(self)))

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Estimate:
        fields = dict(from_plain(row))
        return cls(**fields)


class Outcome(StrEnum):
    """What a judgement can say."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule judged: what was asked, what was seen, and why the answer is what it is.

    rule: stable id, also the HTML anchor and JUnit name (`slo-ttft-p95`).  limit: in the
    estimate's unit.  direction: `max` (observed must stay at or below) or `min`.
    bound: the one-sided 95 % bound the judgement used.  smallest_visible: the change (in the
    estimate's unit) this sample could have told apart, None where that makes no sense.
    """

    rule: str
    outcome: Outcome
    reason: str
    estimate: Estimate | None = None
    limit: float | None = None
    direction: str = "max"
    bound: float | None = None
    smallest_visible: float | None = None
    point: str = ""

    def to_json(self) -> dict[str, Any]:
        row = {k: to_plain(getattr(self, k)) for k in self.__slots__ if k != "estimate"}
        return {**row, "estimate": self.estimate.to_json() if self.estimate else None}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Verdict:
        fields = dict(from_plain(row))
        fields["outcome"] = Outcome(row["outcome"])
        fields["estimate"] = Estimate.from_json(row["estimate"]) if row.get("estimate") else None
        return cls(**fields)


# An invalid measurement proves no failure; a failure outranks an open question.
SEVERITY = (Outcome.INVALID, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)


def overall(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a whole from its parts; pass when there is nothing to judge."""
    return min(outcomes, key=SEVERITY.index, default=Outcome.PASS)


def to_plain(value: Any) -> Any:
    """What JSON can hold: tuples as lists, an Outcome as its word, infinities as "inf", "-inf"."""
    if isinstance(value, Outcome):
        return value.value
    if isinstance(value, dict):
        return {k: to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def from_plain(value: Any) -> Any:
    """The inverse, but for outcomes, which stay words; every list is a tuple."""
    if isinstance(value, dict):
        return {k: from_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(from_plain(v) for v in value)
    return _INFINITIES.get(value, value) if isinstance(value, str) else value
