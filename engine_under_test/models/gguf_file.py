"""A model in one GGUF file: its shape as a Hugging Face configuration, its tensors dequantised.

llama.cpp's format, read through its own `gguf` package (extra `gguf`). Files of the llama
architecture hold the rows of q and k permuted so that rotated pairs lie side by side; tensors()
gives them back in Hugging Face's order, under Hugging Face's names. Quantised blocks become
float32: what runs is the plain arithmetic of the values the file stores, at no quantised speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from engine_under_test.errors import ModelError
from engine_under_test.model_config import RopeFactors

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_MODULES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROPE_FACTORS = "rope_freqs.weight"
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")


class GgufFile:
    """One open file. Raises ModelError where it is damaged or the `gguf` package is missing."""

    def __init__(self, path: Path) -> None:
        gguf = _package()
        self.path = path
        try:
            self._reader = gguf.GGUFReader(str(path))
        except (ValueError, IndexError, KeyError, OSError, OverflowError) as error:
            raise ModelError(
                f"{path.name} is no readable GGUF file",
                where=str(path),
                why=str(error),
                do="download or restore the file",
            ) from error
        self._dequantize = gguf.dequantize

    def get(self, key: str) -> Any:
        """The value of a metadata field; None where the file has none of that name."""
        field = self._reader.fields.get(key)
        return None if field is None else field.contents()

    def config(self) -> dict[str, Any]:
        """The shape as config.json would say it. Raises ModelError naming what is unsupported."""
        architecture = self.get("general.architecture")
        if architecture not in ARCHITECTURES:
            raise ModelError(
                f"GGUF architecture {architecture} is not supported",
                where=str(self.path),
                do=f"use one of {', '.join(ARCHITECTURES)}",
            )
        names = {t.name: t.shape for t in self._reader.tensors}

        def of(key: str, default: Any = None) -> Any:
            value = self.get(f"{architecture}.{key}")
            if value is None and default is None:
                raise ModelError(f"the field {architecture}.{key} is missing", where=str(self.path))
            return default if value is None else value

        num_heads, width = int(of("attention.head_count")), int(of("embedding_length"))
        head_dim = int(of("attention.key_length", width // num_heads))
        kinds = {
            "rope.scaling.type": (of("rope.scaling.type", "none"), "none"),
            "rope.dimension_count": (of("rope.dimension_count", head_dim), head_dim),
            "attention.value_length": (of("attention.value_length", head_dim), head_dim),
        }
        for key, (value, expected) in kinds.items():
            if value != expected:
                raise ModelError(f"{key} = {value} is not supported", where=str(self.path))
        if "token_embd.weight" not in names:
            raise ModelError("token_embd.weight is missing", where=str(self.path))
        eos = self.get("tokenizer.ggml.eos_token_id")
        return {
            "architectures": [ARCHITECTURES[architecture]],
            "vocab_size": int(names["token_embd.weight"][1]),
            "hidden_size": width,
            "intermediate_size": int(of("feed_forward_length")),
            "num_hidden_layers": int(of("block_count")),
            "num_attention_heads": num_heads,
            "num_key_value_heads": int(of("attention.head_count_kv", num_heads)),
            "head_dim": head_dim,
            "max_position_embeddings": int(of("context_length")),
            "rms_norm_eps": float(of("attention.layer_norm_rms_epsilon")),
            "rope_theta": float(of("rope.freq_base", 10_000.0)),
            "tie_word_embeddings": "output.weight" not in names,
            "attention_bias": architecture == "llama" and "blk.0.attn_q.bias" in names,
            "eos_token_id": None if eos is None else int(eos),
            "bos_token_id": self.get("tokenizer.ggml.bos_token_id"),
        }

    def rope_factors(self) -> RopeFactors | None:
        """By which rotary frequencies are divided; None where the file says nothing of it."""
        for stored in self._reader.tensors:
            if stored.name == ROPE_FACTORS:
                values = self._dequantize(stored.data, stored.tensor_type)
                return RopeFactors(tuple(map(float, values.flatten())))
        return None

    def tensors(self) -> Iterator[tuple[str, Path, torch.Tensor]]:
        """(Hugging Face name, file, float32 tensor) of every tensor."""
        is_permuted = self.get("general.architecture") == "llama"
        num_q = int(self.get(f"{self.get('general.architecture')}.attention.head_count"))
        num_kv = int(
            self.get(f"{self.get('general.architecture')}.attention.head_count_kv") or num_q
        )
        for stored in self._reader.tensors:
            if stored.name == ROPE_FACTORS:
                continue  # a setting, not a weight
            name = _hf_name(stored.name)
            try:
                values = self._dequantize(stored.data, stored.tensor_type)
            except (NotImplementedError, ValueError) as error:
                raise ModelError(
                    f"{stored.name} cannot be dequantised",
                    where=str(self.path),
                    why=f"{stored.tensor_type.name}: {error}",
                ) from error
            tensor = torch.tensor(values, dtype=torch.float32)  # a copy: the file is mapped
            if is_permuted and ".q_proj." in name:
                tensor = _unpermuted(tensor, num_q)
            elif is_permuted and ".k_proj." in name:
                tensor = _unpermuted(tensor, num_kv)
            yield name, self.path, tensor


def _hf_name(name: str) -> str:
    if (match := _BLOCK.fullmatch(name)) and match[2] in _MODULES:
        return f"model.layers.{match[1]}.{_MODULES[match[2]]}.{match[3]}"
    return _WHOLE.get(name, name)


def _unpermuted(rows: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Rows (or a bias) of interleaved pairs back to Hugging Face's two halves a head."""
    pairs = rows.view(num_heads, -1, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape)


def _package() -> Any:
    try:
        import gguf
    except ImportError:
        raise ModelError(
            "the package gguf, which reads GGUF files, is not installed",
            do="pip install gguf (or 'inference-harness[engine,gguf]')",
        ) from None
    return gguf
