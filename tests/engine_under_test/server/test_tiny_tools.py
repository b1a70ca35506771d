"""The trained pair's target calls functions: what its card says, seen through the whole server."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

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
