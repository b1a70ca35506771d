"""Numbers as people read them: one place that turns an Estimate into words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.estimate import Estimate
from harness.units import format_seconds, significant
from reports.view import Cell

NAMES = {
    "ttft": "TTFT",
    "ttft_service": "TTFT, from actual send",
    "ttfv": "time to first visible text",
    "tpot": "TPOT",
    "itl": "ITL",
    "icl": "inter-chunk latency",
    "max_stall": "longest stall",
    "e2e_latency": "E2E latency",
    "e2e_latency_service": "E2E latency, from actual send",
    "output_tok_per_s": "output tokens/s, system",
    "output_tok_per_s_per_user": "output tokens/s per user",
    "input_tok_per_s": "input tokens/s, system",
    "wasted_tok_per_s": "wasted tokens/s",
    "request_per_s": "requests/s completed",
    "goodput_req_per_s": "good requests/s",
    "slo_attainment": "good requests, share",
    "error_rate": "error rate",
    "throttle_rate": "throttled, share",
    "uptime": "uptime",
    "wire_overhead": "wire overhead",
    "send_lag": "schedule lag",
    "receive_lag": "receive lag",
}


def name_of(metric: str) -> str:
    return NAMES.get(metric, metric.replace("_", " "))


def amount(value: float | None, unit: str, digits: int = 3) -> str:
    """`0.182, s` -> `182 ms`; a ratio as a percentage; `not reached` for infinity."""
    if value is None:
        return "not reported"
    if math.isinf(value):
        return "not reached"
    if unit == "s":
        return format_seconds(value, digits)
    if unit == "s/tok":
        return f"{format_seconds(value, digits)}/token"
    if unit == "ratio":
        return percent(value)
    if unit in ("", "count"):
        return f"{value:,.0f}" if float(value).is_integer() else significant(value, digits)
    return f"{significant(value, digits)} {unit}"


def percent(ratio: float) -> str:
    """Two decimals near the ends, where they matter, else one."""
    value = ratio * 100
    if value in (0, 100):
        return f"{value:.0f}%"
    return f"{value:.2f}%" if value < 1 or value > 99 else f"{value:.1f}%"


def span(estimate: Estimate) -> str:
    """`171 to 190 ms`, or why there is none."""
    low, high = estimate.low, estimate.high
    if low is None and high is None:
        return ""
    if low is None or high is None:
        known, word = (high, "at most") if low is None else (low, "at least")
        return f"{word} {amount(known, estimate.unit)}"
    low_text, high_text = amount(low, estimate.unit), amount(high, estimate.unit)
    unit = _shared_unit(low_text, high_text)
    return f"{low_text.removesuffix(unit).rstrip()} to {high_text}" if unit else (
        f"{low_text} to {high_text}"
    )  # fmt: skip


def _shared_unit(a: str, b: str) -> str:
    """The unit both texts end in, so that it is printed once."""
    unit_a, unit_b = a.rpartition(" ")[2], b.rpartition(" ")[2]
    return unit_a if unit_a == unit_b and " " in a and " " in b else ""


def estimate_cell(estimate: Estimate | None) -> Cell:
    """The point value, or why it is withheld."""
    if estimate is None:
        return Cell("")
    if estimate.is_absent:
        return Cell("not reported", title=estimate.reason)
    value = estimate.value
    assert value is not None
    text = amount(value, estimate.unit)
    return Cell(text, value if math.isfinite(value) else None, title=estimate.reason)


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
