"""A model that runs on compiled loops against the same weights in float64, and against itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine_under_test.attention import make_backend
from engine_under_test.attention.compiled import CompiledBackend
from engine_under_test.batch import RowTable, batch_order, build_batch
from engine_under_test.compiled import choose, lanes, suits
from engine_under_test.models import SHAPES
from engine_under_test.models.llama import Llama
from engine_under_test.models.matrix import StreamedMatrix
from engine_under_test.models.ops import CompiledOps, TorchOps
from engine_under_test.models.panels import PanelMatrix
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request, SamplingParams

pytestmark = pytest.mark.skipif(not lanes(), reason="this processor has no vectors of 8 floats")
CPU = torch.device("cpu")
# Just large enough to be streamed; sizes that no panel divides.
SHAPE = replace(
    SHAPES["debug"], vocab_size=66_001, hidden_size=264, intermediate_size=136, num_layers=2,
    num_heads=6, num_kv_heads=2, head_dim=32, is_tied=True,
)  # fmt: skip
PROMPTS = (1, 7, 30, 60, 9)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def model(dtype: torch.dtype) -> Llama:
    ops = CompiledOps() if suits(SHAPE, dtype, CPU) else TorchOps()
    made = Llama(SHAPE, 128, dtype, ops=ops)
    generator = torch.Generator().manual_seed(7)
    for _, slot in made.slots():
        values = torch.randn(slot.shape, generator=generator) * slot.shape[-1] ** -0.5
        slot.view.copy_((1 + values if slot.is_norm else values).view(slot.view.shape))
    made.pack()
    return made


def logits(llama: Llama, prompts: tuple[int, ...], num_steps: int = 4) -> list[torch.Tensor]:
    """[sequences, vocabulary] after the prompts, then after each further token, all together."""
    attention = make_backend("sdpa", SHAPE, 80, 4, llama.dtype, CPU)
    assert isinstance(attention, CompiledBackend) == (llama.dtype == torch.float32)
    table, free = RowTable(len(prompts), 32, 4), list(range(1, 80))
    requests = []
    for i, length in enumerate(prompts):
        ids = [(31 * length + 7 * n) % 66_001 for n in range(length)]
        blocks = [free.pop() for _ in range(-(-(length + num_steps) // 4))]
        requests.append(Request(str(i), ids, SamplingParams(), block_ids=blocks))
    steps = []
    for _ in range(num_steps):
        seqs = [ScheduledSeq(r, len(r.token_ids) - r.num_computed, True) for r in requests]
        order = batch_order(seqs)
        seqs = [seqs[i] for i in order]
        batch = build_batch(seqs, np.array([table.sync(s.request) for s in seqs]), table)
        with torch.inference_mode():
            hidden = llama.forward(batch, attention, attention.build(batch))
            found = llama.logits(hidden if batch.logits_idx is None else hidden[batch.logits_idx])
        steps.append(found[np.argsort(order)])
        for s in seqs:
            s.request.num_computed += s.num_new
            s.request.token_ids.append(len(s.request.token_ids) * 17)
    return steps


def test_logits_are_those_of_float64_for_prompts_and_decodes() -> None:
    llama = model(torch.float32)
    assert isinstance(llama.lm_head, PanelMatrix)
    assert all(isinstance(w.down, PanelMatrix) for w in llama.layers)
    exact = logits(model(torch.float64), PROMPTS)
    found = logits(llama, PROMPTS)
    for got, expected in zip(found, exact, strict=True):
        torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)


def test_a_sequence_keeps_its_bits_in_every_company() -> None:
    llama = model(torch.float32)
    together = logits(llama, PROMPTS)
    for i, length in enumerate(PROMPTS):
        for step, alone in enumerate(logits(llama, (length,))):
            assert torch.equal(alone[0], together[step][i])


def test_without_lanes_torch_computes_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = logits(model(torch.float32), (3, 9))
    monkeypatch.setattr(choose, "lanes", lambda: 0)
    plain = model(torch.float32)
    assert isinstance(plain.layers[0].qkv, StreamedMatrix)
    monkeypatch.undo()
    for got, wanted in zip(logits(plain, (3, 9)), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
