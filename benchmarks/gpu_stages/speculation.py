"""What drafts are worth at a given acceptance, by batch: each length against none, and adaptive.

Acceptance is a coin (see speculative/synthetic.py) and drafting costs nothing: the gain is the
verification's alone. Steps with drafts are not overlapped, as in serving.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.gpu_stages import engines
from benchmarks.gpu_stages.base import Context
from engine_under_test.core import EngineCore
from engine_under_test.request import SamplingParams
from engine_under_test.spec_config import SpecConfig

PARAMS = SamplingParams(max_tokens=100_000, temperature=0.0, ignore_eos=True, seed=1)
RATES = (0.6, 0.8)
WARM = 32  # steps


def run(ctx: Context, shape: str) -> None:
    arms: list[tuple[float, int | None]] = [(0.0, 0)]
    # What most would choose first; then the other lengths.
    lengths = sorted(ctx.sizes.spec_lengths, key=lambda k: k != 3)
    arms += [(rate, k) for k in (lengths[0], None, *lengths[1:]) for rate in RATES[::-1]]
    context = ctx.main_context
    for rate, k in arms:
        keys = {b: f"a={rate:g} k={'adaptive' if k is None else k} B={b}" for b in _batches(ctx)}
        if not any(ctx.is_due(key, 12) for key in keys.values()):
            continue
        spec = None
        if k != 0:
            spec = SpecConfig("ngram", num_drafts=k, synthetic_rates=(rate,))
        core = engines.make(ctx, shape, spec=spec)
        for batch, key in sorted(keys.items(), key=lambda item: ctx.has_failed(item[1])):
            if not ctx.is_due(key, 6):
                continue
            what = {"acceptance": rate, "k": "adaptive" if k is None else k, "batch": batch}
            if lacking := engines.lacking(core, batch, context, 8 * (ctx.sizes.steps + WARM)):
                ctx.put(key, **what, skipped=lacking)
            elif not ctx.attempt(key, partial(_measure, ctx, core, batch), **what):
                break  # this engine is spoilt; the other batches are tried by the next run
        del core


def _measure(ctx: Context, core: EngineCore, batch: int) -> dict[str, Any]:
    """Lengths that change meet every graph, and steps without one, before the clock runs."""
    requests = engines.as_if_prefilled(core, batch, ctx.main_context, PARAMS)
    steps = max(3, ctx.sizes.steps // 2)
    if not ctx.is_toy:
        core.capture_graphs(batch)
    seconds, tokens = engines.decode_s(ctx, core, 4 if ctx.is_toy else WARM, steps)
    engines.stop(core, requests)
    return {"tok_per_s": tokens / seconds, "tokens_a_step": tokens / steps / batch}


def _batches(ctx: Context) -> tuple[int, ...]:
    return ctx.sizes.spec_batches
