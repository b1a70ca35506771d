"""Numbers in words, once: every sentence of a verdict is built from these.

Rounds for people; the number itself stays in the Estimate. Decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.estimate import Estimate, Outcome
from harness.units import format_seconds, significant

_NAMES = {
    "ttft": "TTFT", "ttft_service": "TTFT from the actual send", "ttfv": "time to visible text",
    "tpot": "TPOT", "itl": "ITL", "icl": "inter-chunk latency", "e2e_latency": "E2E latency",
    "max_stall": "longest stall", "error_rate": "error rate", "throttle_rate": "throttle rate",
    "slo_attainment": "share of good requests", "goodput_req_per_s": "goodput",
    "output_tok_per_s": "system output", "request_per_s": "completed requests",
    "max_goodput": "sustained rate", "uptime": "uptime",
    "time_to_first_argument": "time to first argument byte",
    "time_to_tool_call": "time to a valid tool call", "tool_valid": "share of valid tool calls",
    "schema_valid": "share of schema-valid answers", "valid_tok_per_s": "valid output",
    "input_tok_per_s": "input", "vector_per_s": "vectors",
    "rtf": "real-time factor", "audio_min_per_s": "audio transcribed",
    "step_error": "error of held-out steps",
}  # fmt: skip
_QUANTILES = ("p50", "p90", "p95", "p99", "p99.9", "max")


def amount(value: float | None, unit: str) -> str:
    """`412 ms`, `0.8%`, `9.4 req/s`; "not reached" for infinity, "none" for None."""
    if value is None:
        return "none"
    if math.isinf(value):
        return "not reached"
    if unit in ("s", "s/tok"):
        return format_seconds(value)
    if unit == "ratio":
        return f"{_percent(value * 100)}%"
    return f"{significant(value)} {unit}"


def interval(low: float | None, high: float | None, unit: str) -> str:
    """`95% CI 380 to 450 ms`; says so where an end is missing or infinite."""
    if low is None and high is None:
        return "no 95% interval"
    return f"95% CI {between(amount(low, unit), amount(high, unit))}"


def between(low: str, high: str) -> str:
    """`380 to 450 ms`: two amounts, a unit that both have written once."""
    if low.endswith("%") and high.endswith("%"):
        return f"{low[:-1]} to {high}"
    number, _, unit = low.partition(" ")
    is_shared = unit and " " not in unit and high.count(" ") == 1 and high.endswith(f" {unit}")
    return f"{number if is_shared else low} to {high}"


def statistic(e: Estimate) -> str:
    """`TTFT p95`, `error rate`; with the class where it is one."""
    name = _NAMES.get(e.metric, e.metric)
    stat = f" {e.stat}" if e.stat in _QUANTILES else ""
    return f"{name}{stat}" + (f" of {e.scope}" if e.scope != "all" else "")


def percent_change(ratio: float | None) -> str:
    """A ratio - 1 with its sign: `+4.1%`, `-0.35%`; "not reached" for infinity."""
    if ratio is None:
        return "none"
    if math.isinf(ratio):
        return "not reached"
    percent = ratio * 100
    if abs(percent) < 0.005:
        return "0%"
    return f"{percent:+.{1 if abs(percent) >= 1 else 2}f}%"


def counted(number: int, noun: str) -> str:
    """`1 block`, `8 blocks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def capital(text: str) -> str:
    """With its first letter large and the rest as it is, which str.capitalize would change."""
    return text[:1].upper() + text[1:]


def tally(outcomes: Iterable[Outcome]) -> str:
    """`1 failed, 2 inconclusive of 5 rules.`; empty where none is either."""
    seen = list(outcomes)
    words = ((Outcome.FAIL, "failed"), (Outcome.INCONCLUSIVE, "inconclusive"))
    parts = [f"{seen.count(o)} {word}" for o, word in words if o in seen]
    return f"{', '.join(parts)} of {counted(len(seen), 'rule')}." if parts else ""


def metric_name(metric: str, stat: str = "") -> str:
    """`TTFT p95`, `goodput`."""
    return f"{_NAMES.get(metric, metric)}{f' {stat}' if stat in _QUANTILES else ''}"


def _percent(value: float) -> str:
    """Three digits, and never a rounding up to 100 or down to 0 that was not reached."""
    if 99 < value < 100:
        return f"{100 - float(f'{100 - value:.2g}'):.10g}"
    return f"{value:.3g}" if value < 999.5 else f"{float(f'{value:.3g}'):,.0f}"
