"""Every kernel compiles for a Hopper, on a machine without one: what interpreting cannot show."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="Triton's compiler for NVIDIA comes for x86-64 Linux",
)
def test_all_kernels_compile_and_use_the_matrix_units(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_stages.compiling"],
        capture_output=True, text=True, timeout=280, cwd=ROOT, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = {k["kernel"]: k for k in map(json.loads, done.stdout.splitlines())}
    assert len(found) == 9
    assert all(k["cubin_bytes"] > 0 for k in found.values())
    # Of two bytes an element no thread's registers overflow into memory.
    assert all(k["stack_bytes"] == 0 and 0 < k["registers"] < 255 for k in found.values())
    # Prompts run on a Hopper's own matrix instructions, decodes on those of 16 rows; both fetch
    # keys and values ahead.
    assert found["prefill"]["wgmma"] > 0
    assert found["decode"]["mma"] > 0
    assert found["fp8 product"]["mma"] > 0
    for name in ("prefill", "decode", "fp8 product"):
        assert found[name]["async_copies"] > 0
        assert found[name]["shared_bytes"] <= 227 * 1024
