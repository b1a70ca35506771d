"""/v1/models: what is served, and everything a report needs to know the target by."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..config import EngineConfig
from ..model_config import ModelConfig
from ..models import SHAPES
from ..models.sentence import VectorRule
from .call_grammar import MAX_CALLS

MAX_INPUTS, MAX_INPUT_TOK = 2048, 300_000  # of one request for embeddings, as at OpenAI
AS_A_CHAT_MODEL = VectorRule()


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The one model of this process. weights: `trained` or `random`, the latter for speed only."""

    name: str
    model_config: ModelConfig
    engine_config: EngineConfig
    dtype: str
    max_model_len: int
    num_blocks: int
    eos_ids: tuple[int, ...]
    weights: str
    weights_digest: str
    created_s: int
    fault_header: str = ""
    vectors: VectorRule = AS_A_CHAT_MODEL

    @property
    def label(self) -> str:
        """What a report must say where the text is not that of a published model; else empty."""
        return "; ".join(filter(None, (self._weights_label, self._synthetic_label)))

    @property
    def is_synthetic(self) -> bool:
        """Whether drafts are accepted by a coin."""
        return bool(self._synthetic_label)

    @property
    def _synthetic_label(self) -> str:
        rates = self.engine_config.spec.synthetic_label if self.engine_config.spec else ""
        return rates and f"synthetic draft acceptance {rates}: speed only, no meaning"

    @property
    def _weights_label(self) -> str:
        if self.weights != "random":
            return ""
        shape = self.engine_config.shape
        num_layers = self.model_config.num_layers
        full = SHAPES[shape].num_layers if shape is not None else num_layers
        depth = f", {num_layers} of its {full} layers" if num_layers != full else ""
        eight = " in fp8" if self.engine_config.quantization == "fp8" else ""
        return f"random weights of the shape {shape}{eight}{depth}: speed only, no meaning"

    def describe(self) -> dict[str, Any]:
        """The OpenAI model object; `engine` holds what is ours."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created_s,
            "owned_by": "engine_under_test",
            "max_model_len": self.max_model_len,
            "engine": {
                "weights": self.weights,
                "label": self.label,
                "weights_digest": self.weights_digest,
                "dtype": self.dtype,
                "shape": _plain(asdict(self.model_config)),
                "costs": asdict(
                    self.model_config.costs(self.dtype, self.engine_config.quantization)
                ),
                "limits": {
                    "max_model_len": self.max_model_len,
                    "max_num_seqs": self.engine_config.max_num_seqs,
                    "max_num_batched_tokens": self.engine_config.max_num_batched_tokens,
                    "max_waiting": self.engine_config.max_waiting,
                    "block_size": self.engine_config.block_size,
                    "num_blocks": self.num_blocks,
                    "max_tool_calls": MAX_CALLS,  # of an answer that must be calls
                },
                "embeddings": {
                    "pooling": self.vectors.pooling,
                    "is_normalized": self.vectors.is_normalized,
                    "dimensions": self.model_config.hidden_size,
                    "max_inputs": MAX_INPUTS,
                    "max_input_tokens": MAX_INPUT_TOK,  # together
                },
                "flags": _plain(asdict(self.engine_config)),
                "hardware": {"machine": platform.machine(), "system": platform.system()},
                "faults": self.fault_header or None,
            },
        }


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values only; a path keeps its last part, for the rest is nobody's business."""
    return {
        k: _plain(v) if isinstance(v, Mapping) else getattr(v, "name", v) for k, v in fields.items()
    }
