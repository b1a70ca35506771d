"""Batched generation from Python and from the command line."""

from __future__ import annotations

import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import EngineError, RequestRefused
from engine_under_test.generate import generate, main
from engine_under_test.request import SamplingParams

GREEDY = SamplingParams(max_tokens=6, temperature=0)


def test_prompts_of_one_batch_are_answered_in_order() -> None:
    core = EngineCore(EngineConfig(shape="debug", dtype="float64", num_blocks=64))
    prompts = [[1, 2, 3], [9], list(range(40))]
    together = generate(core, prompts, GREEDY)
    assert together == [generate(core, [p], GREEDY)[0] for p in prompts]
    assert [len(ids) for ids in together] == [6, 6, 6]


def test_a_failure_leaves_the_engine_empty() -> None:
    core = EngineCore(EngineConfig(shape="debug", num_blocks=3))
    with pytest.raises(RequestRefused):
        generate(core, [[1], []], GREEDY)
    assert not core.has_work
    with pytest.raises(EngineError, match="outgrew the KV cache"):
        generate(core, [[1, 2]], SamplingParams(max_tokens=99, temperature=0))
    assert not core.has_work


def test_the_command_prints_a_continuation_of_each_prompt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--model", "debug", "--max-tokens", "2", "first", "second"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("first")
    assert "second" in captured.out
    assert captured.err.startswith("4 tokens in")
    assert main(["--model", "nothing", "x"]) == 2
    assert "there is no model 'nothing'" in capsys.readouterr().err
