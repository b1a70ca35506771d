"""The shape of a model: what is computed, and what one step of it must cost. No torch.

An architecture, rope or layer feature the engine does not compute is refused by name here, before a
byte of weights is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .errors import ModelError

Quantization = Literal["fp8"]
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float64": 8}
ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}


@dataclass(frozen=True, slots=True)
class RopeFactors:
    """Frequency i is divided by factors[i]: how GGUF files store Llama 3.1's scaling."""

    factors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Llama3Rope:
    """Llama 3.1's frequency scaling: long wavelengths are divided by `factor`, short ones kept."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position: int


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """What one forward pass must move and compute; the denominators of every roofline.

    streamed_bytes: matrix bytes read once a step (lm_head included, the input embedding not).
    flops_per_token: two a matrix element; attention adds flops_per_context_token for every
    (new token, context token) pair.
    """

    num_params: int
    streamed_bytes: int
    kv_bytes_per_token: int
    flops_per_token: int
    flops_per_context_token: int


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of a Llama-family decoder. head_dim need not be hidden_size / num_heads."""

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    rope_scaling: Llama3Rope | RopeFactors | None = None
    is_tied: bool = False
    has_qkv_bias: bool = False
    has_out_bias: bool = False
    has_qk_norm: bool = False
    eos_ids: tuple[int, ...] = ()
    bos_id: int | None = None

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ModelError(
                f"{self.num_heads} attention heads cannot share {self.num_kv_heads} key-value heads"
            )
        if self.head_dim % 2:
            raise ModelError(f"head_dim {self.head_dim} is odd; rotary embeddings need pairs")
        scaling = self.rope_scaling
        if isinstance(scaling, RopeFactors) and len(scaling.factors) != self.head_dim // 2:
            raise ModelError(
                f"{len(scaling.factors)} rope factors for {self.head_dim // 2} frequencies"
            )

    @classmethod
    def from_hf_dict(cls, d: dict[str, Any]) -> ModelConfig:
        """Read a Hugging Face config.json, of transformers 4 or 5. Raises ModelError by name."""
        architecture = _architecture(d)
        _refuse_unknown_features(d)
        try:
            num_heads = int(d["num_attention_heads"])
            theta, scaling = _rope(d)
            has_bias = bool(d.get("attention_bias", False))
            eos = d.get("eos_token_id")
            return cls(
                architecture=architecture,
                vocab_size=int(d["vocab_size"]),
                hidden_size=int(d["hidden_size"]),
                intermediate_size=int(d["intermediate_size"]),
                num_layers=int(d["num_hidden_layers"]),
                num_heads=num_heads,
                num_kv_heads=int(d.get("num_key_value_heads") or num_heads),
                head_dim=int(d.get("head_dim") or int(d["hidden_size"]) // num_heads),
                max_position=int(d.get("max_position_embeddings", 2048)),
                rms_norm_eps=float(d.get("rms_norm_eps", 1e-6)),
                rope_theta=theta,
                rope_scaling=scaling,
                is_tied=bool(d.get("tie_word_embeddings", False)),
                has_qkv_bias=architecture == "qwen2" or has_bias,
                has_out_bias=architecture != "qwen2" and has_bias,
                has_qk_norm=architecture == "qwen3",
                eos_ids=() if eos is None else tuple(eos) if isinstance(eos, list) else (eos,),
                bos_id=d.get("bos_token_id"),
            )
        except KeyError as missing:
            raise ModelError(f"config.json has no {missing}") from None
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ModelError("config.json holds a wrong value", why=str(error)) from error

    @property
    def layer_matrix_params(self) -> int:
        """Elements of one layer's seven matrices."""
        heads = (2 * self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        return self.hidden_size * (heads + 3 * self.intermediate_size)

    @property
    def num_params(self) -> int:
        """Matrix elements: layers, embedding, lm_head unless tied. No norms, no biases."""
        embeddings = (1 if self.is_tied else 2) * self.vocab_size * self.hidden_size
        return self.num_layers * self.layer_matrix_params + embeddings

    def costs(self, dtype: str, quantization: Quantization | None = None) -> ModelCosts:
        """Costs with weights and cache in `dtype` (a resolved name, not 'auto').

        quantization fp8: the layers' matrices take a byte an element, lm_head does not.
        """
        num_bytes = DTYPE_BYTES[dtype]
        layers = self.num_layers * self.layer_matrix_params
        head = self.vocab_size * self.hidden_size
        return ModelCosts(
            num_params=self.num_params,
            streamed_bytes=layers * (1 if quantization else num_bytes) + head * num_bytes,
            kv_bytes_per_token=2 * self.num_layers * self.num_kv_heads * self.head_dim * num_bytes,
            flops_per_token=2 * (layers + head),
            flops_per_context_token=4 * self.num_layers * self.num_heads * self.head_dim,
        )


def _architecture(d: dict[str, Any]) -> str:
    names = d.get("architectures") or []
    for name in names:
        if name in ARCHITECTURES:
            return ARCHITECTURES[name]
    raise ModelError(
        f"architecture {', '.join(names) or 'unnamed'} is not supported",
        where="config.json, key 'architectures'",
        do=f"use one of {', '.join(ARCHITECTURES)}",
    )


def _refuse_unknown_features(d: dict[str, Any]) -> None:
    """Name each thing the forward pass would silently get wrong."""
    neutral: dict[str, tuple[Any, ...]] = {
        "hidden_act": ("silu",),
        "mlp_bias": (False, None),
        "use_sliding_window": (False, None),
        "quantization_config": (None,),
        "partial_rotary_factor": (1.0, None),
        "is_causal": (True, None),
    }
    for key, values in neutral.items():
        if key in d and d[key] not in values:
            raise ModelError(f"{key} = {d[key]!r} is not supported", where="config.json")


def _rope(d: dict[str, Any]) -> tuple[float, Llama3Rope | None]:
    """theta and scaling, from transformers 5's rope_parameters or 4's rope_theta + rope_scaling."""
    rope = d.get("rope_parameters") or d.get("rope_scaling") or {}
    theta = float(rope.get("rope_theta") or d.get("rope_theta") or 10_000.0)
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise ModelError(
            f"rope type {kind!r} is not supported",
            where="config.json, key 'rope_scaling'",
            do="use a model with rope type 'default' or 'llama3'",
        )
    return theta, Llama3Rope(
        factor=float(rope["factor"]),
        low_freq_factor=float(rope["low_freq_factor"]),
        high_freq_factor=float(rope["high_freq_factor"]),
        original_max_position=int(rope["original_max_position_embeddings"]),
    )
