"""Prompts of classes that ask for calls or documents, and the fields their bodies carry."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.load.dialects import DIALECTS
from harness.load.facts import TargetFacts
from harness.traffic import SALT_MARK, ContentMaker, TokenPlan, build_schedule

TOOLS = ({"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},)
SCHEMA = {"type": "object", "required": ["a"]}
ASKED = ["What time is it?", "And now?"]
LOAD = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "4/s", "warmup": "0s",
    "duration": "10s", "cooldown": "0s",
}  # fmt: skip


def maker(make_point, materials, **workload):
    point = make_point(LOAD, {"workload": {"prompts": ASKED, **workload}})
    materials = replace(materials, tasks={"t.json": TOOLS, "s.json": SCHEMA})
    schedule = build_schedule(point, materials)
    return ContentMaker(point, schedule, materials, TokenPlan("calibrated", 1.0, 3.0)), schedule


@pytest.mark.parametrize("choice", ["auto", "required", "none", "now"])
def test_tools_travel_with_every_body(make_point, materials, choice):
    made, _ = maker(
        make_point, materials, kind="tools", tools_file="t.json", tool_choice=choice,
        parallel_tool_calls=False, max_tokens=50, expect={"valid_call": False},
    )  # fmt: skip
    content = made.make(0, 3)
    facts = TargetFacts("http://x/v1", "m", takes_ignore_eos=True, takes_min_tokens=True)
    body = DIALECTS["chat"].encode(content, facts, "m")
    assert body.tail is not None
    sent = json.loads(body.head + b"salt" + body.tail)
    assert sent["tools"] == list(TOOLS)
    named = {"type": "function", "function": {"name": "now"}}
    assert sent["tool_choice"] == (named if choice == "now" else choice)
    assert sent["parallel_tool_calls"] is False
    assert sent["max_tokens"] == 50
    # an answer of a form has a length of its own: nothing may stretch it
    assert "ignore_eos" not in sent
    assert "min_tokens" not in sent


def test_a_schema_travels_as_response_format(make_point, materials):
    made, schedule = maker(make_point, materials, kind="json_schema", schema_file="s.json")
    content = made.make(0, 0)
    assert content.fields["response_format"]["type"] == "json_schema"
    assert content.fields["response_format"]["json_schema"]["schema"] == SCHEMA
    assert content.max_tokens is None
    assert (schedule.stages[0].asked_out == -1).all()


def test_each_prompt_is_salted_and_ends_in_one_of_the_requests(make_point, materials):
    made, schedule = maker(make_point, materials, kind="tools", tools_file="t.json")
    texts = [made.make(0, row).messages[0][1] for row in range(len(schedule.stages[0]))]
    assert all(text.startswith(SALT_MARK) for text in texts)
    assert {text.rsplit("\n\n", 1)[1] for text in texts} == set(ASKED)
    again, _ = maker(make_point, materials, kind="tools", tools_file="t.json")
    assert texts == [again.make(0, row).messages[0][1] for row in range(len(texts))]


@pytest.mark.parametrize("wanted", [5, 60])
def test_words_fill_a_length_that_is_asked_and_the_request_stays(make_point, materials, wanted):
    made, _ = maker(
        make_point, materials, kind="json_schema", schema_file="s.json",
        input_tokens={"kind": "fixed", "value": wanted},
    )  # fmt: skip
    text = made.make(0, 0).messages[0][1]
    assert text.endswith(("\n\nWhat time is it?", "\n\nAnd now?"))
    num_words = len(text.split()) + 3 - 1 + 6  # the template's 3; the mark stands for a salt
    assert wanted < 10 or abs(num_words - wanted) <= 8
