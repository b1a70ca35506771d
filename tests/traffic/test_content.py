"""Texts have the asked length, the same seed gives the same text, and sharing is what was asked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tokenizers import Tokenizer

from harness.scenario.materials import DatasetRow, Trace
from harness.traffic import (
    SALT_MARK,
    ContentMaker,
    TokenPlan,
    build_schedule,
    probe_words,
    run_salt,
    salt,
)

CHAT = {
    "kind": "chat",
    "input_tokens": {"kind": "lognormal", "median": 250, "p95": 1200, "max": 4000},
    "output_tokens": {"kind": "lognormal", "median": 120, "p95": 400, "max": 800},
}
LOAD = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "4/s", "warmup": "10s",
    "duration": "40s", "cooldown": "20s",
}  # fmt: skip
BYTES = """{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
 "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
 "trim_offsets": true, "use_regex": true}, "post_processor": null,
 "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
 "use_regex": true}, "model": {"type": "BPE", "dropout": null, "unk_token": null,
 "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
 "byte_fallback": false, "ignore_merges": false, "vocab": %s, "merges": []}}"""


def byte_tokenizer() -> bytes:
    """One token a byte: no word costs one token, so every length is a puzzle."""
    import json

    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return (BYTES % json.dumps({c: i for i, c in enumerate(alphabet)})).encode()


def texts(content) -> str:
    return (content.system or "") + "".join(text for _, text in content.messages)


def contents(point, materials, plan, run_id="run"):
    schedule = build_schedule(point, materials)
    maker = ContentMaker(point, schedule, materials, plan, run_id)
    return maker, schedule.stages[0], [maker.make(0, r) for r in range(len(schedule.stages[0]))]


@pytest.mark.parametrize("which", ["bpe", "bytes"])
@pytest.mark.parametrize("system", [None, {"kind": "uniform", "min": 60, "max": 120}])
def test_with_a_tokenizer_every_prompt_is_exact(
    make_point, materials, tokenizer_json, which, system
) -> None:
    raw = tokenizer_json if which == "bpe" else byte_tokenizer()
    low = 60 if which == "bpe" else 400
    lengths = {"kind": "uniform", "min": low + 200, "max": 3000}
    workload = {**CHAT, "input_tokens": lengths} | ({"system_tokens": system} if system else {})
    plan = TokenPlan("tokenizer", tokenizer_json=raw, fixed_tok=5)
    maker, stage, made = contents(make_point(LOAD, {"workload": workload}), materials, plan)
    count = Tokenizer.from_buffer(raw)
    for row, content in enumerate(made):
        own = salt("run", "main", 0, 0, row, False, maker.salt_words)
        parts = [
            t.replace(SALT_MARK, own)
            for t in (content.system, *dict(content.messages).values())
            if t
        ]
        tokens = sum(len(count.encode(part, add_special_tokens=False).ids) for part in parts)
        assert tokens + 5 == stage.asked_in[row]


def test_completions_have_no_template(make_point, materials, tokenizer_json) -> None:
    plan = TokenPlan("tokenizer", tokenizer_json=tokenizer_json, fixed_tok=50)
    workload = {**CHAT, "input_tokens": {"kind": "uniform", "min": 60, "max": 90}}
    point = make_point(LOAD, {"api": "completions", "workload": workload})
    maker, stage, made = contents(point, materials, plan)
    count = Tokenizer.from_buffer(tokenizer_json)
    for row, content in enumerate(made):
        assert content.messages == ()
        text = content.prompt.replace(SALT_MARK, salt("r", "", 0, 0, row, False, maker.salt_words))
        assert len(count.encode(text).ids) == stage.asked_in[row]


def test_calibrated_lengths_come_out_within_two_percent(
    make_point, materials, tokenizer_json
) -> None:
    """Two probes, as on an endpoint whose tokenizer nobody knows; its template costs 11."""
    count = Tokenizer.from_buffer(tokenizer_json)
    cost = lambda text: len(count.encode(text).ids) + 11  # noqa: E731
    words = (24, 640)
    plan = TokenPlan.from_probes(words, tuple(cost(probe_words(n, materials.words)) for n in words))
    fixed = {**CHAT, "input_tokens": {"kind": "fixed", "value": 500}}
    _, _, made = contents(make_point(LOAD, {"workload": fixed}), materials, plan)
    opened = salt("r", "", 0, 0, 1, False)
    got = [cost(texts(content).replace(SALT_MARK, opened)) for content in made]
    assert np.mean(got) == pytest.approx(500, rel=0.02)
    assert np.std(got) < 50


def test_probe_text_has_exactly_n_words(materials) -> None:
    for n in (24, 40, 241):
        assert len(probe_words(n, materials.words).split()) == n


def test_estimated_lengths_divide_characters(make_point, materials) -> None:
    fixed = {**CHAT, "input_tokens": {"kind": "fixed", "value": 500}}
    plan = TokenPlan("estimated", chars_per_token=5.0)
    _, _, made = contents(make_point(LOAD, {"workload": fixed}), materials, plan)
    opened = salt("r", "", 0, 0, 1, False)
    sizes = [len(texts(content).replace(SALT_MARK, opened)) for content in made]
    assert 2480 <= min(sizes) <= max(sizes) <= 2500


def test_same_seed_same_text_and_rows_differ(make_point, materials) -> None:
    plan = TokenPlan("calibrated")
    _, _, first = contents(make_point(LOAD), materials, plan, "one")
    _, _, again = contents(make_point(LOAD), materials, plan, "two")
    _, _, other = contents(make_point(LOAD, seed=1), materials, plan, "one")
    assert first == again
    assert len({texts(c) for c in first}) == len(first)
    assert not {texts(c) for c in first} & {texts(c) for c in other}


def test_unique_prompts_open_with_one_mark_and_ask_for_length(make_point, materials) -> None:
    _, stage, made = contents(make_point(LOAD), materials, TokenPlan("calibrated"))
    for row, content in enumerate(made):
        assert content.salted
        assert texts(content).startswith(SALT_MARK)
        assert texts(content).count(SALT_MARK) == 1
        assert content.max_tokens == stage.asked_out[row]
    words = round(stage.asked_out[0] / 1.3)
    assert texts(made[0]).endswith(f"Write about {words} words on the topics above.")


def test_prefix_groups_share_their_opening_in_one_run_only(
    make_point, materials, tokenizer_json
) -> None:
    prefix = {"groups": 3, "tokens": 200}
    point = make_point(LOAD, {"prefix": prefix})
    plan = TokenPlan("tokenizer", tokenizer_json=tokenizer_json)
    maker, stage, made = contents(point, materials, plan, "one")
    openings: dict[int, set[str]] = {}
    for row, content in enumerate(made):
        opening, _, _ = texts(content).partition(SALT_MARK)
        openings.setdefault(int(stage.prefix_group[row]), set()).add(opening)
    assert sorted(openings) == [0, 1, 2]
    assert all(len(same) == 1 for same in openings.values())
    assert len(set.union(*openings.values())) == 3
    count = Tokenizer.from_buffer(tokenizer_json)
    for (opening,) in openings.values():
        assert len(count.encode(opening).ids) == 200
        assert opening.startswith(run_salt("one", maker.salt_words))
    _, _, later = contents(point, materials, plan, "two")
    assert texts(made[0])[:20] != texts(later[0])[:20]
    tokens = len(
        count.encode(
            texts(made[5]).replace(SALT_MARK, salt("one", "", 0, 0, 5, False, maker.salt_words))
        ).ids
    )
    assert tokens == stage.asked_in[5]


def test_equal_hash_ids_become_equal_openings(make_point, materials, tokenizer_json) -> None:
    ids = ((1, 2, 3), (1, 2, 9), (7, 8))
    trace = Trace(
        np.array([0.0, 1, 2]),
        np.array([1500, 1400, 1024], np.int32),
        np.array([9, 9, 9], np.int32),
        ids,
        512,
    )
    full = dataclasses.replace(materials, traces={"t": trace})
    workload = {"kind": "trace", "file": "t", "format": "mooncake_jsonl"}
    point = make_point(LOAD, {"workload": workload})
    plan = TokenPlan("tokenizer", tokenizer_json=tokenizer_json)
    _, stage, made = contents(point, full, plan)
    count = Tokenizer.from_buffer(tokenizer_json)
    tokens = [count.encode(texts(content)).ids for content in made]
    assert [len(t) for t in tokens] == stage.asked_in.tolist()
    assert not any(content.salted for content in made)
    # rows 0 and 1 share two blocks after the run's salt, and no more; row 2 shares none
    same = [
        int(np.argmin([a == b for a, b in zip(tokens[0], t, strict=False)])) for t in tokens[1:3]
    ]
    assert 2 * 512 <= same[0] < 2 * 512 + 20
    assert same[1] < 20
    assert texts(made[0]) == texts(made[3])  # the trace's own row again


def test_dataset_rows_are_sent_as_they_are(make_point, materials) -> None:
    rows = (
        DatasetRow(None, "What is rain?", None),
        DatasetRow((("system", "Be brief."), ("user", "And snow?")), None, 12),
    )
    full = dataclasses.replace(materials, datasets={"d": rows})
    workload = {"kind": "dataset", "file": "d", "order": "sequential"}
    plan = TokenPlan("calibrated")
    _, _, made = contents(make_point(LOAD, {"workload": workload}), full, plan)
    assert made[0].messages == (("user", "What is rain?"),)
    assert (made[0].max_tokens, made[1].max_tokens, made[0].salted) == (None, 12, False)
    assert made[1].messages == (("system", "Be brief."), ("user", "And snow?"))
    _, _, salted = contents(make_point(LOAD, {"workload": workload | {"salt": True}}), full, plan)
    assert salted[1].messages[0] == ("system", f"{SALT_MARK}\n\nBe brief.")
    assert salted[0].salted
    _, _, plain = contents(
        make_point(LOAD, {"workload": workload, "api": "completions"}), full, plan
    )
    assert plain[1].prompt == "Be brief.\n\nAnd snow?"


def test_very_short_prompts_are_as_short_as_a_salt(make_point, materials) -> None:
    short = {**CHAT, "input_tokens": {"kind": "fixed", "value": 1}}
    _, _, made = contents(make_point(LOAD, {"workload": short}), materials, TokenPlan("calibrated"))
    assert texts(made[0]).strip() == SALT_MARK


def test_token_plan_survives_json(tokenizer_json) -> None:
    import json

    for plan in (
        TokenPlan("tokenizer", tokenizer_json=tokenizer_json),
        TokenPlan("calibrated", 1.4, 7.5),
    ):
        assert TokenPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_probes_give_the_line_through_them() -> None:
    plan = TokenPlan.from_probes((40, 240), (63, 323))
    assert (plan.slope_tok_per_word, plan.fixed_tok, plan.doubt) == (1.3, 11.0, "")
    # a constant, fewer for more, hardly any, dozens a word: no tokenizer counts so
    for tokens in ((63, 63), (63, 40), (63, 70), (63, 9000)):
        odd = TokenPlan.from_probes((40, 240), tokens)
        assert odd.kind == "estimated"
        assert odd.doubt == f"counts 40 and 240 words as 63 and {tokens[1]} prompt tokens"
        assert TokenPlan.from_json(odd.to_json()) == odd
