"""What a server tells of one request beside its tokens: its own times, what is left of a limit.

Sources: a `timings` object (the reference engine's, llama.cpp's), Fireworks' `perf_metrics` object
and `fireworks-*` headers, `server-timing` (W3C), `openai-processing-ms`, rate-limit headers of
either spelling. What they share gets one name and one unit; the rest is kept raw. Only numbers,
durations and dates are kept, never a text, so no key, account or deployment can enter a record;
the size is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

MAX_JSON = 4_096  # characters of the column
MAX_RAW = 48  # entries looked at, of each source
MAX_NAME = 60
MOST = 1e18  # of any number
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_LIMIT_VALUE = re.compile(
    r"([0-9]+(\.[0-9]+)?(ms|s|m|h|d)?){1,4}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)"
)
_LIMIT = re.compile(r"(?:[a-z]+-)?ratelimit-[a-z0-9-]{1,60}")
# what `x-ratelimit-remaining-requests` and its cousins speak of
_LEFT = re.compile(
    r"(?:[a-z]+-)?ratelimit-(?:(remaining|limit)(?:-([a-z-]+))?|([a-z-]+)-(remaining|limit))"
)
_METRIC = re.compile(r"([A-Za-z0-9_.-]{1,40})((?:;[^,]*)?)")
_DURATION = re.compile(r";\s*dur=\"?([0-9]{1,9}(?:\.[0-9]{1,9})?)\"?")

# canonical name <- name there, factor to its unit
_LLAMA_CPP = {
    "prompt_ms": ("prefill_ms", 1), "predicted_ms": ("decode_ms", 1),
    "predicted_n": ("output_tokens", 1), "cache_n": ("cached_tokens", 1),
    "draft_n": ("drafted_tokens", 1), "draft_n_accepted": ("accepted_tokens", 1),
}  # fmt: skip
# seconds, as in the answers its documentation prints
_FIREWORKS = {
    "server-time-to-first-token": ("server_ttft_ms", 1e3),
    "server-processing-time": ("server_total_ms", 1e3),
    "prefill-queue-duration": ("queue_ms", 1e3), "prefill-duration": ("prefill_ms", 1e3),
    "generation-duration": ("decode_ms", 1e3), "prompt-tokens": ("prompt_tokens", 1),
    "cached-prompt-tokens": ("cached_tokens", 1),
    "speculation-generated-tokens": ("drafted_tokens", 1),
}  # fmt: skip


def server_timings(
    headers: Mapping[str, str],
    timings: Mapping[str, Any] | None = None,
    perf_metrics: Mapping[str, Any] | None = None,
) -> str | None:
    """The column `timings`: canonical keys, and `raw` with what was told under another name; None
    for nothing.

    headers: lower-case names.  Canonical: frontend_ms queue_ms prefill_ms decode_ms server_ttft_ms
    server_total_ms prompt_tokens output_tokens cached_tokens drafted_tokens accepted_tokens
    ratelimit_{remaining,limit}_{requests,tokens,...}.
    """
    found: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    if timings:
        _take_timings(timings, found, raw)
    if perf_metrics:
        _take_fireworks(perf_metrics, found, raw)
    for name, value in headers.items():
        if name.startswith("fireworks-"):
            _take_fireworks({name: value}, found, raw)
        elif "ratelimit-" in name:
            _take_limit(name, value, found, raw)
        elif name == "server-timing":
            _take_server_timing(value, found, raw)
        elif name == "openai-processing-ms" and _NUMBER.fullmatch(value):
            found.setdefault("server_total_ms", float(value))
            raw[name] = float(value)
    if not found and not raw:
        return None
    parts = [found.get(name) for name in ("queue_ms", "prefill_ms")]
    if "server_ttft_ms" not in found and None not in parts and "frontend_ms" in found:
        found["server_ttft_ms"] = sum(parts, found["frontend_ms"])  # type: ignore[arg-type]
    return _bounded(found, raw)


def _take_timings(timings: Mapping[str, Any], found: dict[str, Any], raw: dict[str, Any]) -> None:
    """The reference engine's names are the canonical ones; llama.cpp's are translated."""
    names = _LLAMA_CPP if "predicted_ms" in timings else {}
    for name, value in _first(timings):
        if not _is_number(value):
            if isinstance(value, list) and all(map(_is_number, value)):
                raw[name] = value[:16]  # accepted drafts by position
            continue
        canonical, factor = names.get(name, ("" if names else name, 1))
        if canonical != name or name.endswith("_ns"):
            raw[name] = value
        # stamps of another machine's clock compare with nothing
        if canonical and not canonical.endswith("_ns"):
            found.setdefault(canonical, value * factor)


def _take_fireworks(told: Mapping[str, Any], found: dict[str, Any], raw: dict[str, Any]) -> None:
    for full_name, value in _first(told):
        name = full_name.lower().removeprefix("fireworks-")
        number = _number(value)
        if number is None:
            continue  # a host, a deployment, sampling options: not a measurement
        raw[name] = number
        if name in _FIREWORKS:
            canonical, factor = _FIREWORKS[name]
            found.setdefault(canonical, number * factor)


def _take_limit(name: str, value: str, found: dict[str, Any], raw: dict[str, Any]) -> None:
    if not _LIMIT.fullmatch(name) or not _LIMIT_VALUE.fullmatch(value):
        return
    raw[name] = value
    match = _LEFT.fullmatch(name)
    number = _number(value)
    if match is None or number is None:
        return
    word, what = (match[1], match[2]) if match[1] else (match[4], match[3])
    found.setdefault(f"ratelimit_{word}_{(what or 'requests').replace('-', '_')}", number)


def _take_server_timing(value: str, found: dict[str, Any], raw: dict[str, Any]) -> None:
    """`db;dur=53.2, total;dur=120;desc="all"`: durations in ms by name."""
    for part in value.split(",")[:16]:
        match = _METRIC.fullmatch(part.strip())
        duration = _DURATION.search(match[2]) if match else None
        if match and duration:
            raw[f"server-timing.{match[1]}"] = float(duration[1])
            if match[1].lower() == "total":
                found.setdefault("server_total_ms", float(duration[1]))


def _bounded(found: dict[str, Any], raw: dict[str, Any]) -> str:
    """Canonical keys first; raw entries are left out from the end until it fits."""
    kept = dict(list(raw.items())[:MAX_RAW])
    text = json.dumps({**found, "raw": kept})
    while len(text) > MAX_JSON and kept:
        kept.popitem()
        text = json.dumps({**found, "raw": kept})
    return text if len(text) <= MAX_JSON else json.dumps(dict(list(found.items())[:MAX_RAW]))


def _number(value: Any) -> float | None:
    if _is_number(value):
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    return None


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -MOST <= value <= MOST  # no infinity, and none by a factor


def _first(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The first entries; no server can make us write more, or take longer."""
    entries = ((name, value) for name, value in told.items() if len(name) <= MAX_NAME)
    return islice(entries, MAX_RAW)
