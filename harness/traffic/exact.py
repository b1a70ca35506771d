"""Prompts whose token count is exactly the wanted one, counted with the model's own tokenizer.

Prices of single words are learnt once and added up; the whole text is then encoded and mended word
by word, since a tokenizer may merge across what we thought were borders. No text is ever returned
uncounted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .salt import salt
from .vocabulary import SALT_MARK, SALT_WORDS

_MOST_MENDS = 12
_MOST_CHANGE = 256  # totals that are paid by looking up; beyond, by the dearest word
_ENOUGH_SALT_WORDS = 64  # 64^4 ordinals are told apart


class ExactFitter:
    """Counts with a tokenizer.json, without the special tokens it would add.

    tokenizer_json: the file's bytes.  vocabulary: words to draw from.
    """

    def __init__(self, tokenizer_json: bytes, vocabulary: Sequence[str]) -> None:
        from tokenizers import Tokenizer  # heavy: only the load processes make texts

        self._tokenizer = Tokenizer.from_buffer(tokenizer_json)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._vocabulary = vocabulary
        self._price = np.array(self._prices(vocabulary), np.int64)
        self.tok_per_word = float(np.mean(self._price))
        self._price_of = dict(zip(vocabulary, self._price.tolist(), strict=True))
        self._filler = {price: word for word, price in self._price_of.items()}
        self._change = _change(sorted(self._filler))
        self.salt_words = self._even_salt_words()
        self._sample_salt = salt("", "", 0, 0, 0, False, self.salt_words)

    def cost_tok(self, text: str) -> int:
        shown = text.replace(SALT_MARK, self._sample_salt)
        return len(self._tokenizer.encode(shown, add_special_tokens=False).ids)

    def words(self, rng: np.random.Generator, wanted_tok: float) -> list[str]:
        wanted, found, cost = round(wanted_tok), list[str](), 0
        while wanted - cost > 0:
            count = max(1, round((wanted - cost) / self.tok_per_word)) + 8
            drawn = rng.integers(0, len(self._vocabulary), count)
            total = cost + np.cumsum(self._price[drawn])
            fitting = int(np.searchsorted(total, wanted, side="right"))
            found += [self._vocabulary[k] for k in drawn[:fitting].tolist()]
            cost = int(total[fitting - 1]) if fitting else cost
            if fitting < count:
                break
        return self._fill(found, wanted - cost)

    def fit(self, rng: np.random.Generator, before: str, after: str, wanted_tok: float) -> str:
        wanted = round(wanted_tok)
        frame_tok = self.cost_tok(before + after)
        found = self.words(rng, wanted - frame_tok)
        best, least = before + after, abs(wanted - frame_tok)
        for _ in range(_MOST_MENDS):
            text = before + " ".join(found) + after
            miss = wanted - self.cost_tok(text)
            if abs(miss) < least:
                best, least = text, abs(miss)
            if miss == 0 or (miss < 0 and not found):
                break
            found = self._fill(found, miss)
        return best

    def _fill(self, found: list[str], miss: int) -> list[str]:
        """Add words that cost `miss` tokens together; drop words first until that is possible."""
        found, most = list(found), max(self._filler)
        while found and (miss < 0 or (miss < _MOST_CHANGE and self._change[miss] is None)):
            miss += self._price_of[found.pop()]
        while miss >= _MOST_CHANGE:
            found.append(self._filler[most])
            miss -= most
        while miss > 0 and (price := self._change[miss]) is not None:
            found.append(self._filler[price])
            miss -= price
        return found

    def _prices(self, words: Sequence[str]) -> list[int]:
        """Tokens each word costs in the middle of a text."""
        alone = self._tokenizer.encode_batch([f"a {w} a" for w in words], add_special_tokens=False)
        frame = len(self._tokenizer.encode("a a", add_special_tokens=False).ids)
        return [max(1, len(e.ids) - frame) for e in alone]

    def _even_salt_words(self) -> tuple[str, ...]:
        """Salt words of one price, at a text's opening and after a space: the cheapest such set
        that is large enough, else the largest."""
        first = self._tokenizer.encode_batch(list(SALT_WORDS), add_special_tokens=False)
        price = [(len(e.ids), p) for e, p in zip(first, self._prices(SALT_WORDS), strict=True)]
        size = Counter(price)
        enough = [p for p, count in size.items() if count >= _ENOUGH_SALT_WORDS]
        chosen = min(enough) if enough else size.most_common(1)[0][0]
        return tuple(w for w, p in zip(SALT_WORDS, price, strict=True) if p == chosen)


def _change(prices: Sequence[int]) -> list[int | None]:
    """For each total below _MOST_CHANGE a price to begin with so that the rest can be paid too.

    None where no prices sum to the total; 0 costs nothing, and needs no first price.
    """
    begin: list[int | None] = [0] + [None] * (_MOST_CHANGE - 1)
    for total in range(1, _MOST_CHANGE):
        payable = (p for p in prices if p <= total and begin[total - p] is not None)
        begin[total] = next(payable, None)
    return begin
