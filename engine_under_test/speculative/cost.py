"""What a step should take, from the model's shape alone: nothing is timed.

Paid once a step whatever the number of tokens: streaming the weights and the sequences' keys and
values, and the call of every operation. Paid for every token: its arithmetic. The figures of a
CPU were measured on one x86 core with AMX; ratios matter, not digits.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine_under_test.model_config import ModelConfig

CPU_BYTES_PER_S = 10e9
CPU_CACHED_BYTES_PER_S = 25e9  # weights that stay in the last-level cache from step to step
CPU_CACHE_BYTES = 32 * 2**20
CPU_FLOP_PER_S = {"float32": 120e9, "bfloat16": 1.2e12, "float64": 60e9}
CPU_OPERATION_S = 12e-6
# An H200 as measured: a copy's bytes, a large bf16 product, and ten small kernels of a graph.
HOPPER_BYTES_PER_S = 4.3e12
HOPPER_FLOP_PER_S = 790e12
HOPPER_LAYER_S = 13e-6
_OPERATIONS_A_LAYER = 12
_OTHER_OPERATIONS = 10


@dataclass(frozen=True, slots=True)
class StepCost:
    """seconds = once_s + context_tokens * per_context_s + tokens * per_token_s."""

    once_s: float
    per_context_s: float
    per_token_s: float

    @classmethod
    def on_cpu(cls, model: ModelConfig, dtype: str) -> StepCost:
        """dtype: a resolved name."""
        costs = model.costs(dtype)
        is_cached = costs.streamed_bytes <= CPU_CACHE_BYTES
        bytes_per_s = CPU_CACHED_BYTES_PER_S if is_cached else CPU_BYTES_PER_S
        num_operations = model.num_layers * _OPERATIONS_A_LAYER + _OTHER_OPERATIONS
        return cls(
            once_s=costs.streamed_bytes / bytes_per_s + num_operations * CPU_OPERATION_S,
            per_context_s=costs.kv_bytes_per_token / CPU_BYTES_PER_S,
            per_token_s=costs.flops_per_token / CPU_FLOP_PER_S[dtype],
        )

    @classmethod
    def on_hopper(cls, model: ModelConfig, dtype: str) -> StepCost:
        """dtype: a resolved name. A step is a captured graph: its operations cost little."""
        costs = model.costs(dtype)
        return cls(
            once_s=costs.streamed_bytes / HOPPER_BYTES_PER_S + model.num_layers * HOPPER_LAYER_S,
            per_context_s=costs.kv_bytes_per_token / HOPPER_BYTES_PER_S,
            per_token_s=costs.flops_per_token / HOPPER_FLOP_PER_S,
        )

    def seconds(self, num_tokens: int, num_context: int) -> float:
        """A step of num_tokens whose sequences hold num_context tokens in all."""
        return self.once_s + num_context * self.per_context_s + num_tokens * self.per_token_s

    def ridge_tok(self, num_context: int) -> float:
        """Tokens of a step at which arithmetic costs as much as all that is paid once."""
        return (self.once_s + num_context * self.per_context_s) / self.per_token_s
