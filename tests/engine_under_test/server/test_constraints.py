"""Which texts the grammar of a request's tools lets through, marker tokens or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from engine_under_test.server.build import SHIPPED
from engine_under_test.server.constraints import Callable, Constraint, constraint
from engine_under_test.server.protocol import BodyParser, ChatBody
from engine_under_test.server.tools import OPEN
from engine_under_test.tokenizer import Tokenizer

BYTES, TINY = Tokenizer.of_bytes(), Tokenizer.from_dir(SHIPPED / "tiny")
READERS = {
    t: LLTokenizer(t.to_json(), n_vocab=t.vocab_size, eos_token=list(t.eos_ids))
    for t in (BYTES, TINY)
}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = Callable("get_weather", json.dumps(CITY), "tools")
ADD = Callable('a"dd', '{"type": "object"}', "tools")


def call(name: str, arguments: object) -> str:
    inside = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>{inside}</tool_call>"


ROME, SUM, BAD = (
    call("get_weather", {"city": "Rome"}),
    call('a"dd', {"x": 1}),
    call("get_weather", 1),
)


def accepts(tokenizer: Tokenizer, wanted: Constraint, text: str) -> bool:
    """Whether the whole text is an answer that may end there."""
    matcher = LLMatcher(READERS[tokenizer], LLMatcher.grammar_from_lark(wanted.lark()), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tokenizer.encode(text)
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


@pytest.mark.parametrize("tokenizer", [BYTES, TINY], ids=["bytes", "markers"])
@pytest.mark.parametrize(
    ("max_calls", "has_text", "text", "is_allowed"),
    [
        (16, False, ROME, True),
        (16, False, ROME + SUM, True),
        (16, False, ROME + "\n" + ROME + "\n" + SUM, True),
        (16, False, "\n".join([ROME] * 16), True),
        (16, False, "\n".join([ROME] * 17), False),
        (16, False, ROME.replace("<tool_call>", "<tool_call>\n"), True),
        (16, False, "", False),
        (16, False, "hi", False),
        (16, False, ROME + "hi", False),
        (16, False, BAD, False),
        (16, False, call("other", {}), False),
        (1, False, ROME, True),
        (1, False, ROME + "\n" + SUM, False),
        (16, True, "", True),
        (16, True, "just\ntext with < and <tool", True),
        (16, True, "Let me see.\n" + ROME, True),
        (16, True, ROME + "\n" + SUM + "\ndone", True),
        (16, True, "so " + BAD, False),
        (16, True, "so <tool_call>{", False),
        (1, True, "see " + ROME, True),
        (1, True, ROME + SUM, False),
        (1, True, "just text", True),
    ],
)
def test_calls(
    tokenizer: Tokenizer, max_calls: int, has_text: bool, text: str, is_allowed: bool
) -> None:
    wanted = Constraint(None, (WEATHER, ADD), max_calls, has_text, tokenizer.has_token(OPEN))
    assert accepts(tokenizer, wanted, text) is is_allowed


@pytest.mark.parametrize("tokenizer", [BYTES, TINY], ids=["bytes", "markers"])
def test_an_answer_or_calls(tokenizer: Tokenizer) -> None:
    wanted = Constraint('{"type": "integer"}', (WEATHER,), has_marker=tokenizer.has_token(OPEN))
    for text, is_allowed in (("12", True), (ROME, True), ("12" + ROME, False), ('"x"', False)):
        assert accepts(tokenizer, wanted, text) is is_allowed


def _body(**fields: Any) -> ChatBody:
    return BodyParser(True).parse(ChatBody, {"messages": [{"role": "user"}], **fields})


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def test_auto_needs_a_grammar_only_for_strict_functions_and_single_calls() -> None:
    free = [tool("f", parameters=CITY), tool("g")]
    assert constraint(_body(tools=free), False) is None
    assert (
        constraint(_body(tools=free, tool_choice="none", parallel_tool_calls=False), False) is None
    )
    single = constraint(_body(tools=free, parallel_tool_calls=False), False)
    assert single is not None
    assert (single.has_text, single.max_calls) == (True, 1)
    assert {f.parameters for f in single.functions} == {'{"type": "object"}'}, "only the form binds"
    mixed = [tool("f", parameters=CITY, strict=True), tool("g", parameters={"not": {}})]
    strict = constraint(_body(tools=mixed), False)
    assert strict is not None
    assert strict.has_text
    assert json.loads(strict.functions[0].parameters) == CITY
    assert strict.functions[1].parameters == '{"type": "object"}'


def test_a_function_without_parameters_takes_none() -> None:
    wanted = constraint(_body(tools=[tool("now")], tool_choice="required"), False)
    assert wanted is not None
    assert accepts(BYTES, wanted, call("now", {}))
    assert not accepts(BYTES, wanted, call("now", {"x": 1}))
