"""What changes from step to step compiles no kernel anew: on a GPU that would hold up everybody.

Triton compiles a version for every type, alignment and special size of the arguments. Steps of many
sizes are launched here on a machine without a GPU, and the versions that they ask for counted.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LAUNCHES = """
import json, random
from collections import defaultdict
import numpy as np, torch
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature
from engine_under_test import kernels
from engine_under_test.attention.triton_paged import TritonBackend
from engine_under_test.batch import RowTable, Span, lay_out
from engine_under_test.device import CPU
from engine_under_test.models import SHAPES
from engine_under_test.models.fp8 import Fp8Weight
from engine_under_test.kernels.fp8 import fp8_linear
from engine_under_test.request import Request, SamplingParams

backend = make_backend(GPUTarget("cuda", 90, 32))
versions = defaultdict(set)

def launch(kernel, *args, grid, warmup, **options):
    binder = create_function_from_signature(kernel.signature, kernel.params, backend)
    _, specialization, others = binder(*args, **options)
    versions[kernel.fn.__name__].add(str((specialization, sorted(others.items()))))

JITFunction.run = launch
config = SHAPES["llama-8b"]
h, kvh, d = config.num_heads, config.num_kv_heads, config.head_dim
half, rng = torch.bfloat16, random.Random(0)
from dataclasses import replace
attention = TritonBackend(replace(config, num_layers=1), 300, 16, half, CPU)
table = RowTable(70, 150, 16)
for row in range(70):
    table.sync(Request(str(row), [1], SamplingParams(), block_ids=[1]))
rotations = torch.zeros(2000, d // 2, 2)
temperatures, seeds = torch.zeros(71, dtype=torch.float64), torch.zeros(71, dtype=torch.int64)

def step(counts):
    spans = sorted((Span(rng.randrange(300), [1] * n, 1) for n in counts), key=lambda s: s.order)
    batch = lay_out(spans, np.arange(len(spans)), table)
    # On a device everything of a step lies in one copy, piece behind piece.
    packed = torch.cat([batch.input_ids, batch.positions, batch.slot_mapping])
    _, positions, slots = torch.split(packed, [len(batch.positions)] * 3)
    heads = torch.zeros(len(positions), h + 2 * kvh, d, dtype=half)
    kernels.rope_write_kv(heads, attention.slots(0), rotations, positions, slots, None, None, 0.0)
    attention.attend(heads[:, :h], 0, attention.build(batch))
    x = torch.zeros(len(heads), 64, dtype=half)
    kernels.silu_mul(kernels.rms_norm(x, x[0], 1e-5))
    rows = torch.split(torch.arange(2 * len(counts) + 1), [len(counts), len(counts) + 1])
    kernels.draw(
        torch.zeros(len(counts), 512, dtype=half), temperatures, seeds, rows[0], rows[1][1:]
    )
    fp8_linear(x[:200], *Fp8Weight.of(torch.ones(32, 64)))

for num in (1, 2, 3, 5, 16, 17, 33, 64):
    step([1] * num)
for num in (1, 4, 16, 31):
    for prompts in ([70], [300, 17], [100] * 3, [900], [64, 65, 66, 16]):
        step([1] * num + prompts)
for prompts in ([70], [300, 17], [2000], [16] * 16):
    step(prompts)
print(json.dumps({name: len(found) for name, found in versions.items()}))
"""
# Attention: single tokens with their context in parts and whole, prompts of few and of many tokens;
# a merge pads its parts to 2, 4 .. 32; an fp8 product has tiles of 16, 32 and 64 rows.
ALLOWED = {
    "_paged_attention": 4, "_reduce_splits": 5, "_rope_write_kv": 1, "_add_rms_norm": 1,
    "_silu_mul": 1, "_best_of_part": 1, "_best_of_all": 1, "_fp8_linear": 3,
}  # fmt: skip


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="Triton's compiler for NVIDIA comes for x86-64 Linux",
)
def test_steps_of_any_size_are_served_by_few_versions_of_a_kernel() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHES],
        capture_output=True, text=True, timeout=200, cwd=ROOT, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found.keys() == ALLOWED.keys()
    assert {name: num for name, num in found.items() if num > ALLOWED[name]} == {}
