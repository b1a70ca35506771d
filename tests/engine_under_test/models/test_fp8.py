"""Weights of 8 bits: what the rounding is, what it does to the shipped model, and the kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine_under_test.attention import SdpaBackend
from engine_under_test.batch import RowTable, Span, lay_out
from engine_under_test.config import EngineConfig, Quantization
from engine_under_test.core import EngineCore
from engine_under_test.generate import generate
from engine_under_test.models import SHAPES, load_model
from engine_under_test.models.fp8 import Fp8Weight
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
