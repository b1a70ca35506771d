"""How many tokens an answer has, and each of its chunks, from the best source there is.

Told with each chunk, told at the end, counted by the model's tokenizer, estimated by characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.load.answer import Answer
from harness.load.redact import storable
from harness.load.usage import Usage, is_believable

CountTokens = Callable[[str], int]
Float32Array = npt.NDArray[np.float32]


class Tokens(NamedTuple):
    """n_first: of the first chunk. chunk_tok: [n chunks]. None where it cannot be told."""

    source: str
    n_out: int | None
    n_reasoning: int | None
    n_first: int | None
    chunk_tok: Float32Array | None

    @property
    def are_told(self) -> bool:
        """By the server."""
        return self.source in ("usage_continuous", "usage_final")


def told_by_chunk(answers: Sequence[Answer]) -> list[Float32Array | None]:
    """Tokens of each chunk from cumulative counts; None where they are no such counts."""
    found: list[Float32Array | None] = [None] * len(answers)
    telling = [
        k for k, answer in enumerate(answers) if 0 < len(answer.chunk_usage) <= answer.num_usage
    ]
    if not telling:
        return found
    counts = [answers[k].chunk_usage for k in telling]
    edges = list(accumulate(map(len, counts), initial=0))
    told = np.fromiter(chain.from_iterable(counts), dtype=np.int64, count=edges[-1])
    steps, starts = np.diff(told, prepend=0), np.array(edges[:-1])
    steps[starts] = told[starts]
    least, share = np.minimum.reduceat(steps, starts).tolist(), steps.astype(np.float32)
    for i, k in enumerate(telling):
        first, last = counts[i][0], counts[i][-1]
        is_echo = len(counts[i]) > 1 and last == first  # of the total in each chunk
        if first > 0 and least[i] >= 0 and not is_echo:
            found[k] = share[edges[i] : edges[i + 1]]
    return found


def count_tokens(
    answer: Answer,
    told: Float32Array | None,
    usage: Usage,
    asked_out: int,
    count: CountTokens | None,
    chars_per_token: float,
) -> Tokens:
    """told: by chunk, where the server does.  count: by the model's tokenizer, None without one.
    chars_per_token: 0 unless tokens are to be estimated by characters."""
    num_bytes = sum(answer.chunk_bytes)
    has_hidden = answer.num_hidden_bytes > 0 or bool(usage.n_reasoning)
    reasoning = usage.n_reasoning
    if reasoning is None and usage.n_out is not None and not answer.num_hidden_bytes:
        reasoning = 0
    if is_believable(usage, num_bytes, asked_out, answer.finish, has_hidden=has_hidden):
        assert usage.n_out is not None
        if told is not None and answer.chunk_usage[-1] <= usage.n_out:
            first = answer.chunk_usage[0]
            return Tokens("usage_continuous", usage.n_out, reasoning, first, told)
        return _spread("usage_final", usage.n_out, reasoning, answer)
    if count is not None and answer.visible:
        visible, hidden, call = _count_parts(answer, count)
        return _spread("tokenizer", visible + hidden + call, hidden, answer)
    if chars_per_token and answer.chunk_bytes:
        n_out = max(1, round(num_bytes / chars_per_token))
        return _spread("characters", n_out, None, answer)
    return Tokens("absent", None, None, None, None)


def no_output(usage: Usage) -> Tokens:
    """Of an answer that came whole: what its server tells, as of a transcript that is paid by the
    token; no chunk has any of it."""
    is_told = usage.n_in is not None or usage.n_out is not None
    return Tokens("usage_final" if is_told else "absent", usage.n_out, None, None, None)


def recount(answer: Answer, count: CountTokens) -> int:
    """Our own count, beside the server's."""
    return sum(_count_parts(answer, count))


def _count_parts(answer: Answer, count: CountTokens) -> tuple[int, int, int]:
    """Tokens of the whole content, reasoning and call, apart: a token never spans two of them."""
    visible, hidden, call = (
        count(storable(text)) if text else 0
        for text in ("".join(answer.visible), "".join(answer.hidden), "".join(answer.calls))
    )
    return visible, hidden, call


def _spread(source: str, n_out: int, reasoning: int | None, answer: Answer) -> Tokens:
    """One token a chunk where the counts agree (an end token apart), else by bytes."""
    num = len(answer.chunk_bytes)
    if not num:
        return Tokens(source, n_out, reasoning, None, None)
    if num in (n_out, n_out - 1):
        return Tokens(source, n_out, reasoning, 1, np.ones(num, dtype=np.float32))
    sizes = np.array(answer.chunk_bytes, dtype=np.float64)
    shares = (n_out * sizes / sizes.sum()).astype(np.float32)
    return Tokens(source, n_out, reasoning, max(1, round(float(shares[0]))), shares)
