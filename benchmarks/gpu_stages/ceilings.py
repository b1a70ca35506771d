"""The two ceilings of this card, measured: bytes copied and bf16 products, each a second."""

from __future__ import annotations

import torch

from benchmarks.gpu_stages.base import Context


def run(ctx: Context) -> None:
    repeats = 3 if ctx.is_toy else 20
    if ctx.is_due("copy_bytes_per_s"):
        source = torch.empty(ctx.sizes.copy_bytes, dtype=torch.uint8, device=ctx.device)
        target = torch.empty_like(source)
        seconds = ctx.seconds(lambda: target.copy_(source), repeats)
        rate = 2 * ctx.sizes.copy_bytes / seconds
        ctx.put("copy_bytes_per_s", value=rate, moved="bytes read and written")
        del source, target
    if ctx.is_due("matmul_flop_per_s"):
        n, dtype = ctx.sizes.matmul, torch.float32 if ctx.is_toy else torch.bfloat16
        a = torch.randn(n, n, device=ctx.device, dtype=dtype)
        b = torch.randn(n, n, device=ctx.device, dtype=dtype)
        seconds = ctx.seconds(lambda: a @ b, repeats)
        ctx.put("matmul_flop_per_s", value=2 * n**3 / seconds, size=n, dtype=str(dtype))
    if ctx.is_due("launch_us"):
        x = torch.zeros(1, device=ctx.device)
        ctx.put("launch_us", value=ctx.seconds(lambda: x.add_(1), 200) * 1e6)
