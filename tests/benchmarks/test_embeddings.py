"""The arms of the benchmark of embeddings compute the same vectors, padded, one by one and ours."""

from __future__ import annotations

import numpy as np

from benchmarks.embeddings import (
    LENGTHS,
    POOLINGS,
    are_equal,
    inputs,
    their_model,
    theirs,
)
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import embed
from engine_under_test.server.build import find_model


def test_all_arms_agree_and_a_wrong_vector_is_seen() -> None:
    source = find_model("tiny")
    core = EngineCore(EngineConfig(model_dir=source.directory, dtype="float32", num_blocks=64))
    prompts = inputs((3, 40), 160, core.model_config.vocab_size, seed=2)
    model = their_model(source)
    for pooling in POOLINGS:
        ours = embed(core, prompts, pooling)
        assert are_equal(ours, theirs(model, 1)(prompts, pooling))
        assert are_equal(ours, theirs(model, 4)(prompts, pooling))
        assert not are_equal(ours, [np.roll(ours[0], 1), *ours[1:]])


def test_inputs_repeat_and_keep_their_lengths() -> None:
    for lengths in LENGTHS.values():
        prompts = inputs(lengths, 2000, 512, seed=1)
        assert prompts == inputs(lengths, 2000, 512, seed=1)
        assert {len(p) for p in prompts} <= set(range(lengths[0], lengths[1] + 1))
        assert 2000 <= sum(map(len, prompts)) < 2000 + lengths[1]
