"""The tokenizer and the chat template that a GGUF file carries, rebuilt from its fields.

Byte-level BPE only; how text is split before the merges is named by `tokenizer.ggml.pre`, and a
name whose rule is not written down here is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.pre_tokenizers import PreTokenizer

from .models.gguf_file import GgufFile

_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp's token types
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}| ?", r"|\p{N}{1,3}| ?")


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """backend: encodes and decodes.  special_tokens: bos_token, eos_token and the like by name."""

    backend: Tokenizer
    chat_template: str | None
    special_tokens: dict[str, str]
    eos_id: int | None


def read_vocabulary(file: GgufFile) -> GgufVocabulary:
    """Raises ValueError naming the kind of tokenizer that is not rebuilt."""
    kind, pre = file.get("tokenizer.ggml.model"), file.get("tokenizer.ggml.pre") or "default"
    if kind != "gpt2":
        raise ValueError(f"{file.path.name}: tokenizer kind {kind!r}, only byte-level BPE is read")
    if pre not in _SPLITS:
        known = ", ".join(_SPLITS)
        raise ValueError(f"{file.path.name}: pre-tokenizer {pre!r} is unknown (known: {known})")
    tokens: list[str] = file.get("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in file.get("tokenizer.ggml.merges")]
    backend = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=merges,
            ignore_merges=pre == "llama-bpe",
        )
    )
    backend.pre_tokenizer = _SPLITS[pre]()
    backend.decoder = decoders.ByteLevel()
    types = file.get("tokenizer.ggml.token_type") or []
    for kind_id, is_special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [t for t, k in zip(tokens, types, strict=False) if k == kind_id]
        backend.add_tokens([AddedToken(t, special=is_special, normalized=False) for t in added])
    special = {
        f"{name}_token": tokens[i]
        for name in ("bos", "eos", "unknown", "padding")
        if isinstance(i := file.get(f"tokenizer.ggml.{name}_token_id"), int)
    }
    if file.get("tokenizer.ggml.add_bos_token") and (bos := special.get("bos_token")):
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    eos = file.get("tokenizer.ggml.eos_token_id")
    return GgufVocabulary(backend, file.get("tokenizer.chat_template"), special, eos)


def _byte_level(*before: PreTokenizer) -> PreTokenizer:
    """GPT-2's own split and bytes, after the splits given."""
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence([*before, last])


def _regex(pattern: str) -> PreTokenizer:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, as_bytes])


_SPLITS: dict[str, Callable[[], PreTokenizer]] = {
    "smollm": lambda: _byte_level(pre_tokenizers.Digits(individual_digits=True)),
    "gpt-2": _byte_level,
    "qwen2": lambda: _regex(_QWEN2),
    "llama-bpe": lambda: _regex(_LLAMA3),
}
