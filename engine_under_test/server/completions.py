"""/v1/completions: raw prompts, as text or token ids, one or many."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from itertools import accumulate
from typing import Any

from ..request import TokenLogprob
from .protocol import CompletionBody
from .sse import Dialect, quote

Prompt = str | list[int]


def prompts(body: CompletionBody) -> list[Prompt]:
    """One entry a prompt. A flat list of ids is one prompt, a list of lists is many."""
    given = body.prompt
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [[i for i in given if isinstance(i, int)]]
    return [p for p in given if isinstance(p, str | list)]


class CompletionDialect(Dialect):
    """Chunks of text. Log-probabilities keep the old parallel-lists shape."""

    prompt_field = "prompt"
    chunk_kind = "text_completion"
    whole_kind = "text_completion"

    def delta_field(self, text: str) -> str:
        return f'"text":{quote(text)}'

    def whole_field(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def logprobs(self, rows: Seq[TokenLogprob]) -> dict[str, Any]:
        """text_offset counts characters from the first token of these rows."""
        texts = [self.tokenizer.token_text(row.token_id) for row in rows]
        return {
            "tokens": texts,
            "token_logprobs": [row.logprob for row in rows],
            # The chosen token is always among them, as OpenAI has it.
            "top_logprobs": [
                {
                    self.tokenizer.token_text(token): value
                    for token, value in (*row.top, (row.token_id, row.logprob))
                }
                for row in rows
            ],
            "text_offset": list(accumulate(map(len, texts[:-1]), initial=0)),
        }
