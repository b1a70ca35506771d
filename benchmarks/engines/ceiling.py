"""python -m benchmarks.engines.ceiling [--model smollm2] [--levels 1,4,16,64]

How much of a decode step is matrix products. The engine decodes `level` sequences of some tens of
tokens; then the same products run alone, in the order of the model, with the same weights and
rows: the step with everything else removed. Beside them the same without the second arrangement
that few rows use, and as transformers has them: rows of [out, in] through torch's linear. Turns
alternate. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.models.matrix import Matrix
from engine_under_test.models.panels import PanelMatrix
from engine_under_test.request import Request, SamplingParams
from engine_under_test.server.build import find_model

PROMPT, STEPS = 16, 8  # steps a turn
TURNS = 3


def measure(model: str, levels: list[int]) -> list[dict[str, Any]]:
    """Milliseconds by level, the median over all turns' steps."""
    source = find_model(model)
    core = EngineCore(
        EngineConfig(
            model_dir=source.directory, shape=source.shape, dtype="float32", max_model_len=1024
        )
    )
    core.touch_cache()
    llama = core._runner._model
    matrices = [m for w in llama.layers for m in (w.qkv, w.out, w.gate_up, w.down)]
    matrices.append(llama.lm_head)
    plain = [m.weight.contiguous() for m in matrices if isinstance(m, Matrix | PanelMatrix)]
    assert len(plain) == len(matrices), "float32 matrices can be read"
    weights = [w.t().contiguous().t() for w in plain]  # what MKL multiplies fastest
    rows = []
    for level in levels:
        inputs = {w.shape[1]: torch.randn(level, w.shape[1]) for w in weights}

        def ours(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for matrix, w in zip(matrices, weights, strict=True):
                matrix.product(inputs[w.shape[1]])

        def by_mkl(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for w in weights:
                F.linear(inputs[w.shape[1]], w)

        def theirs(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for w in plain:
                F.linear(inputs[w.shape[1]], w)

        kinds = {"products": ours, "mkl_products": by_mkl, "row_major_products": theirs}
        spent: dict[str, list[float]] = {"step": [], **{kind: [] for kind in kinds}}
        for turn in range(TURNS):
            spent["step"] += _decode(core, level, turn)
            for kind, run in kinds.items():
                spent[kind] += _timed(run)
        rows.append({"level": level, **{f"{k}_ms": median(v) * 1e3 for k, v in spent.items()}})
    return rows


def _decode(core: EngineCore, level: int, turn: int) -> list[float]:
    """Seconds of STEPS steps in which level sequences get a token each."""
    rng, vocab = random.Random(turn), core.model_config.vocab_size
    params = SamplingParams(max_tokens=1000, temperature=0.0, ignore_eos=True)
    requests = [
        Request(f"{level}-{turn}-{i}", [rng.randrange(3, vocab) for _ in range(PROMPT)], params)
        for i in range(level)
    ]
    for r in requests:
        core.add(r)
    while any(not r.num_generated for r in requests):
        core.step()
    core.step()
    spent = []
    for _ in range(STEPS):
        start_s = time.perf_counter()
        core.step()
        spent.append(time.perf_counter() - start_s)
    for r in requests:
        core.abort(r.request_id)
    core.step()
    return spent


def _timed(run: Callable[[], None]) -> list[float]:
    spent = []
    with torch.inference_mode():
        run()
        for _ in range(STEPS):
            start_s = time.perf_counter()
            run()
            spent.append(time.perf_counter() - start_s)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--levels", default="1,4,16,64")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(args.model, [int(n) for n in args.levels.split(",")])))


if __name__ == "__main__":
    main()
