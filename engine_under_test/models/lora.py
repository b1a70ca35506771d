"""LoRA adapters beside the base weights, several in one batch: y += B(Ax), each row its own A, B.

The adapters of a step lie in stacks A [slots, rank, in] and B [slots, rank, out], one pair for each
matrix of a layer; slot 0 is zero and stands for "no adapter". Single tokens pass through all slots
in use in one product and keep their own (a mask is all that changes between steps); longer chunks
run one by one. The factors of q, k and v, and of gate and up, lie on the diagonal of one pair, as
their matrices do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from engine_under_test.batch import FlatBatch
from engine_under_test.device import CPU
from engine_under_test.model_config import ModelConfig
from engine_under_test.request import Adapter

from .rope import as_pairs


class Factors(NamedTuple):
    """One module's adapter: a [r, in], b [out, r], the scale folded into b."""

    a: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LoraAdapter:
    """Weights of one adapter by layer and module ("self_attn.q_proj"); see peft.read_adapter."""

    name: str
    key: str
    rank: int
    layers: tuple[Mapping[str, Factors], ...]


class Part(NamedTuple):
    """A checkpoint's module inside one of our matrices. is_rotated: its rows are in rope order."""

    module: str
    num_in: int
    num_out: int
    is_rotated: bool = False


def targets(c: ModelConfig) -> dict[str, tuple[Part, ...]]:
    """Our four matrices of a layer and the modules they are made of, top to bottom."""
    d, ffn = c.hidden_size, c.intermediate_size
    q, kv = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
    return {
        "qkv": (
            Part("self_attn.q_proj", d, q, is_rotated=True),
            Part("self_attn.k_proj", d, kv, is_rotated=True),
            Part("self_attn.v_proj", d, kv),
        ),
        "out": (Part("self_attn.o_proj", q, d),),
        "gate_up": (Part("mlp.gate_proj", d, ffn), Part("mlp.up_proj", d, ffn)),
        "down": (Part("mlp.down_proj", ffn, d),),
    }


class LoraBatch:
    """The adapters of one step's tokens."""

    def __init__(
        self,
        stacks: list[dict[str, Factors]],
        decode_slots: Sequence[int],
        chunks: list[tuple[int, int, int]],
    ) -> None:
        """decode_slots [D] of the leading single tokens; chunks: (first token, end, slot)."""
        self._stacks = stacks
        self._num_decodes = len(decode_slots) if any(decode_slots) else 0
        self._chunks = chunks
        used = sorted({slot for slot in decode_slots if slot})
        self._range = slice(used[0], used[-1] + 1) if used else slice(0)
        self._own: torch.Tensor | None = None  # [D, slots in range, 1]: 1 for a row's own slot
        if len(set(decode_slots)) > 1:
            a = next(iter(stacks[0].values())).a
            slots = torch.tensor(decode_slots, device=a.device).unsqueeze(1)
            in_range = torch.arange(self._range.start, self._range.stop, device=a.device)
            self._own = (slots == in_range).to(a.dtype).unsqueeze(2)

    def add_(self, layer: int, target: str, x: torch.Tensor, y: torch.Tensor) -> None:
        """Add every token's own B(Ax) to y [T, out], from x [T, in].

        Single tokens go through the adapters of all slots in use at once and keep what their own
        makes of them: ranks are small, so that is two products where gathering each row's factors
        would copy them (docs/results: a quarter of the base's tokens/s became four fifths).
        """
        a, b = self._stacks[layer][target]
        if num := self._num_decodes:
            in_use = a[self._range]
            low = x[:num] @ in_use.flatten(0, 1).t()  # [D, slots * rank]
            if self._own is not None:
                low.view(num, len(in_use), -1).mul_(self._own)
            y[:num].addmm_(low, b[self._range].flatten(0, 1))
        for start, end, slot in self._chunks:
            y[start:end].addmm_(x[start:end] @ a[slot].t(), b[slot])


@dataclass(slots=True)
class _Slots:
    """Who lies in which slot, least recently used first."""

    place_of: dict[str, int] = field(default_factory=dict)

    def use(self, key: str, in_use: set[str], num_slots: int) -> tuple[int, bool]:
        """The slot of an adapter, and whether its weights must be copied there first."""
        if key in self.place_of:
            slot = self.place_of[key] = self.place_of.pop(key)  # now the most recent
            return slot, False
        if len(self.place_of) < num_slots:
            slot = len(self.place_of) + 1
        else:
            slot = self.place_of.pop(next(k for k in self.place_of if k not in in_use))
        self.place_of[key] = slot
        return slot, True


class AdapterSlots:
    """The stacks of one model: at most max_loras adapters at a time, of rank <= max_rank.

    They are made when the first adapter runs; a server without adapters holds no memory for them.
    num_loads counts adapters copied into a slot: more than there are adapters means thrashing.
    """

    def __init__(
        self,
        config: ModelConfig,
        dtype: torch.dtype,
        max_loras: int,
        max_rank: int,
        device: torch.device = CPU,
    ) -> None:
        self.num_loads = 0
        self._config = config
        self._dtype = dtype
        self._device = device
        self._max_loras = max_loras
        self._max_rank = max_rank
        self._targets = targets(config)
        self._slots = _Slots()
        self._stacks: list[dict[str, Factors]] = []

    def plan(self, adapters: Sequence[Adapter | None], batch: FlatBatch) -> LoraBatch | None:
        """Place the adapters of a batch (one entry a sequence); None where there are none."""
        used = {a.key: a for a in adapters if a is not None}
        if not used:
            return None
        assert len(used) <= self._max_loras, "the scheduler admits at most max_loras adapters"
        place = {key: self._place(adapter, set(used)) for key, adapter in used.items()}
        slots = [0 if a is None else place[a.key] for a in adapters]
        decodes = slots[: batch.num_decodes]
        chunks = [
            (int(batch.cu_q[b]), int(batch.cu_q[b + 1]), slots[b])
            for b in range(batch.num_decodes, len(slots))
            if slots[b]
        ]
        return LoraBatch(self._stacks, decodes, chunks)

    def _place(self, adapter: Adapter, in_use: set[str]) -> int:
        assert isinstance(adapter, LoraAdapter)
        slot, is_missing = self._slots.use(adapter.key, in_use, self._max_loras)
        if is_missing:
            if not self._stacks:
                self._stacks = [self._empty_stacks() for _ in range(self._config.num_layers)]
            for stacks, factors in zip(self._stacks, adapter.layers, strict=True):
                self._copy(stacks, factors, slot)
            self.num_loads += 1
        return slot

    def _empty_stacks(self) -> dict[str, Factors]:
        stacks = {}
        for name, parts in self._targets.items():
            rank = self._max_rank * len(parts)
            num_out = sum(p.num_out for p in parts)
            num_slots, dtype, device = self._max_loras + 1, self._dtype, self._device
            a = torch.zeros(num_slots, rank, parts[0].num_in, dtype=dtype, device=device)
            b = torch.zeros(num_slots, rank, num_out, dtype=dtype, device=device)
            stacks[name] = Factors(a, b)
        return stacks

    def _copy(self, stacks: dict[str, Factors], layer: Mapping[str, Factors], slot: int) -> None:
        for name, parts in self._targets.items():
            a, b = stacks[name].a[slot].zero_(), stacks[name].b[slot].zero_().t()
            top = 0
            for i, part in enumerate(parts):
                rows = b[top : top + part.num_out]
                top += part.num_out
                if (factors := layer.get(part.module)) is not None:
                    first = i * self._max_rank
                    last = first + len(factors.a)
                    a[first:last].copy_(factors.a)
                    view = rows[:, first:last]
                    if part.is_rotated:
                        view = as_pairs(view, self._config.head_dim)
                    view.copy_(factors.b.view(view.shape))
