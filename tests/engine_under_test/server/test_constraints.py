"""Which texts the grammar of a request's tools lets through, marker tokens or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from engine_under_test.errors import RequestRefused
from engine_under_test.server.body_parser import BodyParser
from engine_under_test.server.build import SHIPPED
from engine_under_test.server.call_grammar import Callable, Constraint, Marks
from engine_under_test.server.constraints import constraint
from engine_under_test.server.errors import ApiError
from engine_under_test.server.protocol import ChatBody
from engine_under_test.structured import GrammarCompiler
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
        (None, True, "", True),
        (None, True, "just\ntext with < and <tool", True),
        (None, True, "Let me see.\n" + ROME, True),
        (None, True, ROME + "\n" + SUM + "\ndone", True),
        (None, True, (ROME + "\n") * 20, True),
        (None, True, "so " + BAD, False),
        (None, True, "so <tool_call>{", False),
        (None, True, "so " + call("other", {}), False),
        (None, True, "text </tool_call> <tools>", True),
        (1, True, "see " + ROME, True),
        (1, True, ROME + SUM, False),
        (1, True, "just text", True),
    ],
)
def test_calls(
    tokenizer: Tokenizer, max_calls: int | None, has_text: bool, text: str, is_allowed: bool
) -> None:
    wanted = Constraint(None, (WEATHER, ADD), max_calls, has_text, marks=Marks.of(tokenizer))
    assert accepts(tokenizer, wanted, text) is is_allowed


@pytest.mark.parametrize("tokenizer", [BYTES, TINY], ids=["bytes", "markers"])
def test_an_answer_or_calls(tokenizer: Tokenizer) -> None:
    wanted = Constraint('{"type": "integer"}', (WEATHER,), marks=Marks.of(tokenizer))
    for text, is_allowed in (("12", True), (ROME, True), ("12" + ROME, False), ('"x"', False)):
        assert accepts(tokenizer, wanted, text) is is_allowed


def _body(**fields: Any) -> ChatBody:
    return BodyParser(True).parse(ChatBody, {"messages": [{"role": "user"}], **fields})


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def test_the_bracket_cannot_be_spelled_in_other_tokens_to_escape_the_grammar() -> None:
    wanted = Constraint(None, (WEATHER,), None, True, marks=Marks.of(TINY))
    matcher = LLMatcher(READERS[TINY], LLMatcher.grammar_from_lark(wanted.lark()), log_level=0)
    spelled = [i for char in "so <tool_call>{}" for i in TINY.encode(char)]
    assert TINY.decode(spelled) == "so <tool_call>{}"
    assert matcher.try_consume_tokens(spelled) == len("so <tool_call")
    assert matcher.is_accepting()


def test_a_stop_token_of_the_clients_may_end_the_text_but_no_call() -> None:
    start = TINY.encode("<|im_start|>")
    body = _body(tools=[tool("f", parameters=CITY)], stop_token_ids=[*start, 300])
    wanted = constraint(body, Marks.of(TINY))
    assert wanted is not None
    assert wanted.stop_ids == (*start,), "300 is text, which needs no leave"
    for before, is_allowed in (("", True), ("some text", True), ("<tool_call>", False)):
        assert accepts(TINY, wanted, before + "<|im_start|>") is is_allowed


def test_auto_binds_calls_alone_and_parallel_calls_to_one() -> None:
    free = [tool("f", parameters=CITY), tool("g")]
    wanted = constraint(_body(tools=free), Marks())
    assert wanted is not None
    assert (wanted.has_text, wanted.max_calls, wanted.is_demanded) == (True, None, False)
    assert json.loads(wanted.functions[0].parameters) == CITY
    assert (
        constraint(_body(tools=free, tool_choice="none", parallel_tool_calls=False), Marks())
        is None
    )
    single = constraint(_body(tools=free, parallel_tool_calls=False), Marks())
    assert single is not None
    assert (single.has_text, single.max_calls, single.is_demanded) == (True, 1, True)
    strict = constraint(_body(tools=[tool("f", parameters=CITY, strict=True)]), Marks())
    assert strict is not None
    assert strict.is_demanded


@pytest.mark.parametrize(
    "schema", [{"not": {}}, {"type": "string"}, {"properties": {"x": {"$ref": "http://x/y"}}}]
)
def test_what_cannot_be_kept_is_any_object_in_auto_and_a_refusal_where_it_was_demanded(
    schema: dict[str, Any],
) -> None:
    compiler = GrammarCompiler(BYTES.to_json(), BYTES.vocab_size, BYTES.eos_ids)

    def compiled(*tools: dict[str, Any]) -> LLMatcher:
        wanted = constraint(_body(tools=list(tools)), Marks())
        assert wanted is not None
        return compiler._compile(wanted)

    matcher = compiled(tool("get_weather", parameters=CITY), tool("odd", parameters=schema))
    for text, is_allowed in (
        (call("odd", {"anything": [1]}), True),
        (call("odd", 1), False),
        (call("other", {}), False),
    ):
        ids = BYTES.encode(text)
        assert (matcher.deep_copy().try_consume_tokens(ids) == len(ids)) is is_allowed
    with pytest.raises((RequestRefused, ApiError)):
        compiled(tool("odd", parameters=schema, strict=True))
    compiler.close()


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_limits_what_may_be_called_and_shows_all(mode: str) -> None:
    tools = [tool("f", parameters=CITY), tool("g"), tool("h")]
    names = [{"type": "function", "function": {"name": n}} for n in ("g", "h")]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": names}}
    body = _body(tools=tools, tool_choice=choice)
    assert body.callable_tools == tools
    wanted = constraint(body, Marks())
    assert wanted is not None
    assert [f.name for f in wanted.functions] == ["g", "h"]
    assert wanted.has_text is (mode == "auto")
    names.append({"type": "function", "function": {"name": "zap"}})
    with pytest.raises(ApiError, match="no 'zap'"):
        constraint(_body(tools=tools, tool_choice=choice), Marks())


def test_a_function_without_parameters_takes_none() -> None:
    wanted = constraint(_body(tools=[tool("now")], tool_choice="required"), Marks())
    assert wanted is not None
    assert accepts(BYTES, wanted, call("now", {}))
    assert not accepts(BYTES, wanted, call("now", {"x": 1}))
