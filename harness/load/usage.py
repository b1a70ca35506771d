"""What a server says about its token counts, once its quirks are read.

Servers differ: reasoning inside or outside the completion count, cached tokens under several names
and outside the prompt count, rejected predictions inside it, a zero or the asked length where
nothing was counted. A count that cannot be true is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_TOK = 2**31 - 1  # more is no count, and no column holds it


@dataclass(frozen=True, slots=True)
class Usage:
    """None where the server did not say. n_out holds reasoning and visible tokens alike."""

    n_in: int | None
    n_out: int | None
    n_reasoning: int | None
    cached_tok: int | None


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """The counts of one usage object; fields of other types are ignored."""
    given = _count(raw, "completion_tokens")
    n_out = _count(raw, "output_tokens") if given is None else given
    given = _count(raw, "prompt_tokens")
    n_in = _count(raw, "input_tokens") if given is None else given
    total = _count(raw, "total_tokens")
    out_details = _part(raw, "completion_tokens_details", "output_tokens_details")
    in_details = _part(raw, "prompt_tokens_details", "input_tokens_details")
    given = _count(out_details, "reasoning_tokens")
    reasoning = _count(raw, "reasoning_tokens") if given is None else given
    rejected = _count(out_details, "rejected_prediction_tokens") or 0
    cached = _first(
        _count(in_details, "cached_tokens"),
        _count(raw, "cached_tokens"),
        _count(raw, "prompt_cache_hit_tokens"),
        _count(raw, "cache_read_input_tokens"),
    )
    if n_in is not None and n_out is not None and total is not None:
        missing = total - n_in - n_out
        if missing > 0 and missing == reasoning:
            n_out += missing  # reasoning was counted apart
        elif missing > 0 and missing == cached:
            n_in += missing  # the cached part was left out of the prompt
    elif cached and "cache_read_input_tokens" in raw and n_in is not None:
        n_in += cached
    if n_out is not None:
        n_out = max(0, n_out - rejected)
    return Usage(n_in, n_out, reasoning, cached)


def is_believable(
    usage: Usage, num_text_bytes: int, asked_out: int, finish: str, *, has_hidden: bool
) -> bool:
    """False for a zero with text, and for an echo of the asked length.

    An echo: the answer ended by itself at exactly the limit, with less text than one byte a token.
    has_hidden: reasoning text came, or the server counts reasoning that it does not show.
    """
    if usage.n_out is None:
        return False
    if usage.n_out == 0:
        return num_text_bytes == 0
    is_echo = usage.n_out == asked_out and finish == "stop" and num_text_bytes < usage.n_out
    return has_hidden or not is_echo


def _count(raw: Mapping[str, Any], name: str) -> int | None:
    value = raw.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value <= MOST_TOK else None  # type: ignore


def _part(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((raw[name] for name in names if isinstance(raw.get(name), Mapping)), {})


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
