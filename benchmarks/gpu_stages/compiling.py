"""python -m benchmarks.gpu_stages.compiling [--all]: every kernel compiled for a Hopper.

The interpreter accepts what the compiler may not. This compiles each kernel as llama-8b launches
it (--all: as every check of the GPU benchmark does), without a GPU, and prints, a line of JSON
each, what of the chip's instructions, registers and memory it uses; stack_bytes above 0 are
registers that did not fit. Needs Triton with its own ptxas and cuobjdump, on x86-64 Linux.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

os.environ["TRITON_INTERPRET"] = "0"  # before the kernels are defined

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from engine_under_test.kernels import activation, attention, fp8, norm, rope, sampling

HOPPER = GPUTarget("cuda", 90, 32)
SIZES = {"H": 32, "KVH": 8, "D": 128, "D_PAD": 128, "SUM": tl.float32}
EIGHT_B = {**SIZES, "SCALE": 0.1, "BLOCK_SIZE": 16, "TILE": 64}


class Case(NamedTuple):
    """kernel as launched with these compile-time constants; pointers: the type of each."""

    name: str
    kernel: Any
    pointers: dict[str, str]
    constants: dict[str, Any]
    num_warps: int = 4
    num_stages: int = 3


def cases() -> list[Case]:
    """One of each kernel, attention in both its grids."""
    ints = {"cu_q": "*i64", "seq_lens": "*i64", "rows": "*i64", "table": "*i32"}
    half = dict.fromkeys(("q", "cache", "out"), "*bf16")
    parts = {"parts": "*fp32", "lse": "*fp32"}
    split = {**EIGHT_B, "BLOCK_M": 16, "IS_SPLIT": True, "IS_UNIFORM": True, "uniform_q": 1}
    whole = {**EIGHT_B, "BLOCK_M": 128, "IS_SPLIT": False, "IS_UNIFORM": False}
    qkv = ("heads", "cache", "q_norm", "k_norm")
    return [
        Case("decode", attention._paged_attention, {**half, **parts, **ints}, split),
        Case(
            "prefill", attention._paged_attention,
            {**half, "parts": "*bf16", "lse": "*bf16", **ints}, whole, 8, 2,
        ),
        Case(
            "reduce", attention._reduce_splits, {**parts, "out": "*bf16"},
            {"H": 32, "D": 128, "D_PAD": 128, "SPLITS_PAD": 8},
        ),
        Case(
            "add and norm", norm._add_rms_norm,
            dict.fromkeys(("x", "delta", "weight", "out"), "*bf16"),
            {"EPS": 1e-5, "D": 4096, "D_PAD": 4096, "HAS_DELTA": True, "SUM": tl.float32}, 8,
        ),
        Case(
            "silu", activation._silu_mul, dict.fromkeys(("gate_up", "out"), "*bf16"),
            {"F": 14336, "BLOCK": 1024, "SUM": tl.float32},
        ),
        Case(
            "rotation", rope._rope_write_kv,
            {**dict.fromkeys(qkv, "*bf16"), "rotations": "*fp32", "positions": "*i64",
             "slots": "*i64"},
            {**SIZES, "EPS": 1e-5, "BLOCK": 8, "HAS_NORM": True, "IS_ROTATED": True},
        ),
        Case(
            "draw", sampling._best_of_part,
            {"logits": "*bf16", "temperatures": "*fp64", "seeds": "*i64", "positions": "*i64",
             "rows": "*i64", "best": "*fp32", "best_token": "*i32"},
            {"PARTS": 32, "BLOCK": 4096, "SUM": tl.float32}, 8,
        ),
        Case(
            "draw, last", sampling._best_of_all,
            {"best": "*fp32", "best_token": "*i32", "tokens": "*i64"}, {"PARTS": 32, "PADDED": 32},
        ),
        Case(
            "fp8 product", fp8._fp8_linear,
            {"x": "*bf16", "weight": "*fp8e4nv", "scales": "*fp32", "out": "*bf16"},
            {"K": 4096, "BLOCK_M": 16, "BLOCK_N": 64, "BLOCK_K": 128, "SUM": tl.float32}, 4, 4,
        ),
    ]  # fmt: skip


def more_cases() -> list[Case]:
    """The other shapes that the checks and the other models launch on a GPU."""
    return _small_kernels() + _attention_kernels()


def _small_kernels() -> list[Case]:
    """Of 1B and 70B, of the longest merges, and of the checks in float32."""
    parts = {"parts": "*fp32", "lse": "*fp32"}
    qkv = dict.fromkeys(("heads", "cache", "q_norm", "k_norm"), "*bf16")
    found = []
    for d, ffn, heads, head_dim in ((2048, 8192, 32, 64), (8192, 28672, 64, 128)):
        found += [
            Case(
                f"add and norm, {d}", norm._add_rms_norm,
                dict.fromkeys(("x", "delta", "weight", "out"), "*bf16"),
                {"EPS": 1e-5, "D": d, "D_PAD": d, "HAS_DELTA": True, "SUM": tl.float32}, 8,
            ),
            Case(
                f"silu, {ffn}", activation._silu_mul,
                dict.fromkeys(("gate_up", "out"), "*bf16"),
                {"F": ffn, "BLOCK": 1024, "SUM": tl.float32},
            ),
            Case(
                f"rotation, {heads} heads of {head_dim}", rope._rope_write_kv,
                {**qkv, "rotations": "*fp32", "positions": "*i64", "slots": "*i64"},
                {"H": heads, "KVH": 8, "D": head_dim, "D_PAD": head_dim, "SUM": tl.float32,
                 "EPS": 1e-5, "BLOCK": 8, "HAS_NORM": False, "IS_ROTATED": True},
            ),
        ]  # fmt: skip
    for kind in ("bf16", "fp32"):
        found += [
            Case(
                f"fp8 product, {k} to {m} rows, {kind}", fp8._fp8_linear,
                {"x": f"*{kind}", "weight": "*fp8e4nv", "scales": "*fp32", "out": f"*{kind}"},
                {"K": k, "BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": 128, "SUM": tl.float32}, 4, 4,
            )
            for k, m, n in ((4096, 64, 64), (4096, 16, 32), (28672, 32, 32))
        ]  # fmt: skip
    found.append(
        Case(
            "reduce, 32 parts", attention._reduce_splits, {**parts, "out": "*bf16"},
            {"H": 32, "D": 128, "D_PAD": 128, "SPLITS_PAD": 32},
        )
    )  # fmt: skip
    return found


def _attention_kernels() -> list[Case]:
    ints = {"cu_q": "*i64", "seq_lens": "*i64", "rows": "*i64", "table": "*i32"}
    found = []
    heads = ((32, 8, 128), (32, 8, 64), (64, 8, 128), (14, 2, 64), (8, 8, 128), (24, 3, 96))
    for h, kvh, d in heads:
        group = h // kvh
        for kind, sums in (("bf16", "*fp32"), ("fp32", "*fp32")):
            whole_m = max(128, _rows(group)) if kind == "bf16" else max(32, _rows(group))
            for what, m, is_split, is_uniform in (
                ("one each, split", _rows(group), True, True),
                ("one each", _rows(group), False, True),
                ("eight each, split", min(_rows(8 * group), whole_m), True, True),
                ("unequal few, split", _rows(group), True, False),
                ("few tokens of prompts", min(max(32, _rows(group)), whole_m), False, False),
                ("prompts", whole_m, False, False),
            ):
                pointers = dict.fromkeys(("q", "cache", "out"), f"*{kind}")
                pointers |= dict.fromkeys(("parts", "lse"), sums if is_split else f"*{kind}")
                constants = {
                    "H": h, "KVH": kvh, "D": d, "D_PAD": 1 << (d - 1).bit_length(),
                    "SUM": tl.float32, "SCALE": 0.1, "BLOCK_SIZE": 16, "TILE": 64, "BLOCK_M": m,
                    "IS_SPLIT": is_split, "IS_UNIFORM": is_uniform,
                }  # fmt: skip
                is_large, stages = m >= 128, 2 if not is_split and not is_uniform else 3
                found.append(
                    Case(
                        f"{what}, heads {h, kvh, d}, {kind}", attention._paged_attention,
                        {**pointers, **ints}, constants, 8 if is_large else 4,
                        stages if kind == "bf16" else 1,
                    )
                )  # fmt: skip
    return found


def _rows(rows: int) -> int:
    return max(16, 1 << (rows - 1).bit_length())


def compiled(case: Case) -> dict[str, Any]:
    """What came of it. Raises what the compiler raises."""
    started_s = time.perf_counter()
    names = case.kernel.arg_names
    signature = {
        n: "constexpr" if n in case.constants else case.pointers.get(n, "i32") for n in names
    }
    # As the launcher would find: tensors and strides are multiples of 16, or nobody asks.
    unasked = {*case.kernel.do_not_specialize, *case.kernel.do_not_specialize_on_alignment}
    is_aligned = [n not in unasked and (n in case.pointers or "stride" in n) for n in names]
    attributes = {(i,): [["tt.divisibility", 16]] for i, yes in enumerate(is_aligned) if yes}
    source = ASTSource(case.kernel, signature, constexprs=case.constants, attrs=attributes)
    options = {"num_warps": case.num_warps, "num_stages": case.num_stages}
    kernel = triton.compile(source, target=HOPPER, options=options)
    ptx = kernel.asm["ptx"]
    return {
        "kernel": case.name, "triton": triton.__version__, "shared_bytes": kernel.metadata.shared,
        "wgmma": ptx.count("wgmma.mma_async"), "mma": ptx.count("mma.sync"),
        "async_copies": ptx.count("cp.async.c"), "cubin_bytes": len(kernel.asm["cubin"]),
        **_resources(kernel.asm["cubin"]), "warps": kernel.metadata.num_warps,
        "seconds": round(time.perf_counter() - started_s, 2),
    }  # fmt: skip


def _resources(cubin: bytes) -> dict[str, int]:
    """Registers of a thread, and bytes of its stack: what a driver would say that loaded it."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run(
            [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found is not None, told
    return {"registers": int(found[1]), "stack_bytes": int(found[2])}


def main() -> int:
    for case in cases() + (more_cases() if "--all" in sys.argv[1:] else []):
        print(json.dumps(compiled(case)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
