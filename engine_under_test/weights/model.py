"""The training-side Llama: dense, causal, one file, no cache.

Parameter names, layouts and arithmetic are those of Hugging Face's LlamaForCausalLM (half-split
rotary pairs, tied embeddings), so a state dict saved from here loads there unchanged. Serving
uses the engine's own decoder; this one exists for training, evaluation and as a second opinion.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama shape. head_dim * num_heads need not equal hidden."""

    vocab: int
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn: int
    rope_theta: float = 100_000.0
    rms_eps: float = 1e-5
    max_position: int = 8192

    def hf_config(self, bos_id: int, eos_id: int, pad_id: int) -> dict[str, object]:
        """The config.json of this shape."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "intermediate_size": self.ffn,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": self.max_position,
            "rms_norm_eps": self.rms_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": None,
            "tie_word_embeddings": True,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
            "initializer_range": 0.02,
            "use_cache": True,
            "bos_token_id": bos_id,
            "eos_token_id": eos_id,
            "pad_token_id": pad_id,
            "torch_dtype": "bfloat16",
        }

    @classmethod
    def from_hf_config(cls, config: dict[str, object]) -> Shape:
        """The inverse of hf_config."""

        def number(key: str) -> int:
            return int(str(config[key]))

        return cls(
            vocab=number("vocab_size"),
            hidden=number("hidden_size"),
            num_layers=number("num_hidden_layers"),
            num_heads=number("num_attention_heads"),
            num_kv_heads=number("num_key_value_heads"),
            head_dim=number("head_dim"),
            ffn=number("intermediate_size"),
            rope_theta=float(str(config["rope_theta"])),
            rms_eps=float(str(config["rms_norm_eps"])),
            max_position=number("max_position_embeddings"),
        )


TARGET = Shape(
    vocab=2048, hidden=256, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=64, ffn=704
)
DRAFT = Shape(
    vocab=2048, hidden=96, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=32, ffn=256
)


def rope_tables(positions: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """cos and sin, each [T, head_dim], the half-split convention: both halves repeat."""
    exponent = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angle = positions.float()[:, None] / shape.rope_theta**exponent
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [B, H, T, D]."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-high, low], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        d, hd = shape.hidden, shape.head_dim
        self.q_proj = nn.Linear(d, shape.num_heads * hd, bias=False)
        self.k_proj = nn.Linear(d, shape.num_kv_heads * hd, bias=False)
        self.v_proj = nn.Linear(d, shape.num_kv_heads * hd, bias=False)
        self.o_proj = nn.Linear(shape.num_heads * hd, d, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, _ = x.shape
        s = self.shape
        q = self.q_proj(x).view(b, t, s.num_heads, s.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(b, t, s.num_kv_heads, s.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(b, t, s.num_kv_heads, s.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = s.num_heads // s.num_kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(b, t, -1))
        return out


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.down_proj = nn.Linear(shape.ffn, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden, eps=shape.rms_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.rms_eps)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.rms_eps)

    def forward(self, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.norm(x)
        return out


class TinyLlama(nn.Module):
    """hidden(ids [B, T]) -> [B, T, d]; forward(ids) -> logits [B, T, vocab]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                # Residual writers start small, so that the stack begins near the identity.
                scale = 0.5 / shape.num_layers**0.5 if "o_proj" in name or "down" in name else 1.0
                std = 0.02 if "embed" in name else scale * p.shape[1] ** -0.5
                nn.init.normal_(p, std=std)

    @property
    def num_params(self) -> int:
        """Every parameter, norms included; the tied embedding once."""
        return sum(p.numel() for p in self.parameters())

    def hidden(self, ids: Tensor) -> Tensor:
        cos, sin = rope_tables(torch.arange(ids.shape[1], device=ids.device), self.shape)
        out: Tensor = self.model(ids, cos, sin)
        return out

    def head(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.model.embed_tokens.weight)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.hidden(ids))
