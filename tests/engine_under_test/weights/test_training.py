"""The training-side model is Hugging Face's Llama; a few steps of training learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine_under_test.weights import export as exporting
from engine_under_test.weights.average import average
from engine_under_test.weights.model import DRAFT, TARGET, Shape, TinyLlama
from engine_under_test.weights.muon import orthogonal
from engine_under_test.weights.train import Trainer, positions, rate
from engine_under_test.weights.vocabulary import build

SMALL = Shape(vocab=2048, hidden=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=16, ffn=48)


@pytest.mark.slow  # importing transformers
def test_logits_equal_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = TinyLlama(SMALL).eval()
    for p in model.parameters():
        p.data = p.data.bfloat16().float()  # what the file will hold
    exporting.export(model, build(num_chats=300), tmp_path)
    other = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.randint(0, SMALL.vocab, (2, 40))
    with torch.inference_mode():
        assert torch.allclose(model(ids), other(ids).logits, atol=1e-4)


def test_export_and_load_give_the_same_model_and_refuse_damage(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exporting.export(TinyLlama(SMALL), build(num_chats=300), tmp_path)
    model, tokenizer = exporting.load(tmp_path)
    assert model.shape == SMALL
    assert tokenizer.decode(tokenizer.encode("as it was").ids) == "as it was"
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        exporting.load(tmp_path)


def test_shapes_lie_within_the_bars() -> None:
    assert 2e6 <= TinyLlama(TARGET).num_params <= 6e6
    assert TinyLlama(DRAFT).num_params <= 1e6
    assert replace(TARGET, vocab=DRAFT.vocab) == TARGET


def test_orthogonal_update_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 32, 64), (3, 64, 32)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert 0.5 < values.min() < values.max() < 1.3


def test_the_rate_warms_up_holds_and_falls_to_zero() -> None:
    assert rate(0.0) == 0.0
    assert rate(0.2) == rate(0.45) == 1.0
    assert 0 < rate(0.9) < rate(0.6) < 1
    assert rate(1.0) == 0.0


def test_long_rows_leap_forward_only() -> None:
    generator = torch.Generator().manual_seed(0)
    assert positions(512, generator, False).tolist() == list(range(512))
    for _ in range(20):
        where = positions(512, generator, True)
        assert (where.diff() >= 1).all()
        assert where[-1] < 8192


def test_training_learns_a_fixed_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)  # seconds saved
    torch.manual_seed(0)
    trainer = Trainer(TinyLlama(SMALL))
    ids = torch.randint(0, SMALL.vocab, (2, 33))
    weights, where = torch.ones(2, 33), torch.arange(32)
    losses = [trainer.step(ids, weights, where, 1.0) for _ in range(25)]
    assert losses[-1] < 0.6 * losses[0]


def test_a_student_that_equals_its_teacher_has_nothing_to_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    torch.manual_seed(0)
    student, teacher = TinyLlama(SMALL), TinyLlama(SMALL)
    ids = torch.randint(0, SMALL.vocab, (2, 33))
    weights, where = torch.ones(2, 33), torch.arange(32)

    def pull() -> float:
        student.zero_grad()
        torch.autograd.backward(Trainer(student, teacher=teacher).loss(ids, weights, where))
        return max(float(p.grad.abs().max()) for p in student.parameters() if p.grad is not None)

    stranger = pull()
    student.load_state_dict(teacher.state_dict())
    assert pull() < stranger / 100


def test_an_average_lies_between_its_parts() -> None:
    base, other = TinyLlama(DRAFT), TinyLlama(DRAFT)
    first, second = base.model.norm.weight, other.model.norm.weight
    with torch.no_grad():
        first.fill_(1.0)
        second.fill_(3.0)
    pairs = zip(base.parameters(), other.parameters(), strict=True)
    want = [0.75 * a.detach() + 0.25 * b.detach() for a, b in pairs]
    found = average(base, other, 0.25)
    assert found.model.norm.weight.tolist() == [1.5] * len(first)
    assert all(torch.allclose(a, b) for a, b in zip(found.parameters(), want, strict=True))
    with pytest.raises(ValueError, match="between 0 and 1"):
        average(base, other, 1.5)
    with pytest.raises(ValueError, match="shapes differ"):
        average(base, TinyLlama(TARGET), 0.5)
