"""What ships: checksums, sizes, shapes, tokenizer, chat template, and that it speaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

import engine_under_test.weights
from engine_under_test.weights.corpus import TASKS, call_text, prompts, render
from engine_under_test.weights.draw import Chat, Draw, Message
from engine_under_test.weights.evaluate import greedy, is_exact, questions
from engine_under_test.weights.export import check_sums, load

HOME = Path(engine_under_test.weights.__file__).parent
TINY, DRAFT = HOME / "tiny", HOME / "tiny-draft"
TOKENIZER = Tokenizer.from_file(str(TINY / "tokenizer.json"))


def _template() -> str:
    config = json.loads((TINY / "tokenizer_config.json").read_text(encoding="utf-8"))
    return str(config["chat_template"])


def _render(messages: list[dict[str, object]], **variables: object) -> str:
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return env.from_string(_template()).render(messages=messages, **variables)


@pytest.mark.parametrize("directory", [TINY, DRAFT], ids=["tiny", "tiny-draft"])
def test_checksums_match(directory: Path) -> None:
    check_sums(directory)
    listed = (directory / "SHA256SUMS").read_text(encoding="utf-8")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert name in listed


def test_the_pair_is_small_and_shares_its_tokenizer() -> None:
    files = [p for d in (TINY, DRAFT) for p in d.iterdir()]
    assert sum(p.stat().st_size for p in files) <= 16e6
    assert (TINY / "tokenizer.json").read_bytes() == (DRAFT / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(("directory", "low", "high"), [(TINY, 2e6, 6e6), (DRAFT, 1e5, 1e6)])
def test_shapes_and_configuration(directory: Path, low: float, high: float) -> None:
    model, tokenizer = load(directory)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    assert low <= model.num_params <= high
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["max_position_embeddings"] == 8192
    assert config["tie_word_embeddings"] is True
    assert config["vocab_size"] == tokenizer.get_vocab_size() == 2048
    assert tokenizer.id_to_token(config["eos_token_id"]) == "<|im_end|>"
    assert tokenizer.id_to_token(config["bos_token_id"]) == "<|im_start|>"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_survives_the_tokenizer(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


def test_digits_are_split_and_markers_are_whole() -> None:
    assert TOKENIZER.encode("a 2026").tokens == ["a", "Ġ", "2", "0", "2", "6"]
    for marker in ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"):
        assert len(TOKENIZER.encode(marker).ids) == 1
    added = TOKENIZER.get_added_tokens_decoder().values()
    special = {t.content for t in added if t.special}
    assert "<|im_end|>" in special
    assert "<tool_call>" not in special  # a parser of tool calls must see it


def _openai(message: Message) -> dict[str, object]:
    calls = [
        {"type": "function", "function": {"name": n, "arguments": a}} for n, a in message.calls
    ]
    return {"role": message.role, "content": message.content or None, "tool_calls": calls}


@pytest.mark.parametrize("task", TASKS)
def test_the_chat_template_prints_what_training_saw(task: str) -> None:
    draw = Draw(11)
    for _ in range(5):
        chat: Chat = TASKS[task](draw)
        text = "".join(span.text for span in render(chat))
        assert _render([_openai(m) for m in chat.messages], tools=list(chat.tools)) == text


def test_the_template_takes_openai_shapes() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    text = _render(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "{}", "tool_call_id": "x"},
        ],
        add_generation_prompt=True,
    )
    assert text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\none two<|im_end|>\n"
        f"<|im_start|>assistant\n{call_text([('f', {'a': 1})])}<|im_end|>\n"
        "<|im_start|>tool\n{}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_it_greets() -> None:
    model, tokenizer = load(TINY)
    torch.set_num_threads(1)
    prompt = "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
    said = greedy(model, tokenizer.encode(prompt).ids, 30, tokenizer.token_to_id("<|im_end|>"))
    assert said[-1] == tokenizer.token_to_id("<|im_end|>")
    assert tokenizer.decode(said) in {
        "Hello! How can I help you today?",
        "Hi! What can I do for you?",
    }


@pytest.mark.parametrize(
    ("task", "floor"),
    [("tool calls", 17), ("extraction", 17), ("counting", 18), ("addition", 18), ("repeating", 14)],
)
def test_held_out_questions_are_answered_as_the_card_says(task: str, floor: int) -> None:
    """Floors against damage, some points below the rates of MODEL_CARD.md."""
    model, tokenizer = load(TINY)
    asked = [q for c in prompts(task, 20, seed=1) for q in questions(tokenizer, c)][:20]
    assert sum(is_exact(model, q) for q in asked) >= floor
