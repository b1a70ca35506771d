"""Weights of 8 bits: what the rounding is, what it does to the shipped model, and the kernel."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine_under_test.attention import SdpaBackend
from engine_under_test.batch import RowTable, Span, lay_out
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.device import CPU
from engine_under_test.generate import generate
from engine_under_test.model_config import Quantization
from engine_under_test.models import SHAPES, load_model
from engine_under_test.models.fp8 import Fp8Matrix, Fp8Weight
from engine_under_test.models.shapes import FP8_SHAPES
from engine_under_test.request import Request, SamplingParams
from engine_under_test.server.build import SHIPPED, ServerOptions, build, find_model
from engine_under_test.tokenizer import Tokenizer

TEXT = (
    "Once there was a small fox who lived near a river. Every morning the fox walked to the water "
    "and looked for fish. One day she met a bird who had lost its way, and they became friends."
)


def test_every_weight_lies_within_half_a_step_of_its_channel() -> None:
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    weight[3] *= 1e4
    weight[4] = 0
    rounded = Fp8Weight.of(weight)
    error = (rounded.unpacked(torch.float32) - weight).abs()
    # 3 bits behind the point: 2^-4 of the number; below 2^-6 the steps are 2^-9, before the scale.
    assert bool((error <= torch.maximum(weight.abs() * 2**-4, rounded.scales * 2**-10)).all())
    assert rounded.values.dtype == torch.float8_e4m3fn
    assert float(error[4].max()) == 0


def test_the_kernel_is_the_product_with_unpacked_weights() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    from engine_under_test.kernels.fp8 import fp8_linear

    generator = torch.Generator().manual_seed(1)
    for num_rows, k, num_out in ((1, 64, 40), (3, 200, 33), (20, 128, 96)):
        x = torch.randn(num_rows, k, generator=generator)
        weight = Fp8Weight.of(torch.randn(num_out, k, generator=generator))
        expected = x.double() @ weight.unpacked(torch.float64).t()
        torch.testing.assert_close(fp8_linear(x, *weight).double(), expected, rtol=1e-4, atol=1e-4)


def test_beyond_the_kernels_rows_the_product_is_the_same_but_for_rounding() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    generator = torch.Generator().manual_seed(1)
    from engine_under_test.kernels.fp8 import MAX_ROWS

    matrix = Fp8Matrix(48, 64, CPU)
    rounded = Fp8Weight.of(torch.randn(48, 64, generator=generator))
    for place, values in zip(matrix.weight, rounded, strict=True):
        place.copy_(values)
    x, bias = torch.randn(MAX_ROWS + 1, 64, generator=generator), torch.randn(48)
    expected = x.double() @ rounded.unpacked(torch.float64).t() + bias
    for few in (3, MAX_ROWS + 1):
        got = matrix.product(x[:few], bias).double()
        torch.testing.assert_close(got, expected[:few], rtol=1e-4, atol=1e-4)


class Held(TorchDispatchMode):
    """Bytes of all tensors made within it and still held; the most there were at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._places: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._hold(tensor.untyped_storage())
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        place, num_bytes = storage._cdata, storage.nbytes()
        if place in self._places or not num_bytes:
            return
        self._places.add(place)
        self.now += num_bytes
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._let_go, place, num_bytes)

    def _let_go(self, place: int, num_bytes: int) -> None:
        self._places.discard(place)
        self.now -= num_bytes


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_weights_are_rounded_as_they_arrive_and_never_all_in_a_wider_type(
    is_on_disk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of tensors are counted: those that stay, the largest tensor in float32, some blocks."""
    pytest.importorskip("triton", reason="Triton is not installed")
    block = 8 * 1024
    monkeypatch.setattr("engine_under_test.models.slot.BLOCK_BYTES", block)
    wide = replace(SHAPES["debug"], num_layers=6, hidden_size=128, intermediate_size=256)
    monkeypatch.setitem(SHAPES, "wide", wide)
    source: dict[str, Any] = {"shape": "wide"}
    plain = load_model(EngineConfig(**source, device="cpu", dtype="float32")).model
    tensors = {name: slot.view.reshape(slot.shape).clone() for name, slot in plain.slots()}
    if is_on_disk:
        save_file({n: t.contiguous() for n, t in tensors.items()}, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(
            json.dumps({
                "architectures": ["LlamaForCausalLM"], "vocab_size": 512, "hidden_size": 128,
                "intermediate_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64,
                "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
            })
        )  # fmt: skip
        source = {"model_dir": tmp_path}
    config = EngineConfig(
        **source, device="cpu", dtype="float32", attention="triton", quantization="fp8",
        max_model_len=64,
    )  # fmt: skip
    with Held() as held:
        model = load_model(config).model
    largest = 4 * max(tensor.numel() for tensor in tensors.values())
    assert held.most <= held.now + 2 * largest + 6 * block
    assert held.most < sum(4 * tensor.numel() for tensor in tensors.values())
    # What is stored is what rounding the whole matrices would give.
    for got, expected in zip(model.layers, plain.layers, strict=True):
        for name in ("qkv", "out", "gate_up", "down"):
            rounded = Fp8Weight.of(getattr(expected, name).weight)
            for one, other in zip(getattr(got, name).weight, rounded, strict=True):
                assert torch.equal(one.float(), other.float())


def logits_of(quantization: Quantization | None, ids: list[int]) -> torch.Tensor:
    config = EngineConfig(
        model_dir=SHIPPED / "tiny", dtype="float32", device="cpu", quantization=quantization
    )
    model = load_model(config).model
    num_blocks = -(-len(ids) // 16)
    backend = SdpaBackend(model.config, num_blocks + 1, 16, model.dtype)
    table = RowTable(1, num_blocks, 16)
    table.sync(Request("a", ids, SamplingParams(), block_ids=list(range(1, num_blocks + 1))))
    batch = lay_out([Span(0, ids, len(ids))], np.zeros(1, dtype=np.int64), table)
    return model.logits(model.forward(batch, backend, backend.build(batch)))


def test_the_shipped_model_keeps_its_predictions() -> None:
    """Measured: 0.011 nats from the plain model, 56 of 59 likeliest tokens the same."""
    ids = Tokenizer.from_path(SHIPPED / "tiny").encode(TEXT)
    plain, rounded = (logits_of(how, ids).log_softmax(-1) for how in (None, "fp8"))
    divergence = float((plain.exp() * (plain - rounded)).sum(-1).mean())
    agreement = float((plain.argmax(-1) == rounded.argmax(-1)).double().mean())
    assert 1e-6 < divergence < 0.04  # not 0: something was rounded
    assert agreement > 0.85


def test_an_engine_of_8_bits_says_so_by_its_digest() -> None:
    digests = {
        load_model(EngineConfig(shape="debug", device="cpu", quantization=how)).digest()
        for how in (None, "fp8")
    }
    assert len(digests) == 2


def test_the_70b_shape_of_eight_bits_has_a_name_and_serves_as_many_layers_as_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = find_model("llama-70b-fp8-layers")
    assert (source.shape, source.quantization) == ("llama-70b", "fp8")
    costs = SHAPES["llama-70b"].costs("bfloat16", "fp8")
    layers = SHAPES["llama-70b"].num_layers * SHAPES["llama-70b"].layer_matrix_params
    assert costs.streamed_bytes - 2 * 128_256 * 8192 == layers == pytest.approx(68.4e9, rel=1e-3)
    assert costs.kv_bytes_per_token == 320 * 1024
    monkeypatch.setitem(FP8_SHAPES, "toy-fp8-layers", "debug")
    toy = find_model("toy-fp8-layers")
    config = EngineConfig(
        shape=toy.shape, quantization=toy.quantization, num_layers=1, num_blocks=32, device="cpu"
    )
    state = build(toy, config, ServerOptions())
    told = state.model.describe()
    assert told["id"] == "toy-fp8-layers"
    assert told["engine"]["label"] == (
        "random weights of the shape debug in fp8, 1 of its 2 layers: speed only, no meaning"
    )
    core = EngineCore(config)
    (answer,) = generate(core, [[1, 2, 3]], SamplingParams(6, temperature=0, ignore_eos=True))
    assert len(answer) == 6
