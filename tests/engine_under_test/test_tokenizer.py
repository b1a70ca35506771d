"""Chat templates as models ship them: rendered, sandboxed, and refused in their own words."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from engine_under_test.tokenizer import BadTemplate, ChatTemplate, Tokenizer

USER = [{"role": "user", "content": "hi"}]


def test_chatml_is_what_random_weights_speak() -> None:
    template = Tokenizer.of_bytes().chat_template
    assert template is not None
    expected = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert template.render(USER) == expected


def test_special_tokens_tojson_and_variables_reach_the_template() -> None:
    template = ChatTemplate("{{ bos_token }}{{ tools | tojson }}{{ mood }}", {"bos_token": "<s>"})
    tools = [{"name": "é"}]
    assert template.render(USER, tools=tools, variables={"mood": "!"}) == '<s>[{"name": "é"}]!'


def test_a_template_refuses_in_its_own_words() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(BadTemplate, match="roles must alternate"):
        template.render(USER)


OBJECTS = "{% for c in messages[0].tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}"
EITHER = (
    "{% for c in messages[0].tool_calls %}{% if c.function.arguments is string %}"
    "{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "sent", "printed"),
    [
        (OBJECTS, '{"b":1, "a": "é"}', '{"b": 1, "a": "é"}'),  # no text within text
        (OBJECTS, {"b": 1}, '{"b": 1}'),
        (OBJECTS, "[1]", '"[1]"'),  # no object: as it came
        (OBJECTS, '{"b"', r'"{\"b\""'),
        (EITHER, '{"b":1}', '{"b":1}'),  # to the character
        (EITHER, {"b": 1}, '{"b": 1}'),
    ],
)
def test_arguments_of_a_call_are_printed_once(source: str, sent: object, printed: str) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": sent}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    assert ChatTemplate(source).render([message]) == printed
    assert call["function"]["arguments"] == sent  # type: ignore[index]


def test_tojson_takes_what_transformers_gives_it() -> None:
    source = "{{ {'b': [1, 2], 'a': 0} | tojson(separators=(',', ':'), sort_keys=true) }}"
    assert ChatTemplate(source).render(USER) == '{"a":0,"b":[1,2]}'


@pytest.mark.parametrize(
    "source",
    ["{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{{ cycler.__init__.__globals__ }}"],
)
def test_templates_cannot_leave_the_sandbox(source: str) -> None:
    with pytest.raises(BadTemplate):
        ChatTemplate(source).render(USER)


def test_a_model_directory_round_trips(tmp_path: Path) -> None:
    Tokenizer.of_bytes()._backend.save(str(tmp_path / "tokenizer.json"))
    config = {
        "eos_token": {"content": "<|im_end|>"},
        "chat_template": [
            {"name": "default", "template": "{{ messages[0].content }}{{ eos_token }}"}
        ],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.from_dir(tmp_path)
    assert tokenizer.chat_template is not None
    assert tokenizer.chat_template.render(USER) == "hi<|im_end|>"
    assert tokenizer.eos_ids == tuple(tokenizer.encode("<|im_end|>"))
    assert tokenizer.decode(tokenizer.encode("Grüße 🎈")) == "Grüße 🎈"


def test_a_damaged_tokenizer_is_refused_by_file_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        Tokenizer.from_dir(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        Tokenizer.from_dir(tmp_path)
    Tokenizer.of_bytes()._backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text("fine\n{% for %}")
    with pytest.raises(ValueError, match="chat template, line 2"):
        Tokenizer.from_dir(tmp_path)


@pytest.mark.parametrize("source", ["{{ 1 // 0 }}", "{{ messages.x.y }}", "{{ messages[0] + 1 }}"])
def test_whatever_a_template_raises_is_a_refusal(source: str) -> None:
    with pytest.raises(BadTemplate):
        ChatTemplate(source).render(USER)


def test_a_long_text_is_encoded_without_holding_up_other_threads() -> None:
    tokenizer, text = Tokenizer.of_bytes(), "a b" * 100_000
    is_done, turns = threading.Event(), 0
    thread = threading.Thread(target=lambda: (tokenizer.encode(text), is_done.set()))
    thread.start()
    while not is_done.is_set():
        is_done.wait(0.0001)
        turns += 1
    thread.join()
    assert turns > 10  # one or two where encoding holds the interpreter's lock
