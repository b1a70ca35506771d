"""Engines for stages: weights made once a process, contexts filled without computing them."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Any
from unittest import mock

import torch

from benchmarks.gpu_stages.base import Context, DoesNotFit
from engine_under_test import core as core_module
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.graphs import StaticStep
from engine_under_test.model_config import DTYPE_BYTES
from engine_under_test.models import SHAPES, LoadedModel, load_model
from engine_under_test.request import Request, RequestStatus, SamplingParams

_loaded: dict[tuple[object, ...], LoadedModel] = {}


def _load_once(config: EngineConfig) -> LoadedModel:
    key = (
        config.shape, config.num_layers, config.dtype, config.attention, config.quantization,
        config.max_model_len, config.model_dir,
    )  # fmt: skip
    if key not in _loaded:
        _loaded.clear()  # one model at a time fits
        free()
        _loaded[key] = load_model(config)
    return _loaded[key]


@cache
def _install() -> None:
    core_module.load_model = _load_once  # type: ignore[assignment]


def make(ctx: Context, shape: str, **settings: Any) -> EngineCore:
    """An engine on the Triton kernels with graphs, whatever the device.

    Raises DoesNotFit where the card has no room for its weights.
    """
    _install()
    free()
    name = ctx.shape(shape)
    if ctx.device.type == "cuda" and not any(key[0] == name for key in _loaded):
        forget()
        check_room(name, ctx.sizes.dtype, settings.get("quantization"), torch.cuda.mem_get_info())
    defaults: dict[str, Any] = {
        "shape": name, "num_layers": ctx.sizes.layers, "dtype": ctx.sizes.dtype,
        "attention": "triton", "graphs": True, "overlap": True, "enable_prefix_caching": False,
        "max_num_seqs": max(ctx.sizes.batches), "max_num_batched_tokens": max(ctx.sizes.budgets),
        "max_model_len": 1024 if ctx.is_toy else 34_000,
    }  # fmt: skip
    if ctx.sizes.cache_tokens is not None:
        defaults["num_blocks"] = ctx.sizes.cache_tokens // 16
    core = EngineCore(EngineConfig(**{**defaults, **settings}))
    generator = torch.Generator(ctx.device).manual_seed(0)
    backend: Any = core._runner._attention
    for kv in backend._kv:  # zeros would multiply at another clock
        kv.normal_(generator=generator)
    return core


def check_room(
    name: str, dtype: str, quantization: str | None, free_and_total: tuple[int, int]
) -> None:
    """Raise DoesNotFit unless the weights of a shape can be loaded and leave a tenth of the card
    for steps; loading also holds the largest tensor in float32."""
    c, (num_free, num_total) = SHAPES[name], free_and_total
    layers = c.num_layers * c.layer_matrix_params
    weights = (c.num_params - layers) * DTYPE_BYTES[dtype]
    weights += layers * (1 if quantization else DTYPE_BYTES[dtype])
    needed = weights + max(4 * c.vocab_size * c.hidden_size, num_total // 10)
    if needed > num_free:
        raise DoesNotFit(
            f"{name} in {quantization or dtype} needs {needed / 1e9:.0f} GB, "
            f"{weights / 1e9:.0f} of them for weights; "
            f"{num_free / 1e9:.0f} of the card's {num_total / 1e9:.0f} GB are free"
        )


def forget() -> None:
    """Drop the weights; whoever makes an engine next loads them anew."""
    _loaded.clear()
    free()


def free() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def prompt(num_tokens: int, seed: int, vocab: int = 500) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(3, vocab) for _ in range(num_tokens)]


def lacking(core: EngineCore, num_seqs: int, context: int, steps: int) -> str:
    """What the cache lacks for that many sequences that long; empty where it holds them."""
    size = core.config.block_size
    blocks = num_seqs * -(-(context + steps + 32) // size)
    there = core._kv.num_usable_blocks
    if blocks < there:
        return ""
    block = size * core.model_config.costs(core.dtype_name).kv_bytes_per_token / 1e9
    return f"needs {blocks * block:.3g} GB of keys and values, the cache holds {there * block:.3g}"


def as_if_prefilled(
    core: EngineCore, num_seqs: int, context: int, params: SamplingParams
) -> list[Request]:
    """Running requests with contexts of noise: what a decode step costs does not depend on it."""
    scheduler, requests = core._scheduler, []
    stem = prompt(context, seed=0)
    for i in range(num_seqs):
        r = Request(f"d{i}", stem, params)
        core.add(r)
        assert scheduler.kv.allocate(r, r.num_tokens), "checked by fits()"
        r.num_computed = r.num_tokens - 1
        r.status = RequestStatus.RUNNING
        r.timings.scheduled_ns = time.monotonic_ns()
        scheduler.running.append(r)
        requests.append(r)
    scheduler._waiting.clear()
    return requests


def stop(core: EngineCore, requests: Iterable[Request]) -> None:
    """Abort and run dry."""
    for r in requests:
        core.abort(r.request_id)
    while core.has_work:
        core.step()


def decode_s(ctx: Context, core: EngineCore, warm: int, steps: int) -> tuple[float, int]:
    """Seconds of `steps` steps of what runs, and the tokens that came of them."""
    for _ in range(warm):
        core.step()
    ctx.sync()
    started_s, num_tokens = time.perf_counter(), 0
    for _ in range(steps):
        num_tokens += sum(len(o.new_token_ids) for o in core.step())
    ctx.sync()
    return time.perf_counter() - started_s, num_tokens


class StepClock:
    """When every step's graph began and ended on the device, within a `with`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._steps: list[tuple[Any, Any]] = []

    def __enter__(self) -> StepClock:
        run, clock = StaticStep.run, self

        def timed(step: StaticStep) -> None:
            begin = clock._stamp()
            run(step)
            clock._steps.append((begin, clock._stamp()))

        self._patch = mock.patch.object(StaticStep, "run", timed)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()
        self._ctx.sync()

    def step_ms(self, share: float) -> float | None:
        """From a step's begin to the next one's: what this share of the steps took at most."""
        lengths_s = sorted(self._between_s(a[0], b[0]) for a, b in pairwise(self._steps))
        return 1e3 * lengths_s[int(share * (len(lengths_s) - 1))] if lengths_s else None

    def idle_ratio(self) -> float | None:
        """The share of the time from the first step's begin to the last one's end in which none
        ran; None where there were not two."""
        if len(self._steps) < 2:
            return None
        idle_s = sum(self._between_s(a[1], b[0]) for a, b in pairwise(self._steps))
        return idle_s / self._between_s(self._steps[0][0], self._steps[-1][1])

    def _stamp(self) -> Any:
        if self._ctx.device.type == "cpu":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _between_s(self, begin: Any, end: Any) -> float:
        if self._ctx.device.type == "cpu":
            return float(end - begin)
        return float(begin.elapsed_time(end)) / 1e3


def ttft_s(core: EngineCore, ids: list[int], name: str) -> float:
    """From the arrival of a lone request to its first token."""
    r = Request(name, ids, SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True))
    started_s = time.perf_counter()
    core.add(r)
    while core.has_work:
        core.step()
    return time.perf_counter() - started_s


def median_ttft_s(core: EngineCore, num_tokens: int, repeats: int) -> float:
    """Of prompts that share nothing; the first one warms up."""
    times = [
        ttft_s(core, prompt(num_tokens, seed=100 + i), f"p{num_tokens}-{i}")
        for i in range(repeats + 1)
    ]
    return median(times[1:])
