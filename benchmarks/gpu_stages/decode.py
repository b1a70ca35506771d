"""Decode tokens/s by batch and context, as a share of the roofline; idle share; kernel table.

step >= max((weights + batch * context * kv) / bandwidth, flops / matmul rate), both rates measured
on this card by the stage `ceilings`. idle_ratio: the share of the time in which no step's graph
runs, by the device's own clock; between_kernels_ratio: in which no kernel does, which counts the
gaps inside a graph too, as the profiler stretches them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.gpu_stages import engines
from benchmarks.gpu_stages.base import Context
from engine_under_test.core import EngineCore
from engine_under_test.request import SamplingParams

WARM = 16  # steps: the clock has risen, the graph is captured
FOREVER = SamplingParams(max_tokens=100_000, temperature=1.0, seed=1, ignore_eos=True)


def run(ctx: Context, shape: str, quantization: str, which: str) -> None:
    """which: "bars", those of one context and the kernel table; "rest", the others; "all"."""
    main = ctx.main_context
    points = [
        (b, c)
        for c in ctx.sizes.contexts
        for b in ctx.sizes.batches
        if which == "all" or (c == main) == (which == "bars")
    ]
    points.sort(key=lambda p: (p[1] != main, p[0] not in (1, 32, 128), p[1], p[0]))
    points.sort(key=lambda p: ctx.has_failed(_key(*p)))
    if not any(ctx.is_due(_key(*p), 8) for p in points) and which == "rest":
        return
    make = partial(engines.make, ctx, shape, quantization=quantization or None)
    core = make()
    for batch, context in points:
        if not ctx.is_due(_key(batch, context), 4):
            continue
        what = {"batch": batch, "context": context}
        if lacking := engines.lacking(core, batch, context, WARM + ctx.sizes.steps):
            ctx.put(_key(batch, context), **what, skipped=lacking)
        elif not ctx.attempt(
            _key(batch, context), partial(_measure, ctx, core, batch, context), **what
        ):
            del core  # nobody knows in what state it is
            core = make()
    for batch in (1, 32) if not ctx.is_toy else ctx.sizes.batches:
        key = f"profile B={batch}"
        if which == "rest" or not ctx.is_due(key, 12) or engines.lacking(core, batch, main, 40):
            continue
        # Without its profiler a machine still measures everything else.
        if not ctx.attempt(
            key, partial(_profile, ctx, core, batch, main), batch=batch, context=main
        ):
            return


def _key(batch: int, context: int) -> str:
    return f"B={batch} C={context}"


def roofline_s(ctx: Context, core: EngineCore, batch: int, context: float) -> float | None:
    """The least a step can take here; None before the ceilings were measured."""
    bandwidth, rate = ctx.ceiling("copy_bytes_per_s"), ctx.ceiling("matmul_flop_per_s")
    if bandwidth is None or rate is None:
        return None
    costs = core.model_config.costs(core.dtype_name, core.config.quantization)
    moved = costs.streamed_bytes + batch * context * costs.kv_bytes_per_token
    return max(moved / bandwidth, batch * costs.flops_per_token / rate)


def _measure(ctx: Context, core: EngineCore, batch: int, context: int) -> dict[str, Any]:
    """Over a window in which contexts grow by its steps: the roofline is that of its middle."""
    warm, steps = 4 if ctx.is_toy else WARM, ctx.sizes.steps
    requests = engines.as_if_prefilled(core, batch, context, FOREVER)
    engines.decode_s(ctx, core, 0, warm)
    with engines.StepClock(ctx) as clock:
        seconds, tokens = engines.decode_s(ctx, core, 0, steps)
    engines.stop(core, requests)
    step_s = seconds / steps
    floor_s = roofline_s(ctx, core, batch, context + warm + steps / 2)
    return {
        "tok_per_s": tokens / seconds, "step_ms": step_s * 1e3,
        "step_p10_ms": clock.step_ms(0.1), "step_p90_ms": clock.step_ms(0.9),
        "roofline_ratio": floor_s / step_s if floor_s is not None else None,
        "roofline_step_ms": floor_s * 1e3 if floor_s is not None else None,
        "idle_ratio": clock.idle_ratio(),
    }  # fmt: skip


def _profile(ctx: Context, core: EngineCore, batch: int, context: int) -> dict[str, Any]:
    """Where the device's time goes over steady steps."""
    is_gpu = ctx.device.type == "cuda"
    kind = torch.profiler.ProfilerActivity
    requests = engines.as_if_prefilled(core, batch, context, FOREVER)
    engines.decode_s(ctx, core, 4, 4)
    with torch.profiler.profile(activities=[kind.CUDA if is_gpu else kind.CPU]) as profile:
        engines.decode_s(ctx, core, 0, ctx.sizes.steps // 2 + 1)
    engines.stop(core, requests)
    wanted = torch.autograd.DeviceType.CUDA if is_gpu else torch.autograd.DeviceType.CPU
    spans = sorted(
        (e.time_range.start, e.time_range.end, e.name)
        for e in profile.events()
        if e.device_type == wanted
    )
    busy_us, end_us, by_name = 0.0, 0.0, dict[str, list[float]]()
    for start, end, name in spans:
        busy_us += max(0.0, end - max(start, end_us))
        end_us = max(end_us, end)
        by_name.setdefault(name, []).append(end - start)
    total_us = sum(sum(times) for times in by_name.values()) or 1.0
    table = [
        {"kernel": name[:80], "calls": len(t), "us": sum(t), "share": sum(t) / total_us}
        for name, t in sorted(by_name.items(), key=lambda item: -sum(item[1]))[:15]
    ]
    span_us = end_us - spans[0][0] if spans else 0.0
    ratio = 1 - busy_us / span_us if span_us else None
    return {"between_kernels_ratio": ratio, "kernels": table}
