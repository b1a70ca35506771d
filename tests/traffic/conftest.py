"""Points built from small documents, and a tokenizer trained on the shipped words."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from harness.scenario.document import Scenario
from harness.scenario.expand import Point, expand
from harness.scenario.materials import Materials, shipped_words

CHAT = {
    "kind": "chat",
    "input_tokens": {"kind": "lognormal", "median": 250, "p95": 1200, "max": 4000},
    "output_tokens": {"kind": "lognormal", "median": 120, "p95": 400, "max": 800},
}


def _make_point(load: dict[str, Any], *classes: dict[str, Any], seed: int = 0) -> Point:
    traffic = [{"name": "chat", "workload": CHAT, **given} for given in classes or ({},)]
    document = Scenario.model_validate(
        {
            "schema": "harness/v1",
            "name": "test",
            "seed": seed,
            "targets": {"main": {"kind": "openai", "url": "http://127.0.0.1:1/v1"}},
            "traffic": traffic,
            "load": load,
        }
    )
    return expand(document)[0]


def _open_load(arrival: dict[str, Any], rate: Any = "8/s", **given: Any) -> dict[str, Any]:
    basic = {"kind": "open", "arrival": arrival, "rate": rate, "warmup": "10s", "cooldown": "20s"}
    return {key: value for key, value in (basic | given).items() if value is not None}


@pytest.fixture(scope="session")
def make_point() -> Callable[..., Point]:
    """make_point(load, *classes, seed=0): the only point of a document with these blocks."""
    return _make_point


@pytest.fixture(scope="session")
def open_load() -> Callable[..., dict[str, Any]]:
    """open_load(arrival, rate="8/s", **given): an open load with its phases."""
    return _open_load


@pytest.fixture
def materials() -> Materials:
    return Materials(words=shipped_words())


@pytest.fixture(scope="session")
def tokenizer_json() -> bytes:
    """A byte-level BPE of 2,000 entries: common words are one token, others several."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = list(shipped_words())
    lines = [" ".join(random.Random(k).choices(words, k=200)) for k in range(200)]
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer.to_str().encode()
