"""The text of token number i: one common word with its space, so that words count as tokens."""

from __future__ import annotations

_TEXT = """the river runs past old mill and under stone bridge where children watch boats go by
while sun sets slowly behind green hills as birds return home to rest until morning
light comes"""
_WORDS = tuple(_TEXT.split())


def token_text(i: int, text: str | None = None) -> str:
    """` word`; the first has no space. text: instead, the same for every token."""
    if text is not None:
        return text
    word = _WORDS[i % len(_WORDS)]
    return " " + word if i else word
