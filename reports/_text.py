"""Numbers as people read them: one place that turns an Estimate into words.

Times and shares are written by the wording of verdicts, so that a table never rounds a number
otherwise than the sentence above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.decisions import wording
from harness.estimate import Estimate
from harness.units import significant
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
    "vector_per_s": "vectors/s",
    "rtf": "real-time factor",
    "audio_min_per_s": "minutes of audio/s",
    "wasted_tok_per_s": "wasted tokens/s",
    "request_per_s": "requests/s completed",
    "goodput_req_per_s": "good requests/s",
    "slo_attainment": "share of good requests",
    "error_rate": "error rate",
    "throttle_rate": "throttle rate",
    "time_to_first_argument": "time to first argument byte",
    "time_to_tool_call": "time to a valid tool call",
    "tool_valid": "valid tool calls",
    "schema_valid": "schema-valid answers",
    "valid_tok_per_s": "valid tokens/s, system",
    "uptime": "uptime",
    "max_goodput": "sustained rate",
    "wire_overhead": "wire overhead",
    "send_lag": "send lag",
    "receive_lag": "receive lag",
    "step_error": "error of held-out steps",
}

# What a stranger cannot guess, in words that fit a note.
ABBREVIATIONS = {
    "ttft": "time to first token",
    "tpot": "time per output token after the first",
    "itl": "time between tokens",
    "e2e_latency": "time to the end of the answer",
}


def name_of(metric: str) -> str:
    return NAMES.get(metric, metric.replace("_", " "))


def amount(value: float | None, unit: str, digits: int = 3) -> str:
    """`0.182, s` -> `182 ms`; a ratio as a percentage; `not reached` for infinity."""
    if value is None:
        return "not reported"
    if unit in ("s", "s/tok", "ratio") or math.isinf(value):
        if unit == "s" and 0 < abs(value) < 1e-6:
            return f"{value * 1e9:.0f} ns"
        return wording.amount(value, unit)
    if unit in ("", "count"):
        if abs(value) < 1e-6:  # what a subtraction of floats leaves of nothing
            return "0"
        return f"{value:,.0f}" if float(value).is_integer() else significant(value, digits)
    return f"{significant(value, digits)} {unit}"


def plain_time(value_s: float) -> str:
    """`5 s`, not `5.00 s`, for a time that somebody chose."""
    return f"{value_s:g} s" if 1 <= abs(value_s) < 120 else wording.amount(value_s, "s")


def percent(ratio: float) -> str:
    """`10%`, `13.1%`, `99.95%`: three digits, and never a rounding to an end not reached."""
    return wording.amount(ratio, "ratio")


def span(estimate: Estimate) -> str:
    """`171 to 190 ms`; an open end as `at least`; nothing where neither end is a number."""
    low, high = (
        None if end is None or math.isinf(end) else end for end in (estimate.low, estimate.high)
    )
    if low is None and high is None:
        return ""
    if low is None or high is None:
        known, word = (high, "at most") if low is None else (low, "at least")
        return f"{word} {amount(known, estimate.unit)}"
    return wording.between(amount(low, estimate.unit), amount(high, estimate.unit))


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


def defined(metrics: Iterable[str]) -> str:
    """`TTFT: time to first token. TPOT: time per output token.`, for the abbreviations used."""
    known = (m for m in dict.fromkeys(metrics) if m in ABBREVIATIONS)
    return " ".join(f"{NAMES[m]}: {ABBREVIATIONS[m]}." for m in known)


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
