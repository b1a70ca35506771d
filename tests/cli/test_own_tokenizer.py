"""Where the harness finds the tokenizer that the reference engine serves a model with."""

from __future__ import annotations

from pathlib import Path

from engine_under_test.server.build import SHIPPED, shipped_models
from harness.cli._children import tokenizer_of


def test_every_shipped_model_has_its_own() -> None:
    assert shipped_models()
    for name in shipped_models():
        assert tokenizer_of(name) == SHIPPED / name / "tokenizer.json"


def test_a_models_folder_has_its_own(tmp_path: Path) -> None:
    assert tokenizer_of(str(tmp_path)) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    assert tokenizer_of(str(tmp_path)) == tmp_path / "tokenizer.json"


def test_shapes_and_files_have_none(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    for model in ("llama-1b", "smollm2", str(tmp_path / "model.gguf"), ""):
        assert tokenizer_of(model) is None, model
