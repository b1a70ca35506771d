"""Token counts as servers report them, a row a quirk."""

from __future__ import annotations

from typing import Any

import pytest

from harness.load.usage import Usage, is_believable, read_usage

QUIRKS: dict[str, tuple[dict[str, Any], Usage]] = {
    "plain": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, Usage(10, 5, None, None),
    ),
    "reasoning inside": (
        {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60,
         "completion_tokens_details": {"reasoning_tokens": 40}},
        Usage(10, 50, 40, None),
    ),
    "reasoning outside": (
        {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 60,
         "completion_tokens_details": {"reasoning_tokens": 40}},
        Usage(10, 50, 40, None),
    ),
    "cached inside": (
        {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105,
         "prompt_tokens_details": {"cached_tokens": 64}},
        Usage(100, 5, None, 64),
    ),
    "cached by deepseek's name": (
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64},
        Usage(100, 5, None, 64),
    ),
    "cached outside the prompt": (
        {"input_tokens": 36, "output_tokens": 5, "cache_read_input_tokens": 64},
        Usage(100, 5, None, 64),
    ),
    "cached outside, total says so": (
        {"prompt_tokens": 36, "completion_tokens": 5, "total_tokens": 105, "cached_tokens": 64},
        Usage(100, 5, None, 64),
    ),
    "rejected predictions": (
        {"prompt_tokens": 10, "completion_tokens": 50,
         "completion_tokens_details": {"rejected_prediction_tokens": 20}},
        Usage(10, 30, None, None),
    ),
    "nothing": ({}, Usage(None, None, None, None)),
    "wrong types": (
        {"prompt_tokens": "10", "completion_tokens": None, "prompt_tokens_details": None},
        Usage(None, None, None, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUIRKS)
def test_quirks(name: str) -> None:
    raw, expected = QUIRKS[name]
    assert read_usage(raw) == expected


@pytest.mark.parametrize(
    ("n_out", "num_bytes", "asked", "finish", "believed"),
    [
        (0, 40, 16, "stop", False),  # zero with text: nothing was counted
        (0, 0, 16, "stop", True),
        (16, 80, 16, "length", True),
        (256, 40, 256, "stop", False),  # echo of the asked length: 256 tokens in 40 bytes
        (256, 40, 256, "length", True),  # special tokens without text do exist
        (12, 40, 256, "stop", True),
    ],
)
def test_counts_that_cannot_be_true_are_none(
    n_out: int, num_bytes: int, asked: int, finish: str, believed: bool
) -> None:
    usage = Usage(10, n_out, None, None)
    assert is_believable(usage, num_bytes, asked, finish, has_hidden=False) is believed
