"""/v1/completions: raw prompts, as text or token ids, one or many."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

from ..detokenizer import REPLACEMENT, IncrementalDetokenizer
from ..request import TokenLogprob
from ..tokenizer import Tokenizer
from .protocol import CompletionBody, GenerationBody
from .sequence import UNRANKED, Sequence
from .sse import Dialect, Envelope, quote

Prompt = str | list[int]


def prompts(given: str | list[str] | list[int] | list[list[int]]) -> list[Prompt]:
    """One entry a prompt. A flat list of ids is one prompt, a list of lists is many."""
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [[i for i in given if isinstance(i, int)]]
    return [p for p in given if isinstance(p, str | list)]


def echoed(body: GenerationBody, tokenizer: Tokenizer) -> list[str]:
    """The prompts as text where the body wants them back, else []."""
    if not isinstance(body, CompletionBody) or not body.echo:
        return []
    return [p if isinstance(p, str) else tokenizer.decode(p) for p in prompts(body.prompt)]


class CompletionDialect(Dialect):
    """Chunks of text. Log-probabilities keep the old parallel-lists shape."""

    prompt_field = "prompt"
    chunk_kind = "text_completion"
    whole_kind = "text_completion"

    def __init__(self, envelope: Envelope, tokenizer: Tokenizer) -> None:
        super().__init__(envelope, tokenizer)
        # A choice's text as far as its log-probabilities went, and its length.
        self._readers: dict[int, tuple[IncrementalDetokenizer, int]] = {}

    def delta_field(self, text: str) -> str:
        return f'"text":{quote(text)}'

    def whole_field(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def logprobs(self, sequence: Sequence, rows: Seq[TokenLogprob]) -> dict[str, Any]:
        """text_offset: where in the choice's text each token begins, over all its chunks."""
        read, offset = self._readers.get(sequence.index) or (
            self.tokenizer.detokenizer(),
            0 if sequence.request.params.prompt_logprobs is not None else len(sequence.echo),
        )
        offsets = []
        for row in rows:
            offsets.append(offset)
            text, name = read.push(row.token_id), self._name(row.token_id)
            # A special token has no text of its own, but a prompt may have been written with it.
            if not text and offset < len(sequence.echo) and sequence.echo.startswith(name, offset):
                text = name
            offset += len(text)
        self._readers[sequence.index] = (read, offset)
        return {
            "tokens": [self._name(row.token_id) for row in rows],
            "token_logprobs": [None if row.rank == UNRANKED else row.logprob for row in rows],
            "top_logprobs": [None if row.rank == UNRANKED else self._top(row) for row in rows],
            "text_offset": offsets,
        }

    def _top(self, row: TokenLogprob) -> dict[str, float]:
        """The chosen token is always among them, as OpenAI has it."""
        all_of_them = (*row.top, (row.token_id, row.logprob))
        return {self._name(token): value for token, value in all_of_them}

    def _name(self, token_id: int) -> str:
        """A token as a key: its text, or its bytes where they are half a character."""
        text = self.tokenizer.token_text(token_id)
        if REPLACEMENT not in text:
            return text
        return "bytes:" + "".join(f"\\x{b:02x}" for b in self.tokenizer.token_bytes(token_id))
