"""Texts to embed: how many, how long, how salted; the same for the same seed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from harness.load.dialects import DIALECTS
from harness.load.facts import TargetFacts
from harness.traffic import SALT_MARK, ContentMaker, TokenPlan, build_schedule, salt

LOAD = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "8/s", "warmup": "0s",
    "duration": "10s", "cooldown": "0s",
}  # fmt: skip
WORK = {
    "kind": "embeddings",
    "batch": {"kind": "uniform", "min": 1, "max": 5},
    "input_tokens": {"kind": "uniform", "min": 40, "max": 300},
    "dimensions": 64,
}
EMBED = {"name": "embed", "workload": WORK}


def made(make_point, materials, plan, *classes):
    schedule = build_schedule(make_point(LOAD, *classes, seed=3), materials)
    maker = ContentMaker(make_point(LOAD, *classes, seed=3), schedule, materials, plan, "run")
    return maker, schedule


def test_every_text_has_its_length_and_the_request_their_sum(
    make_point, materials, tokenizer_json
) -> None:
    plan = TokenPlan("tokenizer", tokenizer_json=tokenizer_json, fixed_tok=2)
    maker, schedule = made(make_point, materials, plan, EMBED)
    stage, count = schedule.stages[0], Tokenizer.from_buffer(tokenizer_json)
    assert len(stage) == 80
    assert set(stage.batch.tolist()) == {1, 2, 3, 4, 5}
    assert (stage.asked_out == -1).all()
    lengths: set[int] = set()
    for row in range(len(stage)):
        content = maker.make(0, row)
        own = salt("run", "main", 0, 0, row, False, maker.salt_words)
        shown = [text.replace(SALT_MARK, own) for text in content.inputs]
        tokens = [len(count.encode(t, add_special_tokens=False).ids) + 2 for t in shown]
        assert len(tokens) == stage.batch[row]
        assert sum(tokens) == stage.asked_in[row]
        assert all(text.count(SALT_MARK) == 1 for text in content.inputs)
        assert len(set(shown)) == len(shown)
        lengths |= set(tokens)
    assert len(lengths) > 30  # texts of one request differ: each is drawn by itself


def test_a_batch_beside_chat_is_the_same_and_has_its_own_plan(make_point, materials) -> None:
    own = TokenPlan("calibrated", 2.0, 3.0)
    plan = TokenPlan("calibrated", 1.0, 11.0, embeddings=own)
    alone, first = made(make_point, materials, own, EMBED)
    mixed, second = made(make_point, materials, plan, EMBED, {"name": "talk"})
    rows = np.flatnonzero(second.stages[0].class_id == 0)
    assert 20 < len(rows) < 60
    assert (second.stages[0].batch[second.stages[0].class_id == 1] == 0).all()
    for k, row in enumerate(rows.tolist()):
        assert mixed.make(0, row).inputs == alone.make(0, k).inputs
        assert second.stages[0].asked_in[row] == first.stages[0].asked_in[k]
    words = [len(text.replace(SALT_MARK, "w " * 8).split()) for text in alone.make(0, 0).inputs]
    # 2 tokens a word and 3 on top, to half a word each
    assert abs(2 * sum(words) + 3 * len(words) - first.stages[0].asked_in[0]) <= len(words)
    again = TokenPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan


def test_the_schedule_tells_batches_apart_and_is_as_before_without(make_point, materials) -> None:
    plain = build_schedule(make_point(LOAD), materials)
    assert len(plain.stages[0].batch) == 0
    one = build_schedule(make_point(LOAD, EMBED), materials)
    fixed = {**WORK, "batch": {"kind": "fixed", "value": 1}}
    other = build_schedule(make_point(LOAD, {**EMBED, "workload": fixed}), materials)
    assert one.sha256() != other.sha256()
    assert one.sha256() == build_schedule(make_point(LOAD, EMBED), materials).sha256()


def test_the_body_is_that_of_the_api(make_point, materials) -> None:
    maker, _ = made(make_point, materials, TokenPlan("calibrated"), EMBED)
    content = maker.make(0, 0)
    body = DIALECTS["embeddings"].encode(content, TargetFacts("http://x/v1", "m"), "m")
    sent = json.loads(body.head)
    assert sent == {"model": "m", "dimensions": 64, "input": list(content.inputs)}
    assert body.is_marked
    assert body.tail is None


@pytest.mark.parametrize(
    ("body", "problem", "vectors"),
    [
        ({"data": [{"index": 1, "embedding": [1, 0.5]}, {"index": 0, "embedding": [0, 1e-9]}]},
         "", 2),
        ({"data": []}, "", 0),
        ({"data": [{"index": 0, "embedding": []}]}, "row 0 of 'data' has no vector", 0),
        ({"data": [{"index": 0, "embedding": [1, None]}]}, "vector 0 holds what is no finite", 0),
        ({"data": [{"index": 0, "embedding": [1, True]}]}, "vector 0 holds what is no finite", 0),
        ({"data": [{"index": 0, "embedding": ["1"]}]}, "vector 0 holds what is no finite", 0),
        ({"data": [{"index": 0, "embedding": "AACAPw=="}]}, "", 1),  # 1.0, packed
        ({"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]},
         "the indices of 'data' are not 0 to 1", 0),
        ({"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]},
         "the vectors are not of one length", 0),
        ({"data": {"embedding": [1]}}, "the answer has no list 'data'", 0),
        ([1], "the body is not a JSON object", 0),
    ],
)  # fmt: skip
def test_vectors_are_read_or_refused(body: object, problem: str, vectors: int) -> None:
    found = DIALECTS["embeddings"].read_whole(json.dumps(body).encode())
    assert found.problem.startswith(problem)
    assert bool(found.problem) == bool(problem)
    assert found.num_vectors == vectors


def test_what_is_no_json_or_no_number_is_told() -> None:
    read = DIALECTS["embeddings"].read_whole
    assert read(b"{").problem == "the body is not JSON"
    for odd in (b"NaN", b"Infinity", b"-Infinity"):
        found = read(b'{"data":[{"index":0,"embedding":[0.5,' + odd + b"]}]}")
        assert found.problem == "vector 0 holds what is no finite number"
    assert read(b'{"error":{"message":"no"}}').error == {"message": "no"}
