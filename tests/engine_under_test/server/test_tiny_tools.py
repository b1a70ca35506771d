"""The trained pair's target calls functions: what its card says, seen through the whole server."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import openai
import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.server.app import App
from engine_under_test.server.build import SHIPPED, ServerOptions, build, find_model
from engine_under_test.spec_config import SpecConfig

from .conftest import running

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TIMER = {"type": "object", "properties": {"minutes": {"type": "integer"}}, "required": ["minutes"]}


def tool(name: str, description: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    function = {"name": name, "description": description, "parameters": parameters, **more}
    return {"type": "function", "function": function}


TOOLS = [
    tool("get_weather", "Get the weather in a city.", CITY),
    tool("set_timer", "Start a timer.", TIMER),
]
ASKED = [
    ("What is the weather in Paris?", "get_weather", {"city": "Paris"}),
    ("Set a timer for 12 minutes.", "set_timer", {"minutes": 12}),
]


@pytest.mark.parametrize("choice", ["auto", "required", "named", "strict"])
@pytest.mark.parametrize(("text", "name", "arguments"), ASKED)
def test_it_calls_what_it_is_asked_to(
    tiny: openai.OpenAI, choice: str, text: str, name: str, arguments: dict[str, Any]
) -> None:
    tools = [{**t, "function": {**t["function"], "strict": choice == "strict"}} for t in TOOLS]
    wanted: Any = {"type": "function", "function": {"name": name}}
    fields: dict[str, Any] = {
        "model": "tiny",
        "messages": [{"role": "user", "content": text}],
        "tools": tools,
        "tool_choice": wanted if choice == "named" else "auto" if choice == "strict" else choice,
        "temperature": 0,
        "max_tokens": 80,
    }
    answer = tiny.chat.completions.create(**fields)
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == (name, arguments)
    assert answer.choices[0].finish_reason == "tool_calls"
    # What the model would have written anyway is left as it is.
    free = tiny.chat.completions.create(**{**fields, "tools": TOOLS, "tool_choice": "auto"})
    assert free.usage is not None
    assert answer.usage is not None
    assert free.usage.completion_tokens == answer.usage.completion_tokens


SPECS = {
    "plain": None,
    "ngram": SpecConfig("ngram", 3, ngram_min=1),
    "draft": SpecConfig("draft", 3, draft_dir=SHIPPED / "tiny-draft"),
}
LIMITED = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("name", SPECS)
def test_in_auto_mode_too_every_call_is_one_that_was_offered(name: str) -> None:
    """Hot draws, and questions for tools it was trained on and is not offered here."""
    source = find_model("tiny")
    config = EngineConfig(model_dir=source.directory, num_blocks=256, spec=SPECS[name])
    tools = [tool("forecast", "Get the weather in a city.", LIMITED), TOOLS[1]]
    schemas = {"forecast": LIMITED, "set_timer": TIMER}
    called: list[str] = []
    texts = 0
    with running(App(build(source, config, ServerOptions()))) as port:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", max_retries=0)
        for text in ("What is the weather in Paris?", "What is 12 plus 30?", "Hello!"):
            answer = client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": text}], tools=tools, n=8,
                temperature=1.3, seed=5, max_tokens=90, extra_body={"min_tokens": 5},
            )  # fmt: skip
            for choice in answer.choices:
                if choice.finish_reason != "tool_calls":
                    texts += 1
                    assert choice.finish_reason in ("stop", "length")
                    continue
                assert choice.message.tool_calls
                for call in choice.message.tool_calls:
                    assert call.type == "function"
                    called.append(call.function.name)
                    arguments = json.loads(call.function.arguments)
                    jsonschema.validate(arguments, schemas[call.function.name])
        client.close()
    assert len(called) >= 8
    assert texts, "text stays free"


def test_a_call_and_its_result_go_round(tiny: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = tiny.chat.completions.create(
        model="tiny", messages=messages, tools=TOOLS, temperature=0, max_tokens=80
    )
    message = first.choices[0].message
    (call,) = message.tool_calls or []
    messages += [
        message,
        {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "sky": "clear"}'},
    ]
    second = tiny.chat.completions.create(
        model="tiny", messages=messages, tools=TOOLS, temperature=0, max_tokens=80
    )
    assert second.choices[0].finish_reason in ("stop", "tool_calls")
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.prompt_tokens > first.usage.prompt_tokens + 20
