"""How a wanted number of tokens becomes text on one target.

`tokenizer` counts with the model's own tokenizer.json and is exact; `calibrated` uses a line
measured by two probe requests; `estimated` divides characters. The plan travels with the records.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Literal

_TYPICAL_TOK_PER_WORD = 1.3
LEAST_TOK_PER_WORD, MOST_TOK_PER_WORD = 0.2, 20.0


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """fixed_tok: what the endpoint adds to a text: a chat template, an embedding model's marks; 0
    is used for completions.

    slope_tok_per_word: tokens a word of the vocabulary costs.  tokenizer_json: for `tokenizer`.
    chars_per_token: for `estimated`.  embeddings: the plan of classes that embed, beside others
    whose text is generated; None where this one is of all.  doubt: what the endpoint counted that
    no tokenizer would; its prompt counts are then not used.
    """

    kind: Literal["tokenizer", "calibrated", "estimated"]
    slope_tok_per_word: float = _TYPICAL_TOK_PER_WORD
    fixed_tok: float = 0.0
    tokenizer_json: bytes | None = None
    chars_per_token: float = 4.0
    embeddings: TokenPlan | None = None
    doubt: str = ""

    def of(self, endpoint: str) -> TokenPlan:
        """The plan of the classes that go there."""
        return self.embeddings or self if endpoint == "embeddings" else self

    @classmethod
    def from_probes(cls, n_words: tuple[int, int], n_tokens: tuple[int, int]) -> TokenPlan:
        """The line through two probes: n_words sent, n_tokens as the server's usage counted them.

        Where no tokenizer counts so, because more words cost no more tokens, or a word a small part
        of one or dozens, the plan is an estimate and its doubt says why.
        """
        slope = (n_tokens[1] - n_tokens[0]) / (n_words[1] - n_words[0])
        if not LEAST_TOK_PER_WORD <= slope <= MOST_TOK_PER_WORD:
            told = f"counts {n_words[0]} and {n_words[1]} words as {n_tokens[0]} and {n_tokens[1]}"
            return cls("estimated", doubt=f"{told} prompt tokens")
        return cls("calibrated", slope, n_tokens[0] - slope * n_words[0])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the tokenizer is base64."""
        encoded = base64.b64encode(self.tokenizer_json).decode() if self.tokenizer_json else None
        return {
            "kind": self.kind,
            "slope_tok_per_word": self.slope_tok_per_word,
            "fixed_tok": self.fixed_tok,
            "tokenizer_json": encoded,
            "chars_per_token": self.chars_per_token,
            "embeddings": self.embeddings.to_json() if self.embeddings else None,
            "doubt": self.doubt,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> TokenPlan:
        encoded, own = row.get("tokenizer_json"), row.get("embeddings")
        decoded = {
            "tokenizer_json": base64.b64decode(encoded) if encoded else None,
            "embeddings": cls.from_json(own) if own else None,
        }
        return cls(**(row | decoded))
