"""When chunks may be read as tokens: the rule behind `itl`, a row a case, each of 20 requests."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis import analyse_point

SUM, EACH = "usage_final", "usage_continuous"


def itl_exists(rows: Any, made: list[dict[str, Any]]) -> bool:
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    assert found.find("icl", "p50") is not None
    return found.find("itl", "p50") is not None


@pytest.mark.parametrize(
    ("source", "chunk_tok", "n_out", "expected"),
    [
        (EACH, [1, 1, 1, 1], 4, True),
        (EACH, [1, 1, 1, 1], 5, True),  # an end token in a chunk without text
        (EACH, [1, 1, 1, 2], 5, True),  # an end token that came with the last text
        (EACH, [1, 1, 2, 1], 5, False),  # an accepted draft: the sum looks like an end token
        (EACH, [2, 0, 1, 1], 4, False),  # a character over two tokens: the sum looks right
        (EACH, [1, 3, 3, 1], 8, False),
        (SUM, [1, 1, 1, 1], 4, True),
        (SUM, [1, 1, 1, 1], 5, True),
        (SUM, [0.75] * 4, 3, False),  # a chunk without a token of its own
        (SUM, [3, 3, 3, 3], 12, False),
        ("tokenizer", [1, 1, 1, 1], 4, True),
    ],
)  # fmt: skip
def test_itl_needs_one_token_a_chunk(
    rows: Any, source: str, chunk_tok: list[float], n_out: int, expected: bool
) -> None:
    made = [
        rows.row(i / 2, [i / 2 + 0.1 * k for k in (1, 2, 3, 4)], tokens=chunk_tok,
                 tok_source=source) | {"n_out": n_out}
        for i in range(20)
    ]  # fmt: skip
    assert itl_exists(rows, made) is expected


@pytest.mark.parametrize(("num_odd", "expected"), [(1, True), (2, False)])
def test_one_in_twenty_may_be_otherwise(rows: Any, num_odd: int, expected: bool) -> None:
    counts = [[3.0, 3.0]] * num_odd + [[1.0, 1.0]] * (20 - num_odd)
    made = [rows.row(i / 2, [i / 2 + 0.1, i / 2 + 0.2], tokens=tok) for i, tok in enumerate(counts)]
    assert itl_exists(rows, made) is expected


def test_answers_of_one_chunk_say_nothing_about_gaps(rows: Any) -> None:
    """Nineteen of one chunk and one of bursts: the only gaps there are, are of bursts."""
    made = [rows.row(i / 2, [i / 2 + 0.1]) for i in range(19)]
    made.append(rows.row(9.6, [9.7, 9.8], tokens=[3.0, 3.0]))
    assert itl_exists(rows, made) is False
