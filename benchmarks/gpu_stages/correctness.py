"""Before any figure: the kernels on this card against torch, and the engine against the CPU's.

Every check is a point with `ok`; benchmarks.gpu goes on after a failure, and the page says so.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.gpu_stages.base import Context
from engine_under_test import kernels
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import generate
from engine_under_test.kernels.fp8 import fp8_linear
from engine_under_test.models.fp8 import Fp8Weight
from engine_under_test.noise import gumbel, mixed_seed, stream_key
from engine_under_test.request import SamplingParams
from engine_under_test.server.build import SHIPPED

Heads = tuple[int, int, int]
Case = tuple[Heads, torch.dtype, int, int]
Check = tuple[str, Callable[[], float]]


def run(ctx: Context) -> None:
    """The shapes that the other stages run."""
    _run(ctx, [*_attention_checks(ctx, _few(ctx)), *_checks(ctx)])


def run_wide(ctx: Context) -> None:
    """Attention over the whole grid: each variant compiles for seconds, so it comes last."""
    _run(ctx, _attention_checks(ctx, _many(ctx)))


def _run(ctx: Context, checks: Iterable[Check]) -> None:
    for name, check in checks:
        if not ctx.is_due(name, 3):
            continue
        try:
            error = check()
        except Exception as fault:
            # One kernel that does not compile must not hide what the others do.
            ctx.put(name, ok=False, failed=f"{type(fault).__name__}: {fault}"[:500])
            continue
        ctx.put(name, ok=error <= 1.0, error=error)


def _few(ctx: Context) -> list[Case]:
    """(heads, dtype, tokens a sequence, block size); 0 tokens: chunks and prompts mixed."""
    if ctx.is_toy:
        return [((4, 2, 16), torch.float32, q, 4) for q in (1, 4)]
    half, eight, one = torch.bfloat16, (32, 8, 128), (32, 8, 64)
    found: list[Case] = [(eight, half, q, 16) for q in (1, 4, 0)]
    found += [(one, half, q, 16) for q in (1, 0)]
    return [*found, ((14, 2, 64), half, 8, 32), (eight, torch.float32, 1, 16)]


def _many(ctx: Context) -> list[Case]:
    if ctx.is_toy:
        return [((6, 2, 24), torch.float32, 0, 5)]
    heads = ((32, 8, 128), (32, 8, 64), (14, 2, 64), (8, 8, 128), (24, 3, 96))
    dtypes = (torch.bfloat16, torch.float32)
    return [*itertools.product(heads, dtypes, (1, 2, 4, 8, 0), (16, 32))]


def _attention_checks(ctx: Context, cases: Iterable[Case]) -> Iterator[Check]:
    for heads, dtype, q, block in cases:
        name = f"attention {heads} {_name(dtype)} q={q or 'mixed'} block={block}"
        yield name, partial(_attention, ctx, heads, dtype, q, block)


def _checks(ctx: Context) -> Iterator[Check]:
    """Each returns its error in units of what is tolerated."""
    dtypes = [torch.float32] if ctx.device.type == "cpu" else [torch.bfloat16, torch.float32]
    for dtype in dtypes:
        yield f"norm, activation {_name(dtype)}", partial(_pointwise, ctx, dtype)
        yield f"rotation and write {_name(dtype)}", partial(_rotation, ctx, dtype)
        yield f"fp8 product {_name(dtype)}", partial(_fp8, ctx, dtype)
    yield "draw", partial(_draw, ctx)
    yield "engine: tokens of the CPU's SDPA backend", partial(_engine, ctx)
    yield "engine: graphs and overlap on equal off", partial(_modes, ctx)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _worst(got: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> float:
    """Largest error over what rounding to dtype may leave of values of order one."""
    tolerance = {torch.bfloat16: 2e-2, torch.float32: 2e-4}[dtype]
    error = (got.float() - expected.float()).abs() / (1 + expected.float().abs())
    return float(error.max()) / tolerance if bool(torch.isfinite(got).all()) else float("inf")


def _attention(ctx: Context, heads: Heads, dtype: torch.dtype, q: int, block: int) -> float:
    """Random lengths against softmax in float32, by every number of parts; pages scattered anew
    change no bit."""
    num_heads, kvh, d = heads
    rng, generator = random.Random(q), torch.Generator(ctx.device).manual_seed(q)
    longest = 60 if ctx.is_toy else 3000
    counts = [q] * 5 if q else [1, 3, 64, 300, 7] if not ctx.is_toy else [1, 9]
    lens = [n + rng.randrange(longest) for n in counts]
    lens[0] = counts[0]  # a context of nothing else
    num_tokens, worst = sum(counts), 0.0
    queries = torch.randn(
        num_tokens, num_heads, d, device=ctx.device, dtype=dtype, generator=generator
    )
    context = [
        torch.randn(n, 2 * kvh, d, device=ctx.device, dtype=dtype, generator=generator)
        for n in lens
    ]
    expected = torch.cat(
        [
            _softmax(queries[a : a + n], context[b], num_heads // kvh)
            for b, (a, n) in enumerate(
                zip(itertools.accumulate([0, *counts[:-1]]), counts, strict=True)
            )
        ]
    )
    results = []
    for scatter in (1, 2):
        cache, table = _pages(ctx, context, block, random.Random(scatter))
        for splits in (1, 3, 32) if q else (1,):
            out = torch.full_like(queries, torch.nan)
            group = num_heads // kvh
            plan = kernels.AttentionPlan.of(
                num_tokens, len(lens), uniform_q=q, group=group, kv_heads=kvh, is_split=bool(q)
            )
            if q:
                plan = kernels.AttentionPlan(num_tokens, len(lens), q, splits, plan.block_m, 64)
            kernels.paged_attention(
                queries, cache, plan, block_size=block, out=out, table=table,
                cu_q=_ints(ctx, [0, *itertools.accumulate(counts)]), seq_lens=_ints(ctx, lens),
                rows=_ints(ctx, range(len(lens))),
            )  # fmt: skip
            worst = max(worst, _worst(out, expected, dtype))
            results.append(out)
    half = len(results) // 2
    same = all(torch.equal(a, b) for a, b in zip(results[:half], results[half:], strict=True))
    return worst if same else float("inf")


def _softmax(q: torch.Tensor, context: torch.Tensor, group: int) -> torch.Tensor:
    """[n, H, D]: the last n positions of a context [S, 2 * KVH, D]."""
    k, v = context.float().chunk(2, dim=1)
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.einsum("qhd,shd->hqs", q.float(), k) / q.shape[-1] ** 0.5
    n, s = len(q), len(context)
    is_seen = torch.ones(n, s, dtype=torch.bool, device=q.device).tril(s - n)
    weights = scores.masked_fill(~is_seen, -torch.inf).softmax(-1)
    return torch.einsum("hqs,shd->qhd", weights, v)


def _pages(
    ctx: Context, context: list[torch.Tensor], block: int, rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    needed = [-(-len(c) // block) for c in context]
    free = list(range(1, 1 + sum(needed)))
    rng.shuffle(free)
    cache = torch.zeros(
        (1 + sum(needed)) * block, *context[0].shape[1:], device=ctx.device, dtype=context[0].dtype
    )
    table = torch.zeros(len(context), max(needed), dtype=torch.int32, device=ctx.device)
    for b, entries in enumerate(context):
        ids = [free.pop() for _ in range(needed[b])]
        table[b, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
        places = torch.arange(len(entries), device=ctx.device)
        cache[table[b, places // block].long() * block + places % block] = entries
    return cache, table


def _ints(ctx: Context, values: object) -> torch.Tensor:
    return torch.tensor(list(values), device=ctx.device)  # type: ignore[call-overload]


def _randn(ctx: Context, *shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator(ctx.device).manual_seed(seed)
    return torch.randn(*shape, device=ctx.device, generator=generator)


def _pointwise(ctx: Context, dtype: torch.dtype) -> float:
    d = 64 if ctx.is_toy else 4096
    x, delta, weight = (_randn(ctx, *s).to(dtype) for s in ((7, d), (7, d), (d,)))
    total = (x.float() + delta.float()).to(dtype)
    expected = F.rms_norm(total.float(), (d,), weight.float(), 1e-5)
    worst = _worst(kernels.add_rms_norm(x, delta, weight, 1e-5), expected, dtype)
    gate_up = _randn(ctx, 7, 2 * d, seed=2).to(dtype)
    wide = gate_up.float()
    return max(worst, _worst(kernels.silu_mul(gate_up), F.silu(wide[:, :d]) * wide[:, d:], dtype))


def _rotation(ctx: Context, dtype: torch.dtype) -> float:
    h, kvh, d = (4, 2, 16) if ctx.is_toy else (32, 8, 128)
    qkv = _randn(ctx, 9, h + 2 * kvh, d).to(dtype)
    angles = _randn(ctx, 50, d // 2, seed=1)
    table = torch.stack([angles.cos(), angles.sin()], dim=-1)
    positions, slots = _ints(ctx, range(0, 45, 5)), _ints(ctx, range(40, 31, -1))
    pairs = torch.view_as_complex(qkv[:, : h + kvh].float().unflatten(-1, (-1, 2)).contiguous())
    turned = torch.view_as_real(pairs * torch.view_as_complex(table)[positions].unsqueeze(1))
    expected = torch.cat([turned.flatten(-2), qkv[:, h + kvh :].float()], dim=1)
    cache = torch.zeros(64, 2 * kvh, d, device=ctx.device, dtype=dtype)
    kernels.rope_write_kv(qkv, cache, table, positions, slots, None, None, 0.0)
    got = torch.cat([qkv[:, :h], cache[slots]], dim=1)
    return _worst(got, expected, dtype)


def _fp8(ctx: Context, dtype: torch.dtype) -> float:
    worst = 0.0
    for rows, k, n in [(1, 64, 40)] if ctx.is_toy else [(1, 4096, 6144), (33, 4096, 28672)]:
        x = (_randn(ctx, rows, k) / k**0.5).to(dtype)
        weight = Fp8Weight.of(_randn(ctx, n, k, seed=1))
        expected = x.float() @ weight.unpacked(torch.float32).t()
        worst = max(worst, _worst(fp8_linear(x, *weight), expected, dtype))
    return worst


def _draw(ctx: Context) -> float:
    """Share of draws that are not the CPU's, over one in a thousand."""
    num_rows, vocab = (4, 700) if ctx.is_toy else (512, 128_256)
    logits = _randn(ctx, num_rows, vocab)
    temperatures = torch.full((num_rows,), 0.9, dtype=torch.float64, device=ctx.device)
    seeds = _ints(ctx, [mixed_seed(i) for i in range(num_rows)])
    positions, rows = _ints(ctx, range(num_rows)), _ints(ctx, range(num_rows))
    got = kernels.draw(logits, temperatures, seeds, positions, rows).cpu()
    host, ids, others = logits.cpu(), torch.arange(vocab), 0
    for i in range(num_rows):
        noise = gumbel([stream_key(i, i)], ids)[0]
        others += int((host[i] / 0.9 + noise).argmax()) != int(got[i])
    return others / num_rows / 1e-3


def _tokens(ctx: Context, on_cpu: bool, **settings: object) -> list[list[int]]:
    config = EngineConfig(
        model_dir=SHIPPED / "tiny", dtype="float32", max_model_len=256, num_blocks=80,
        max_num_seqs=8, device="cpu" if on_cpu else "auto",
        attention="sdpa" if on_cpu else "triton", **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    rng, num = random.Random(4), 2 if ctx.is_toy else 8
    prompts = [[rng.randrange(3, 2000) for _ in range(12)] for _ in range(num)]
    params = SamplingParams(max_tokens=4 if ctx.is_toy else 32, temperature=0.0, ignore_eos=True)
    return generate(EngineCore(config), prompts, params)


def _same_beginning(a: list[list[int]], b: list[list[int]]) -> float:
    """Share of tokens before the first that differs, over all."""
    same = 0
    for one, other in zip(a, b, strict=True):
        pairs = itertools.takewhile(lambda p: p[0] == p[1], zip(one, other, strict=True))
        same += sum(1 for _ in pairs)
    return same / sum(map(len, a))


def _engine(ctx: Context) -> float:
    """float32 products round otherwise on each device: a near tie may part two of the answers."""
    ours = _tokens(ctx, False, graphs=not ctx.is_toy, overlap=True)
    return (1 - _same_beginning(_tokens(ctx, True), ours)) / 0.15


def _modes(ctx: Context) -> float:
    """Overlap changes no shape, so no bit; graphs pad products, whose rounding may then differ."""
    graphs = not ctx.is_toy
    off, on = (_tokens(ctx, False, graphs=graphs, overlap=o) for o in (False, True))
    if off != on:
        return float("inf")
    plain = _tokens(ctx, False, graphs=False, overlap=False)
    return (1 - _same_beginning(plain, on)) / 0.15
