"""Capacity by roofline: an estimate for planning before anything was measured, never a verdict.

Prefill is bound by arithmetic, decoding by the larger of arithmetic and memory traffic; 45 % of the
peak arithmetic and 60 % of the peak bandwidth are reached. Left out: attention's own arithmetic,
communication between GPUs, scheduling. Any measured capacity replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.decisions.prices import Mix

FLOP_SHARE, BANDWIDTH_SHARE, MEMORY_SHARE = 0.45, 0.60, 0.90
MOST_BATCH, TPOT_S = 256, 0.050
Precision = Literal["fp8", "fp16", "int4"]
WEIGHT_BYTES: dict[Precision, float] = {"fp8": 1.0, "fp16": 2.0, "int4": 0.5}
KV_BYTES: dict[Precision, float] = {"fp8": 1.0, "fp16": 2.0, "int4": 2.0}


@dataclass(frozen=True, slots=True)
class GpuPeaks:
    """Of one GPU, dense, as its data sheet says. int4 weights compute in fp16, fp8 where it can at
    twice that."""

    fp16_flop_per_s: float
    has_fp8: bool
    bytes_per_s: float
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class Weights:
    """A dense model. kv_values_per_tok: 2 x layers x KV heads x head width."""

    parameters: float
    kv_values_per_tok: int


# NVIDIA's data sheets: A10G (as A10: 125 TFLOPS), A100 40 and 80 GB SXM, H100 SXM
GPUS = {
    "a10g": GpuPeaks(125e12, False, 0.600e12, 24e9),
    "a100-40": GpuPeaks(312e12, False, 1.555e12, 40e9),
    "a100-80": GpuPeaks(312e12, False, 2.039e12, 80e9),
    "h100": GpuPeaks(989e12, True, 3.35e12, 80e9),
}
MODELS = {
    "llama-70b": Weights(70.6e9, 2 * 80 * 8 * 128),
    "llama-405b": Weights(405.9e9, 2 * 126 * 8 * 128),
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """One replica: a model in a precision on a group of GPUs."""

    model: Weights
    precision: Precision
    gpu: GpuPeaks
    num_gpus: int

    @property
    def weight_bytes(self) -> float:
        return self.model.parameters * WEIGHT_BYTES[self.precision]

    @property
    def kv_bytes(self) -> float:
        """Left for KV by the weights, of 90 % of the memory; negative where they do not fit."""
        return MEMORY_SHARE * self.num_gpus * self.gpu.memory_bytes - self.weight_bytes

    @property
    def kv_bytes_per_tok(self) -> float:
        return self.model.kv_values_per_tok * KV_BYTES[self.precision]

    @property
    def s_per_tok(self) -> float:
        """Arithmetic of one token: 2 FLOP a parameter."""
        is_fp8 = self.precision == "fp8" and self.gpu.has_fp8
        peak = self.gpu.fp16_flop_per_s * (2 if is_fp8 else 1)
        return 2 * self.model.parameters / (FLOP_SHARE * self.num_gpus * peak)

    def step_s(self, batch: int, context_tok: float) -> float:
        """One decode step: the weights and every sequence's KV are read once."""
        read = self.weight_bytes + batch * context_tok * self.kv_bytes_per_tok
        memory_s = read / (BANDWIDTH_SHARE * self.num_gpus * self.gpu.bytes_per_s)
        return max(memory_s, batch * self.s_per_tok)


def roofline_tok_per_h(deployment: Deployment, mix: Mix) -> float:
    """Tokens an hour, in and out, of requests of the mix: (i + o)/(i t_prefill + o t(B)/B).

    B: the largest batch within 256, the memory (in + out of each sequence) and 50 ms a step at a
    mean context of i + o/2; where not even one sequence keeps the 50 ms, one is served more slowly.
    0 where the weights or a single sequence do not fit.
    """
    context = mix.input_tok + mix.output_tok / 2
    fits = int(max(0.0, deployment.kv_bytes) // (deployment.kv_bytes_per_tok * mix.tok))
    batch = min(MOST_BATCH, fits)
    while batch > 1 and deployment.step_s(batch, context) > TPOT_S:
        batch -= 1
    if batch == 0:
        return 0.0
    decode_s = mix.output_tok * deployment.step_s(batch, context) / batch
    return 3600 * mix.tok / (mix.input_tok * deployment.s_per_tok + decode_s)
