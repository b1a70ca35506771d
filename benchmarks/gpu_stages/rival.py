"""transformers' continuous batching on the same weights and lengths, and ours on the same job.

Best mode there is: CUDA graphs and asynchronous batching, where the release knows them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.gpu_stages import engines
from benchmarks.gpu_stages.base import Context
from engine_under_test.core import EngineCore
from engine_under_test.generate import generate
from engine_under_test.model_config import ModelConfig
from engine_under_test.request import SamplingParams


def run(ctx: Context, shape: str) -> None:
    batch, num_in, num_out = ctx.sizes.rival
    prompts = [engines.prompt(num_in, seed=i) for i in range(batch)]
    # The cache leaves room for the second model.
    blocks = 2 * batch * -(-(num_in + num_out + 16) // 16)
    core = engines.make(ctx, shape, num_blocks=blocks, max_num_seqs=batch)
    if ctx.is_due("ours", 20):
        params = SamplingParams(max_tokens=num_out, temperature=0.0, ignore_eos=True)
        if not ctx.is_toy:
            core.capture_graphs()
        generate(core, prompts, SamplingParams(max_tokens=4, temperature=0.0, ignore_eos=True))
        ctx.sync()
        started_s = time.perf_counter()
        generate(core, prompts, params)
        _put(ctx, "ours", time.perf_counter() - started_s)
    if find_spec("transformers") is None:
        ctx.put("transformers", skipped="transformers is not installed")
        return
    if not ctx.is_due("transformers", 30):
        return
    model = _transformers_model(core)
    del core
    engines.forget()  # its cache may have all the memory that ours had
    fastest: dict[str, Any] | None = None
    for is_async, is_graph in ((True, True), (False, True), (False, False)):
        if ctx.device.type != "cuda" and (is_async or is_graph):
            continue
        mode = f"graphs {'on' if is_graph else 'off'}, async {'on' if is_async else 'off'}"
        if ctx.left_s < (20 if fastest is None else 20 + 1.5 * fastest["seconds"]):
            break
        try:
            seconds = _run_rival(model, prompts, num_out, is_async, is_graph)
        except Exception as error:
            # A rival's mode that fails is told, and is no reason to have no figure of the others.
            ctx.put(f"transformers, {mode}", failed=f"{type(error).__name__}: {error}"[:300])
            continue
        if fastest is None or seconds < fastest["seconds"]:
            fastest = {"seconds": seconds, "mode": mode}
    if fastest is not None:
        # It takes flash attention by itself where that is installed.
        attention = str(model.config._attn_implementation)
        mode = f"{attention}, {fastest['mode']}"
        _put(ctx, "transformers", fastest["seconds"], mode=mode)


def _put(ctx: Context, key: str, seconds: float, **more: Any) -> None:
    batch, num_in, num_out = ctx.sizes.rival
    ctx.put(
        key, requests=batch, num_in=num_in, num_out=num_out, seconds=seconds,
        tok_per_s=batch * num_out / seconds, **more,
    )  # fmt: skip


def _transformers_model(core: EngineCore) -> Any:
    """The same weights in transformers' own model."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # it looks for faster kernels, and nobody answers
    import transformers

    transformers.logging.set_verbosity_error()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    ours = core._runner._model
    config = _hf_config(core.model_config)
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    state = {
        name: slot.view.reshape(slot.shape).clone() for name, slot in ours.slots()
    }  # the views are in our order of rows; reshape copies them into the checkpoint's
    if core.model_config.is_tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(config).to(ours.device)
    model.set_attn_implementation("sdpa")
    return model.eval()


def _hf_config(c: ModelConfig) -> Any:
    import transformers

    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": c.rope_theta}
    if c.rope_scaling is not None:
        s = c.rope_scaling
        rope |= {
            "rope_type": "llama3", "factor": s.factor, "low_freq_factor": s.low_freq_factor,
            "high_freq_factor": s.high_freq_factor,
            "original_max_position_embeddings": s.original_max_position,
        }  # fmt: skip
    return transformers.LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.hidden_size, num_hidden_layers=c.num_layers,
        intermediate_size=c.intermediate_size, num_attention_heads=c.num_heads,
        num_key_value_heads=c.num_kv_heads, head_dim=c.head_dim, rms_norm_eps=c.rms_norm_eps,
        max_position_embeddings=c.max_position, tie_word_embeddings=c.is_tied,
        rope_parameters=rope, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip


def _refuse_failed(result: Any, num_out: int) -> None:
    """One that ran out of memory counts as finished too, and would make its engine look fast."""
    if result.error is not None or len(result.generated_tokens) != num_out:
        raise RuntimeError(
            f"a request ended after {len(result.generated_tokens)} of {num_out} tokens: "
            f"{result.error or 'it did not say why'}"
        )


def _run_rival(
    model: Any, prompts: Sequence[list[int]], num_out: int, is_async: bool, is_graph: bool
) -> float:
    """Seconds of the job in a warm manager."""
    import transformers
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    settings = ContinuousBatchingConfig(
        max_batch_tokens=max(256, 2 * len(prompts[0])), max_requests_per_batch=len(prompts),
        use_cuda_graph=is_graph, use_async_batching=is_async,
    )  # fmt: skip
    generation = transformers.GenerationConfig(
        max_new_tokens=num_out, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    with model.continuous_batching_context_manager(
        generation_config=generation, continuous_batching_config=settings, block=True, timeout=5
    ) as manager:

        def job(inputs: Sequence[list[int]], num: int) -> None:
            manager.add_requests(inputs=[*inputs], max_new_tokens=num)
            num_done = 0
            while num_done < len(inputs):
                result = manager.get_result(timeout=1)
                if result is not None and result.is_finished():
                    _refuse_failed(result, num)
                    num_done += 1
                if result is None and not manager.is_running():
                    raise RuntimeError("its manager stopped")

        job(prompts, 2)
        started_s = time.perf_counter()
        job(prompts, num_out)
        return time.perf_counter() - started_s
