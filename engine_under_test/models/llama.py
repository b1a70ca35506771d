"""The Llama family as one forward pass: Llama, Qwen2 (qkv bias), Qwen3 (qk-norm).

Written for few operations a layer, which is what bounds a small model: q, k, v are one matrix,
gate and up are one matrix, residual additions ride on the matrix products. No nn.Module: weights
are plain tensors that the loader fills through `slots`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from engine_under_test.attention import AttentionBackend
from engine_under_test.batch import FlatBatch
from engine_under_test.compiled import suits
from engine_under_test.compiled.choose import CACHED_BYTES
from engine_under_test.device import CPU
from engine_under_test.model_config import ModelConfig

from .fp8 import EightBits, Fp8Matrix
from .lora import LoraBatch
from .matrix import AnyMatrix, Matrix
from .ops import LayerOps, TorchOps
from .panels import Store
from .rope import as_pairs, rotation_table
from .slot import WeightSlot

log = logging.getLogger(__name__)
MOST_COPIED_BYTES = 2 * 2**30  # more are not kept in two arrangements


@dataclass(slots=True)
class LayerWeights:
    """One decoder layer; matrices are [out, in], None where the architecture has none.

    Norms are [2, D], the second row unused: see ops.rms_norm.
    """

    attn_norm: torch.Tensor
    qkv: AnyMatrix
    qkv_bias: torch.Tensor | None
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    out: AnyMatrix
    out_bias: torch.Tensor | None
    mlp_norm: torch.Tensor
    gate_up: AnyMatrix
    down: AnyMatrix


class Llama:
    """Weights and forward pass. Not trainable."""

    def __init__(
        self,
        config: ModelConfig,
        max_model_len: int,
        dtype: torch.dtype,
        device: torch.device = CPU,
        ops: LayerOps | None = None,
        eight_bits: EightBits | None = None,
    ) -> None:
        """ops None: those of a CPU.  eight_bits: of the layers' matrices, not of embedding and
        lm_head."""
        self._eight_bits = eight_bits
        self.config = config
        self.dtype = dtype
        self.device = device
        self._ops: LayerOps = ops or TorchOps()
        c, d = config, config.hidden_size
        self.embedding = torch.empty(c.vocab_size, d, dtype=dtype, device=device)
        self.lm_head: AnyMatrix = Matrix(0 if c.is_tied else c.vocab_size, d, dtype, device)
        if c.is_tied:
            self.lm_head.weight = self.embedding
        self.norm = torch.zeros(2, d, dtype=dtype, device=device)
        self.layers = [
            _empty_layer(c, dtype, device, eight_bits == "stored") for _ in range(c.num_layers)
        ]
        self._rotations = rotation_table(c, max_model_len, dtype).to(device)

    def forward(
        self,
        batch: FlatBatch,
        attention: AttentionBackend[Any],
        meta: object,
        lora: LoraBatch | None = None,
    ) -> torch.Tensor:
        """Hidden states [T, hidden_size] before the last norm; writes the batch's KV entries.

        lora: the adapters of this step's sequences; None where no sequence has one.
        """
        c, eps, ops = self.config, self.config.rms_norm_eps, self._ops
        rotations = ops.rotations(self._rotations, batch.positions)
        x = F.embedding(batch.input_ids, self.embedding)
        h = ops.norm(x, self.layers[0].attn_norm, eps)
        for i, w in enumerate(self.layers):
            qkv = w.qkv.product(h, w.qkv_bias)
            if lora is not None:
                lora.add_(i, "qkv", h, qkv)
            heads = qkv.view(len(qkv), -1, c.head_dim)  # [T, q heads | k heads | v heads, D]
            norms = None if w.q_norm is None or w.k_norm is None else (w.q_norm, w.k_norm)
            mixed = ops.attend(attention, heads, c.num_heads, i, meta, rotations, norms, eps)
            pending = ops.onto(x, w.out, w.out_bias, mixed)
            if lora is not None:
                lora.add_(i, "out", mixed, pending)
            x, h = ops.add_norm(x, pending, w.mlp_norm, eps)
            gate_up = w.gate_up.product(h)
            if lora is not None:
                lora.add_(i, "gate_up", h, gate_up)
            activated = ops.silu_mul(gate_up)
            pending = ops.onto(x, w.down, None, activated)
            if lora is not None:
                lora.add_(i, "down", activated, pending)
            if i + 1 < len(self.layers):
                x, h = ops.add_norm(x, pending, self.layers[i + 1].attn_norm, eps)
            else:
                x = ops.add(x, pending)
        return x

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, vocab_size] of hidden [N, hidden_size]: float64 for float64 models, else float32."""
        logits = self.raw_logits(hidden)
        return logits.float() if logits.dtype == torch.bfloat16 else logits

    def raw_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The same in the model's own dtype."""
        return self.lm_head.product(self.normed(hidden))

    def normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [N, hidden_size] behind the last norm: what the head sees, and embeddings are."""
        return self._ops.norm(hidden, self.norm, self.config.rms_norm_eps)

    def pack(self) -> None:
        """Arrange the matrices for running; after it slots() has nothing to give."""
        num_bytes = self.config.costs("float32").streamed_bytes
        is_streamed = num_bytes > CACHED_BYTES
        can_copy = num_bytes <= MOST_COPIED_BYTES
        store = self._store() if is_streamed else None
        if is_streamed and self.dtype == torch.float32 and self.device.type == "cpu":
            how = "compiled here" if store is not None else "torch's"
            log.info("float32 matrix products and attention are %s", how)

        def packed(matrix: AnyMatrix) -> AnyMatrix:
            if not isinstance(matrix, Matrix):
                return matrix
            return matrix.packed(is_streamed and can_copy, store)

        for w in self.layers:  # in the order in which a step reads them
            w.qkv, w.out = packed(w.qkv), packed(w.out)
            w.gate_up, w.down = packed(w.gate_up), packed(w.down)
        if can_copy or not self.config.is_tied:  # the embedding is read by rows, and stays
            self.lm_head = packed(self.lm_head)

    def _store(self) -> Store | None:
        """Room for all matrices in panels; None where those are not for this model."""
        if not suits(self.config, self.dtype, self.device):
            return None
        matrices = [m for w in self.layers for m in (w.qkv, w.out, w.gate_up, w.down)]
        wide = [m for m in (*matrices, self.lm_head) if isinstance(m, Matrix)]
        return Store([m.weight.shape for m in wide])

    def slots(self) -> Iterator[tuple[str, WeightSlot]]:
        """Every tensor of a Hugging Face checkpoint, by name, and where it belongs here."""
        c, d, ffn = self.config, self.config.hidden_size, self.config.intermediate_size
        q, kv = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
        yield "model.embed_tokens.weight", WeightSlot(self.embedding, (c.vocab_size, d))
        if not c.is_tied:
            assert isinstance(self.lm_head, Matrix), "filled before it is packed"
            yield "lm_head.weight", WeightSlot(self.lm_head.weight, (c.vocab_size, d))
        yield "model.norm.weight", WeightSlot(self.norm[0], (d,), is_norm=True)
        for i, w in enumerate(self.layers):
            p = f"model.layers.{i}."
            a, m = p + "self_attn.", p + "mlp."
            yield p + "input_layernorm.weight", WeightSlot(w.attn_norm[0], (d,), is_norm=True)
            mlp_norm = WeightSlot(w.mlp_norm[0], (d,), is_norm=True)
            yield p + "post_attention_layernorm.weight", mlp_norm
            yield a + "q_proj.weight", self._slot(w.qkv, 0, (q, d), is_rotated=True)
            yield a + "k_proj.weight", self._slot(w.qkv, q, (kv, d), is_rotated=True)
            yield a + "v_proj.weight", self._slot(w.qkv, q + kv, (kv, d))
            yield a + "o_proj.weight", self._slot(w.out, 0, (d, q))
            if w.qkv_bias is not None:
                q_bias, k_bias, v_bias = w.qkv_bias.split_with_sizes((q, kv, kv))
                yield a + "q_proj.bias", WeightSlot(as_pairs(q_bias, c.head_dim), (q,))
                yield a + "k_proj.bias", WeightSlot(as_pairs(k_bias, c.head_dim), (kv,))
                yield a + "v_proj.bias", WeightSlot(v_bias, (kv,))
            if w.out_bias is not None:
                yield a + "o_proj.bias", WeightSlot(w.out_bias, (d,))
            for name, norm in (("q_norm", w.q_norm), ("k_norm", w.k_norm)):
                if norm is not None:
                    view = as_pairs(norm, c.head_dim)
                    yield f"{a}{name}.weight", WeightSlot(view, (c.head_dim,), is_norm=True)
            yield m + "gate_proj.weight", self._slot(w.gate_up, 0, (ffn, d))
            yield m + "up_proj.weight", self._slot(w.gate_up, ffn, (ffn, d))
            yield m + "down_proj.weight", self._slot(w.down, 0, (d, ffn))

    def _slot(
        self, matrix: AnyMatrix, start: int, shape: tuple[int, int], is_rotated: bool = False
    ) -> WeightSlot:
        """Rows of a layer's matrix from `start` on. is_rotated: they are in rope order."""
        rows, scales = slice(start, start + shape[0]), None
        if isinstance(matrix, Fp8Matrix):
            view, scales = matrix.weight.values[rows], matrix.weight.scales[rows]
        else:
            assert isinstance(matrix, Matrix), "weights are read and filled before they are packed"
            view = matrix.weight[rows]
        if is_rotated:
            view = as_pairs(view, self.config.head_dim)
            scales = None if scales is None else as_pairs(scales, self.config.head_dim)
        return WeightSlot(view, shape, scales=scales, is_rounded=self._eight_bits == "rounded")


def _empty_layer(
    c: ModelConfig, dtype: torch.dtype, device: torch.device, is_eight_bits: bool
) -> LayerWeights:
    def matrix(num_out: int, num_in: int) -> AnyMatrix:
        if is_eight_bits:
            return Fp8Matrix(num_out, num_in, device)
        return Matrix(num_out, num_in, dtype, device)

    def empty(size: int) -> torch.Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    def norm() -> torch.Tensor:
        return torch.zeros(2, c.hidden_size, dtype=dtype, device=device)

    q, kv = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
    return LayerWeights(
        attn_norm=norm(),
        qkv=matrix(q + 2 * kv, c.hidden_size),
        qkv_bias=empty(q + 2 * kv) if c.has_qkv_bias else None,
        q_norm=empty(c.head_dim) if c.has_qk_norm else None,
        k_norm=empty(c.head_dim) if c.has_qk_norm else None,
        out=matrix(c.hidden_size, q),
        out_bias=empty(c.hidden_size) if c.has_out_bias else None,
        mlp_norm=norm(),
        gate_up=matrix(2 * c.intermediate_size, c.hidden_size),
        down=matrix(c.hidden_size, c.intermediate_size),
    )
