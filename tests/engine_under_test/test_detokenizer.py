"""The stream of a detokeniser equals decoding everything at once, and stop strings are found
wherever the tokens cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from engine_under_test.detokenizer import IncrementalDetokenizer, StopChecker
from engine_under_test.tokenizer import Tokenizer

BYTES = Tokenizer.of_bytes()
SAMPLE = "Grüße 🎈 aus Köln — 日本語 and 👩‍👩‍👧 families, 1234.\n\tif x:\n"


def _trained() -> Tokenizer:
    """A small byte-level BPE whose merges cut through UTF-8 sequences."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([SAMPLE] * 20, trainer)
    return Tokenizer(backend)


def _metaspace() -> Tokenizer:
    """A vocabulary with byte fallback, as sentencepiece models have: the general path."""
    pieces = ["▁", "▁hello", "hello", "▁wor", "ld", "!"]
    vocab = {f"<0x{b:02X}>": b for b in range(256)} | {p: 256 + i for i, p in enumerate(pieces)}
    backend = Backend(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return Tokenizer(backend)


TRAINED = _trained()
METASPACE = _metaspace()


def _stream(detokenizer: IncrementalDetokenizer, ids: list[int]) -> list[str]:
    return [*(detokenizer.push(i) for i in ids), detokenizer.flush()]


@given(st.lists(st.integers(0, TRAINED.vocab_size - 1), max_size=40))
def test_random_tokens_stream_to_the_same_text_as_the_library_decodes(ids: list[int]) -> None:
    expected = TRAINED._backend.decode(ids, skip_special_tokens=True)
    assert "".join(_stream(TRAINED.detokenizer(), ids)) == expected == TRAINED.decode(ids)


@given(st.binary(max_size=24))
def test_random_bytes_stream_to_their_lossy_decoding(data: bytes) -> None:
    expected = data.decode("utf-8", "replace")
    assert "".join(_stream(BYTES.detokenizer(), list(data))) == expected


@given(st.text(max_size=30).filter(lambda text: "<|" not in text))  # a marker is no text
def test_valid_text_never_shows_a_replacement_character(text: str) -> None:
    pieces = _stream(BYTES.detokenizer(), BYTES.encode(text))
    assert "".join(pieces) == text
    for piece in pieces:
        assert piece == "" or piece in text


def test_every_character_leaves_with_its_last_byte() -> None:
    ids = BYTES.encode("é🎈")
    assert [BYTES.detokenizer().push(ids[0])] == [""]
    assert _stream(BYTES.detokenizer(), ids) == ["", "é", "", "", "", "🎈", ""]


@given(st.lists(st.integers(0, METASPACE.vocab_size - 1), max_size=12))
def test_byte_fallback_text_streams_whole_when_it_is_valid(ids: list[int]) -> None:
    full = METASPACE.decode(ids)
    streamed = "".join(_stream(METASPACE.detokenizer(), ids))
    assert streamed == full or "\ufffd" in full


def test_byte_fallback_withholds_an_incomplete_character() -> None:
    assert _stream(METASPACE.detokenizer(), [257, 0xC3, 0xA9, 261]) == ["hello", "", "é", "!", ""]


def test_ids_beyond_the_vocabulary_print_as_numbers() -> None:
    assert BYTES.decode([104, 105, 5000]) == "hi 1388"


def test_special_tokens_are_silent() -> None:
    (marker,) = BYTES.encode("<|im_end|>")
    assert marker in BYTES.special_ids
    assert BYTES.decode([104, marker, 105]) == "hi"
    assert BYTES.token_text(marker) == "<|im_end|>"


def _run_checker(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    checker, out = StopChecker(stops), ""
    for piece in pieces:
        match = checker.push(piece)
        out += match.text
        if match.stop is not None:
            return out, match.stop
    return out + checker.flush(), None


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=30, max_size=30),
)
def test_stop_strings_do_not_depend_on_chunking(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    # Oracle: read character by character; the first stop that completes wins.
    expected: tuple[str, str | None] = (text, None)
    for end in range(1, len(text) + 1):
        ended = [s for s in stops if text[:end].endswith(s)]
        if ended:
            stop = max(ended, key=len)
            expected = (text[: end - len(stop)], stop)
            break
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    assert _run_checker(stops, pieces) == expected


def test_only_a_possible_stop_prefix_is_withheld() -> None:
    checker = StopChecker(["\n\nUser"])
    assert checker.push("Hello\n").text == "Hello"
    assert checker.push(" there").text == "\n there"
    assert checker.push("\n\nUs").text == ""
    assert checker.flush() == "\n\nUs"


@pytest.mark.parametrize("stops", [[], ["zzz"]])
def test_text_without_a_stop_passes_whole(stops: list[str]) -> None:
    assert _run_checker(stops, ["one ", "two z", "z"]) == ("one two zz", None)
