"""What servers tell of a request: one name a thing, raw beside it, numbers only, bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.load.server_timings import MAX_JSON, server_timings


def read(
    headers: dict[str, str] | None = None,
    timings: dict[str, Any] | None = None,
    perf_metrics: dict[str, Any] | None = None,
) -> dict[str, Any]:
    text = server_timings(headers or {}, timings, perf_metrics)
    assert text is not None
    return dict(json.loads(text))


def test_nothing_told_is_no_column() -> None:
    assert server_timings({"content-type": "text/event-stream", "date": "today"}) is None
    assert server_timings({}, {}, {}) is None


def test_the_reference_engine_speaks_the_canonical_names() -> None:
    told = {"queue_ms": 2.0, "prefill_ms": 10.5, "decode_ms": 40.0, "frontend_ms": 0.5,
            "cached_tokens": 3, "accepted_per_pos": [3, 1], "first_ns": 123,
            "replica": "a"}  # fmt: skip
    found = read(timings=told)
    assert found["server_ttft_ms"] == pytest.approx(13.0)  # 0.5 + 2 + 10.5
    assert (found["queue_ms"], found["cached_tokens"]) == (2.0, 3)
    assert "first_ns" not in found  # a stamp of another clock
    assert found["raw"]["first_ns"] == 123
    assert found["raw"]["accepted_per_pos"] == [3, 1]
    assert "replica" not in found["raw"]


def test_llama_cpp_has_no_queue_so_no_server_ttft() -> None:
    told = {"prompt_n": 26, "prompt_ms": 135.5, "predicted_n": 5, "predicted_ms": 90.0,
            "predicted_per_second": 55.5, "cache_n": 12}  # fmt: skip
    found = read(timings=told)
    assert found["prefill_ms"] == 135.5
    assert found["decode_ms"] == 90.0
    assert found["output_tokens"] == 5
    assert found["cached_tokens"] == 12
    assert "server_ttft_ms" not in found
    assert found["raw"]["predicted_per_second"] == 55.5


def test_fireworks_headers_and_perf_metrics_are_one() -> None:
    headers = {
        "fireworks-server-time-to-first-token": "0.25", "fireworks-prompt-tokens": "24",
        "fireworks-deployment": "accounts/acme/deployments/d1", "fireworks-backend-host": "h-12",
        "fireworks-sampling-options": '{"temperature": 1.0}',
    }  # fmt: skip
    perf = {"server-processing-time": "1.25", "prefill-queue-duration": 0.01,
            "fireworks-prefill-duration": 0.2, "speculation-acceptance": "",
            "deployment": "acme"}  # fmt: skip
    found = read(headers, perf_metrics=perf)
    assert found["server_ttft_ms"] == 250
    assert found["server_total_ms"] == 1250
    assert found["queue_ms"] == 10
    assert found["prefill_ms"] == 200
    assert found["prompt_tokens"] == 24
    assert "acme" not in json.dumps(found)
    assert "h-12" not in json.dumps(found)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("x-ratelimit-remaining-requests", "ratelimit_remaining_requests"),
        ("x-ratelimit-limit-requests", "ratelimit_limit_requests"),
        ("x-ratelimit-remaining-tokens", "ratelimit_remaining_tokens"),
        ("x-ratelimit-remaining-tokens-prompt", "ratelimit_remaining_tokens_prompt"),
        ("x-ratelimit-remaining", "ratelimit_remaining_requests"),
        ("ratelimit-remaining", "ratelimit_remaining_requests"),
        ("anthropic-ratelimit-tokens-remaining", "ratelimit_remaining_tokens"),
    ],
)
def test_rate_limits_of_every_spelling(name: str, key: str) -> None:
    found = read({name: "59"})
    assert found[key] == 59
    assert found["raw"] == {name: "59"}


def test_resets_stay_raw() -> None:
    headers = {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset": "2026-11-24T03:00:00Z"}
    assert read(headers) == {"raw": headers}


def test_a_text_in_a_limit_header_is_not_kept() -> None:
    assert (
        server_timings({"x-ratelimit-key": "sk-secret", "x-ratelimit-policy": "org_1;w=60"}) is None
    )


def test_server_timing_durations() -> None:
    found = read({"server-timing": 'cache;desc="hit", db;dur=53.2, total;dur=120;desc="all of it"'})
    assert found["server_total_ms"] == 120
    assert found["raw"] == {"server-timing.db": 53.2, "server-timing.total": 120}


def test_openai_processing_time() -> None:
    assert read({"openai-processing-ms": "412"})["server_total_ms"] == 412
    assert server_timings({"openai-processing-ms": "soon"}) is None


def test_the_column_is_bounded() -> None:
    told = {f"very_long_name_of_a_time_{k}": k * 1.5 for k in range(5000)}
    text = server_timings({}, told)
    assert text is not None
    assert len(text) <= MAX_JSON
    json.loads(text)


@pytest.mark.parametrize("value", [True, None, "x", float("nan"), float("inf"), {"a": 1}, [1, "a"]])
def test_what_is_no_number_is_left_out(value: Any) -> None:
    assert server_timings({}, {"queue_ms": value}) is None
