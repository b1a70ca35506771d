"""What five servers call the same thing: one id, one unit, for each of their metric names.

A server that is not in the table keeps its rows in server.parquet under its own names; it only is
not compared. Names as of: vLLM 0.11 (older spellings behind them), SGLang 0.5, llama.cpp's server
of 2025 (the KV gauge left it that summer), Text Generation Inference 3, and the reference engine,
which speaks vLLM's names. Counters are listed with `_total`, as the parser gives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ServerMetric:
    """pick: how series that differ in labels (ranks, replicas, reasons) become one number."""

    title: str
    unit: str
    kind: Literal["gauge", "counter"]
    pick: Literal["sum", "max"] = "sum"


METRICS: dict[str, ServerMetric] = {
    "running": ServerMetric("requests running", "count", "gauge"),
    "waiting": ServerMetric("requests waiting", "count", "gauge"),
    "kv_usage": ServerMetric("KV cache in use", "ratio", "gauge", "max"),
    "requests_success": ServerMetric("requests finished", "count", "counter"),
    "output_tok": ServerMetric("output tokens", "tok", "counter"),
    "prompt_tok": ServerMetric("prompt tokens", "tok", "counter"),
    "prefix_hit_tok": ServerMetric("prompt tokens found in the cache", "tok", "counter"),
    "prefix_query_tok": ServerMetric("prompt tokens looked up", "tok", "counter"),
    "preemptions": ServerMetric("preemptions", "count", "counter"),
    "spec_accepted_tok": ServerMetric("draft tokens accepted", "tok", "counter"),
    "spec_draft_tok": ServerMetric("draft tokens proposed", "tok", "counter"),
    "spec_drafts": ServerMetric("verifications of drafts", "count", "counter"),
    "spec_speedup": ServerMetric("net speed-up by drafts, estimate", "ratio", "gauge", "max"),
    "spec_speedup_low": ServerMetric("lower end of its interval", "ratio", "gauge", "max"),
    "spec_speedup_high": ServerMetric("upper end of its interval", "ratio", "gauge", "max"),
    "spec_compared_s": ServerMetric("decoding it rests on", "s", "gauge"),
    "spec_compared_tok": ServerMetric("tokens of that", "tok", "gauge"),
    "spec_controls": ServerMetric("steps without drafts", "count", "gauge"),
    "spec_is_synthetic": ServerMetric("drafts accepted by a coin", "count", "gauge", "max"),
    "gpu_usage": ServerMetric("GPU busy", "ratio", "gauge", "max"),
    "gpu_memory_bytes": ServerMetric("GPU memory in use", "bytes", "gauge"),
    "gpu_power_w": ServerMetric("GPU power", "W", "gauge"),
    "gpu_energy_j": ServerMetric("GPU energy", "J", "counter"),
}

# server -> id -> its names, the newest first
_VLLM: dict[str, tuple[str, ...]] = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),  # 0-1 in spite of it
    "requests_success": ("vllm:request_success_total",),
    "output_tok": ("vllm:generation_tokens_total",),
    "prompt_tok": ("vllm:prompt_tokens_total",),
    "prefix_hit_tok": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    "prefix_query_tok": ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    "preemptions": ("vllm:num_preemptions_total",),
    "spec_accepted_tok": ("vllm:spec_decode_num_accepted_tokens_total",),
    "spec_draft_tok": ("vllm:spec_decode_num_draft_tokens_total",),
    "spec_drafts": ("vllm:spec_decode_num_drafts_total",),
    "spec_speedup": ("engine:spec_decode_net_speedup",),
    "spec_speedup_low": ("engine:spec_decode_net_speedup_low",),
    "spec_speedup_high": ("engine:spec_decode_net_speedup_high",),
    "spec_compared_s": ("engine:spec_decode_compared_seconds",),
    "spec_compared_tok": ("engine:spec_decode_compared_tokens",),
    "spec_controls": ("engine:spec_decode_control_steps",),
    "spec_is_synthetic": ("engine:synthetic_acceptance_active",),
}
# a counter a place behind the last known token, told apart by the label `position`
ACCEPTED_PER_POS = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "reference engine": _VLLM,
    "vllm": _VLLM,
    "sglang": {
        "running": ("sglang:num_running_reqs",),
        "waiting": ("sglang:num_queue_reqs",),
        "kv_usage": ("sglang:token_usage",),
        "requests_success": ("sglang:num_requests_total",),  # aborted ones among them
        "output_tok": ("sglang:generation_tokens_total",),
        "prompt_tok": ("sglang:prompt_tokens_total",),
        "prefix_hit_tok": ("sglang:cached_tokens_total",),
        "prefix_query_tok": ("sglang:prompt_tokens_total",),  # every prompt is looked up
        "preemptions": ("sglang:num_retracted_requests_total",),
        # speculation: gauges of the last interval only, so no count to compare
    },
    "llama.cpp": {
        "running": ("llamacpp:requests_processing",),
        "waiting": ("llamacpp:requests_deferred",),
        "kv_usage": ("llamacpp:kv_cache_usage_ratio",),
        "output_tok": ("llamacpp:tokens_predicted_total",),
        # prompt_tokens_total leaves out what the cache held, so it is no count of prompts;
        # requests, preemptions and speculation are not told
    },
    "tgi": {
        "running": ("tgi_batch_current_size",),
        "waiting": ("tgi_queue_size",),
        "requests_success": ("tgi_request_success_total",),
        "output_tok": ("tgi_request_generated_tokens_sum",),
        "prompt_tok": ("tgi_request_input_length_sum",),
        "spec_accepted_tok": ("tgi_request_skipped_tokens_sum",),
    },
    "scripted endpoint": {
        "running": ("scripted_requests_running",),
        "requests_success": ("scripted_requests_finished_total",),
        "output_tok": ("scripted_output_tokens_total",),
        "prompt_tok": ("scripted_prompt_tokens_total",),
    },
}
_GPU: dict[str, tuple[str, ...]] = {
    "gpu_usage": ("gpu_utilization_ratio",),
    "gpu_memory_bytes": ("gpu_memory_used_bytes",),
    "gpu_power_w": ("gpu_power_w",),
    "gpu_energy_j": ("gpu_energy_j_total",),
}
# how each is known, tried in this order; the reference engine speaks vLLM's names besides its own
_MARKS = (
    ("reference engine", "engine:"), ("vllm", "vllm:"), ("sglang", "sglang:"),
    ("llama.cpp", "llamacpp:"), ("tgi", "tgi_"), ("scripted endpoint", "scripted_"),
)  # fmt: skip
# finished otherwise than by an answer: no success
NOT_SUCCESS = ('finished_reason="abort"', 'finished_reason="error"')


def recognise(names: Iterable[str]) -> str:
    """The server whose metric names these are; empty where it is none we know."""
    prefixes = tuple(names)
    for server, mark in _MARKS:
        if any(name.startswith(mark) for name in prefixes):
            return server
    return ""


def names_of(server: str) -> dict[str, tuple[str, ...]]:
    """Id -> names to look for, the preferred first; those of the GPUs are always among them."""
    return {**_NAMES.get(server, {}), **_GPU}
