"""python -m engine_under_test.weights.vocabulary --out DIR: train the byte-level BPE.

Pre-tokenizer: digits one by one, then GPT-2's byte level, as llama.cpp's `smollm`. Merges across
the space before a word come last, whole words only and frequent prose words only: a rare name is
then the same pieces after a space as after a quote, and copying it is a plain lookup.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .corpus import LONG_MIX, SHORT_MIX, draw_chat, render
from .draw import Draw

VOCAB_SIZE = 2048
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # ids 0, 1, 2 as in SmolLM2
VISIBLE = ["<tool_call>", "</tool_call>", "<tools>", "</tools>"]  # a parser must see these
NUM_SPACED = 560
SPACE = "Ġ"


def corpus_text(num_chats: int, seed: int) -> Iterator[str]:
    draw = Draw(f"vocabulary {seed}")
    for n in range(num_chats):
        text = "".join(
            s.text for s in render(draw_chat(draw, LONG_MIX if n % 20 == 0 else SHORT_MIX))
        )
        for marker in [*CONTROL, *VISIBLE]:
            text = text.replace(marker, "\n")
        yield text


def build(num_chats: int = 12_000, seed: int = 0) -> Tokenizer:
    """A tokenizer of VOCAB_SIZE entries. Deterministic per seed."""
    texts = list(corpus_text(num_chats, seed))
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r" (?=\p{L})"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    added = [*CONTROL, *VISIBLE]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(added) - NUM_SPACED,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    model = json.loads(inner.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    counts = Counter(w for t in texts for w in t.split(" ")[1:] if w.isalpha() and w.isascii())
    whole = [w for w, _ in counts.most_common() if w in model["vocab"] and len(w) > 1]
    spaced = ["a", *whole][:NUM_SPACED]
    merges += [(SPACE, w) for w in spaced]
    names = [*added[:3], *pieces, *(SPACE + w for w in spaced)]
    vocab = {name: n for n, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in VISIBLE])
    return tokenizer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    build().save(str(args.out / "tokenizer.json"))
