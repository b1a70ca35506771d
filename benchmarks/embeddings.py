"""python -m benchmarks.embeddings [--model tiny] [--rounds 5]

Input tokens/s of embeddings, ours beside transformers' plain forward pass over the same inputs, in
one process, the arms in turns, one thread, float32. `one by one`: a forward pass an input, nothing
padded; `batched`: BATCH inputs at a time, longest first, padded to the longest with a mask; ours
takes all at once, in steps of 512 tokens, no prefix cache. Padding is no token: all divide the same
tokens by their own time. Both vectors of every input are compared first; exit 1 where they differ.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import embed
from engine_under_test.request import FloatArray, Pooling
from engine_under_test.server.build import ModelSource, find_model

BATCH = 16
TOTAL_TOK = {"tiny": 8192, "smollm2": 1024}
LENGTHS = {"short": (8, 24), "long": (256, 256), "mixed": (8, 256)}
POOLINGS: tuple[Pooling, ...] = ("last", "mean")
LEAST_COSINE = 0.9999

Prompts = list[list[int]]
Arm = Callable[[Prompts, Pooling], list[FloatArray]]


def inputs(lengths: tuple[int, int], total_tok: int, vocab_size: int, seed: int) -> Prompts:
    """Lengths spread evenly over the range (both ends in it), some total_tok tokens together."""
    rng, found = random.Random(seed), list[list[int]]()
    while sum(map(len, found)) < total_tok:
        found.append([rng.randrange(3, vocab_size) for _ in range(rng.randint(*lengths))])
    return found


def theirs(model: Any, batch: int) -> Arm:
    """transformers' forward pass over `batch` inputs at a time."""

    def run(prompts: Prompts, pooling: Pooling) -> list[FloatArray]:
        order = sorted(range(len(prompts)), key=lambda n: -len(prompts[n]))
        found: dict[int, FloatArray] = {}
        for at in range(0, len(order), batch):
            part = order[at : at + batch]
            longest = len(prompts[part[0]])
            ids = torch.tensor([prompts[n] + [0] * (longest - len(prompts[n])) for n in part])
            lengths = torch.tensor([len(prompts[n]) for n in part])
            mask = torch.arange(longest) < lengths[:, None]
            with torch.inference_mode():
                whole = None if bool(mask.all()) else mask.long()
                hidden = model(ids, attention_mask=whole, use_cache=False).last_hidden_state
                if pooling == "last":
                    vectors = hidden[torch.arange(len(part)), lengths - 1]
                else:
                    vectors = (hidden * mask[..., None]).sum(1) / lengths[:, None]
            found.update(zip(part, vectors.numpy(), strict=True))
        return [found[n] for n in range(len(prompts))]

    return run


def their_model(source: ModelSource) -> Any:
    import transformers

    assert source.directory is not None
    if source.directory.is_dir():
        return transformers.AutoModel.from_pretrained(source.directory, dtype=torch.float32).eval()
    from benchmarks.gguf_files import transformers_model

    return transformers_model(source.directory, torch.float32).model


def are_equal(a: Sequence[FloatArray], b: Sequence[FloatArray]) -> bool:
    cosines = [
        float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)) for x, y in zip(a, b, strict=True)
    ]
    return min(cosines) >= LEAST_COSINE


def rates(arms: dict[str, Arm], prompts: Prompts, pooling: Pooling, rounds: int) -> Any:
    """Tokens/s by the clock and by CPU seconds, of each arm and round; the first is a warm-up."""
    wall: dict[str, list[float]] = {name: [] for name in arms}
    cpu: dict[str, list[float]] = {name: [] for name in arms}
    num_tok = sum(map(len, prompts))
    for turn in range(rounds + 1):
        for name in list(arms)[:: 1 if turn % 2 else -1]:
            start_s, start_cpu_s = time.perf_counter(), time.process_time()
            arms[name](prompts, pooling)
            if turn:
                wall[name].append(num_tok / (time.perf_counter() - start_s))
                cpu[name].append(num_tok / (time.process_time() - start_cpu_s))
    return wall, cpu


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(TOTAL_TOK), default="tiny")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, help="of all inputs of a round together")
    args = parser.parse_args(argv)
    load_before, source = os.getloadavg()[0], find_model(args.model)
    core = EngineCore(
        EngineConfig(model_dir=source.directory, dtype="float32", enable_prefix_caching=False)
    )
    model = their_model(source)
    arms: dict[str, Arm] = {
        "ours": lambda prompts, pooling: embed(core, prompts, pooling),
        "one by one": theirs(model, 1),
        "batched": theirs(model, BATCH),
    }
    print("| inputs | pooling | ours, tok/s (range) | one by one | batched | x (range) | x, CPU |")
    print("| --- | --- | --- | ---: | ---: | --- | ---: |")
    for name, lengths in LENGTHS.items():
        vocab_size, total = core.model_config.vocab_size, args.tokens or TOTAL_TOK[args.model]
        prompts = inputs(lengths, total, vocab_size, seed=1)
        for pooling in POOLINGS:
            vectors = {arm: run(prompts, pooling) for arm, run in arms.items()}
            if not all(are_equal(vectors["ours"], vectors[arm]) for arm in arms):
                print(f"{name}, {pooling}: the vectors differ from transformers'", file=sys.stderr)
                return 1
            wall, cpu = rates(arms, prompts, pooling, args.rounds)
            ours, best = wall["ours"], max(("one by one", "batched"), key=lambda n: median(wall[n]))
            ratios = [a / b for a, b in zip(ours, wall[best], strict=True)]
            of_cpu = median(a / b for a, b in zip(cpu["ours"], cpu[best], strict=True))
            print(
                f"| {name}, {lengths[0]}-{lengths[1]} | {pooling} "
                f"| {median(ours):,.0f} ({min(ours):,.0f}-{max(ours):,.0f}) "
                f"| {median(wall['one by one']):,.0f} | {median(wall['batched']):,.0f} "
                f"| **{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f}) "
                f"| {of_cpu:.2f} |",
                flush=True,
            )
    print(machine(("torch", "transformers"), load_before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
