"""Prompts: TTFT and tokens/s by length, what chunks do to running streams, a prefix found again."""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import Any

from benchmarks.gpu_stages import engines
from benchmarks.gpu_stages.base import Context
from engine_under_test.core import EngineCore
from engine_under_test.request import Request, SamplingParams


def run(ctx: Context, shape: str) -> None:
    make = partial(engines.make, ctx, shape, max_num_seqs=_streams(ctx) + 1)
    core = make()
    points = [(f"S={n}", 10.0, partial(_prompt, n), {"prompt_tok": n}) for n in ctx.sizes.prompts]
    points += [
        (f"chunks of {n}", 15.0, partial(_itl, n), {"budget_tok": n}) for n in ctx.sizes.budgets
    ]
    for key, takes_s, measure, what in sorted(points, key=lambda p: ctx.has_failed(p[0])):
        if ctx.is_due(key, takes_s) and not ctx.attempt(key, partial(measure, ctx, core), **what):
            del core
            core = make()
    del core
    if ctx.is_due("prefix", 20):
        ctx.attempt("prefix", partial(_prefix, ctx, shape), prompt_tok=ctx.sizes.prompts[-2])


def _prompt(num_tokens: int, ctx: Context, core: EngineCore) -> dict[str, Any]:
    seconds = engines.median_ttft_s(core, num_tokens, 2 if ctx.is_toy else 4)
    rate = ctx.ceiling("matmul_flop_per_s")
    return {
        "ttft_ms": seconds * 1e3, "tok_per_s": num_tokens / seconds,
        "matmul_ratio": _flops(core, num_tokens) / seconds / rate if rate else None,
    }  # fmt: skip


def _prefix(ctx: Context, shape: str) -> dict[str, Any]:
    """Medians, without the first prompt: what it asks for first compiles, found again too."""
    core = engines.make(ctx, shape, enable_prefix_caching=True)
    cold_s, warm_s = [], []
    for i in range(2 if ctx.is_toy else 4):
        ids = engines.prompt(ctx.sizes.prompts[-2], seed=7 + i)
        cold_s.append(engines.ttft_s(core, ids, f"cold {i}"))
        warm_s.append(engines.ttft_s(core, ids, f"warm {i}"))
    return {"cold_ms": median(cold_s[1:]) * 1e3, "warm_ms": median(warm_s[1:]) * 1e3}


def _streams(ctx: Context) -> int:
    return 2 if ctx.is_toy else 32


def _flops(core: EngineCore, num_tokens: int) -> float:
    """Of one prompt: matrices for every token, lm_head for the last, attention's triangle."""
    c = core.model_config
    body = 2.0 * c.num_layers * c.layer_matrix_params * num_tokens
    head = 2.0 * c.vocab_size * c.hidden_size
    attention = 2.0 * num_tokens**2 * c.num_heads * c.head_dim * c.num_layers
    return body + head + attention


def _itl(budget: int, ctx: Context, core: EngineCore) -> dict[str, Any]:
    """Gaps of streams that decode while a long prompt arrives, in steps of at most budget."""
    batch, context = _streams(ctx), 8 if ctx.is_toy else 1024
    usual = core._scheduler._budget, core._scheduler._chunk_limit
    core._scheduler._budget = core._scheduler._chunk_limit = budget
    params = SamplingParams(max_tokens=100_000, temperature=0.0, ignore_eos=True)
    requests = engines.as_if_prefilled(core, batch, context, params)
    alone_s, _ = engines.decode_s(ctx, core, 4, 8)
    if not ctx.is_toy:
        _gaps(ctx, core, "unseen")  # libraries load what these sizes need
    gaps = _gaps(ctx, core, "seen")
    engines.stop(core, requests)
    core._scheduler._budget, core._scheduler._chunk_limit = usual
    return {
        "streams": batch, "prompt_tok": ctx.sizes.prompts[-2], "itl_alone_ms": alone_s / 8 * 1e3,
        "itl_median_ms": median(gaps) * 1e3, "itl_max_ms": max(gaps) * 1e3,
        "ttft_ms": sum(gaps) * 1e3,
    }  # fmt: skip


def _gaps(ctx: Context, core: EngineCore, name: str) -> list[float]:
    """Seconds of each step from the arrival of a long prompt to its token."""
    last = SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True)
    core.add(Request(name, engines.prompt(ctx.sizes.prompts[-2], seed=9), last))
    is_done, before_s, gaps = False, time.perf_counter(), list[float]()
    while not is_done and ctx.left_s > 0:
        outputs = core.step()
        now_s = time.perf_counter()
        gaps.append(now_s - before_s)
        before_s = now_s
        is_done = any(o.request_id == name and o.finish_reason is not None for o in outputs)
    return gaps
