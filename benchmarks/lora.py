"""python -m benchmarks.lora [--model tiny] [--rank 16] [--rounds 5]

What LoRA adapters cost beside the base model: one engine, decode-heavy, the arms in turns. `base`:
no request has an adapter; `one`: all have the same; `mixed`: four adapters and the base take turns,
so that every step gathers from five. Random adapters over all seven matrices of each layer.
Tokens/s are net; `CPU` is the same by CPU seconds, for busy machines.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from statistics import median

import torch

from benchmarks.machine import machine
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.models.lora import Factors, LoraAdapter, targets
from engine_under_test.request import Request, SamplingParams
from engine_under_test.server.build import find_model

NUM_ADAPTERS = 4
PROMPT_TOK, OUTPUT_TOK = 32, 64
AT_ONCE = (1, 4, 16, 64)


def random_adapter(core: EngineCore, name: str, rank: int, seed: int) -> LoraAdapter:
    """Small enough to leave activations where they were."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for _ in range(core.model_config.num_layers):
        factors = {}
        for parts in targets(core.model_config).values():
            for part in parts:
                a = torch.randn(rank, part.num_in, generator=generator) * part.num_in**-0.5
                b = torch.randn(part.num_out, rank, generator=generator) * 0.01
                factors[part.module] = Factors(a, b)
        layers.append(factors)
    return LoraAdapter(name, name, rank, tuple(layers))


def run(core: EngineCore, arms: Sequence[LoraAdapter | None], at_once: int, seed: int) -> float:
    """Tokens of all requests, which take the arms in turns, all at once."""
    rng = random.Random(seed)
    params = SamplingParams(OUTPUT_TOK, temperature=0.0, ignore_eos=True)
    requests = []
    for n in range(at_once):
        prompt = [rng.randrange(3, core.model_config.vocab_size) for _ in range(PROMPT_TOK)]
        request = Request(f"r{seed}-{n}", prompt, params, adapter=arms[n % len(arms)])
        requests.append(request)
        core.add(request)
    while core.has_work:
        core.step()
    return sum(r.num_generated for r in requests)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    source = find_model(args.model)
    config = EngineConfig(
        model_dir=source.directory, shape=source.shape, max_model_len=1024, max_loras=NUM_ADAPTERS,
        max_lora_rank=args.rank, enable_prefix_caching=False,
    )  # fmt: skip
    load_before = os.getloadavg()[0]
    core = EngineCore(config)
    adapters = [random_adapter(core, f"a{n}", args.rank, n) for n in range(NUM_ADAPTERS)]
    arms: dict[str, Sequence[LoraAdapter | None]] = {
        "base": [None], "one": adapters[:1], "mixed": [*adapters, None],
    }  # fmt: skip
    print("| at a time | arm | tokens/s | x base (range) | x base, CPU |")
    print("| --- | --- | ---: | --- | ---: |")
    for at_once in AT_ONCE:
        wall: dict[str, list[float]] = {name: [] for name in arms}
        cpu: dict[str, list[float]] = {name: [] for name in arms}
        for turn in range(-1, args.rounds):
            for name, arm in arms.items():
                start_s, start_cpu_s = time.perf_counter(), time.process_time()
                num_tokens = run(core, arm, at_once, turn)
                if turn >= 0:  # the first fills slots and caches
                    wall[name].append(num_tokens / (time.perf_counter() - start_s))
                    cpu[name].append(num_tokens / (time.process_time() - start_cpu_s))
        for name in arms:
            ratios = [a / b for a, b in zip(wall[name], wall["base"], strict=True)]
            of_cpu = [a / b for a, b in zip(cpu[name], cpu["base"], strict=True)]
            spread = "" if name == "base" else f" ({min(ratios):.2f}-{max(ratios):.2f})"
            print(
                f"| {at_once} | {name} | {median(wall[name]):,.0f} | {median(ratios):.2f}{spread} "
                f"| {median(of_cpu):.2f} |"
            )
    print(machine(("torch",), load_before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
