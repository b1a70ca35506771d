"""The ceilings of this card, measured: bytes copied and bf16 products, each a second.

Those two are what every share refers to. Beside them, so that a share above 1 or a slow card can be
understood: bytes only read, products for two seconds on end, and clocks, power and heat meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks.gpu_stages import card
from benchmarks.gpu_stages.base import Context

ROUNDS = 5
WARM_S, SUSTAINED_S = 0.5, 2.0  # a card comes from rest to its clock, and then to its heat
QUEUED = 800  # products behind one another while its state is read: about a second


def run(ctx: Context) -> None:
    if ctx.is_due("copy_bytes_per_s"):
        ctx.attempt("copy_bytes_per_s", lambda: _copy(ctx), moved="bytes read and written")
    if ctx.is_due("matmul_flop_per_s"):
        ctx.attempt("matmul_flop_per_s", lambda: _product(ctx), size=ctx.sizes.matmul)
    if ctx.is_due("launch_us"):
        x = torch.zeros(1, device=ctx.device)
        ctx.put("launch_us", value=ctx.seconds(lambda: x.add_(1), 200) * 1e6)
    if ctx.is_due("read_bytes_per_s"):
        ctx.attempt("read_bytes_per_s", lambda: _read(ctx))
    if ctx.is_due("sustained_flop_per_s", 8):
        ctx.attempt("sustained_flop_per_s", lambda: _sustained(ctx), size=ctx.sizes.matmul)


def _copy(ctx: Context) -> dict[str, Any]:
    source = torch.empty(ctx.sizes.copy_bytes, dtype=torch.uint8, device=ctx.device).random_()
    target = torch.empty_like(source)
    return _rate(ctx, lambda: target.copy_(source), 2 * ctx.sizes.copy_bytes)


def _read(ctx: Context) -> dict[str, Any]:
    """What a decode step mostly does; far more than a cache holds."""
    source = torch.ones(ctx.sizes.copy_bytes // 4, device=ctx.device)
    return _rate(ctx, lambda: source.sum(), ctx.sizes.copy_bytes)


def _product(ctx: Context) -> dict[str, Any]:
    a, b = _factors(ctx)
    return _rate(ctx, lambda: a @ b, 2 * ctx.sizes.matmul**3) | {"dtype": str(a.dtype)}


def _sustained(ctx: Context) -> dict[str, Any]:
    a, b = _factors(ctx)
    seconds = 0.0 if ctx.is_toy else SUSTAINED_S
    started_s, num = time.perf_counter(), 0
    while num == 0 or time.perf_counter() - started_s < seconds:
        for _ in range(1 if ctx.is_toy else 100):
            a @ b
            num += 1
        ctx.sync()
    rate = num * 2 * ctx.sizes.matmul**3 / (time.perf_counter() - started_s)
    for _ in range(0 if ctx.is_toy else QUEUED):
        a @ b
    state = card.state()  # the card computes meanwhile
    ctx.sync()
    return {"value": rate, **state}


def _factors(ctx: Context) -> tuple[torch.Tensor, torch.Tensor]:
    """Random: zeros multiply at another clock."""
    n, dtype = ctx.sizes.matmul, torch.float32 if ctx.is_toy else torch.bfloat16
    a, b = (torch.randn(n, n, device=ctx.device, dtype=dtype) for _ in range(2))
    return a, b


def _rate(ctx: Context, work: Callable[[], object], amount: float) -> dict[str, Any]:
    """amount a second, the median of rounds; the slowest and the fastest of them."""
    started_s = time.perf_counter()
    while not ctx.is_toy and time.perf_counter() - started_s < WARM_S:
        work()
        ctx.sync()
    rates = [amount / ctx.seconds(work, 3 if ctx.is_toy else 20) for _ in range(ROUNDS)]
    return {"value": median(rates), "slowest": min(rates), "fastest": max(rates)}
