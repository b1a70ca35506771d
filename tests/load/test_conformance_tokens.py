"""Pitfalls of counting tokens: what is a token, when it came, and who counted it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.analysis.tokens import token_times, tpot_s
from harness.load import LoadProcess
from harness.traffic import TokenPlan

from .cases import EARLY_NS, MS, Run, run_cases, statuses

pytestmark = pytest.mark.e2e
OUT = 12
LATE = {"timing": {"ttft": "600ms"}}

CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (6, {}),
    "role": (1, LATE),
    "empty deltas": (1, {**LATE, "chunks": {"empty_deltas": 3}}),
    "reasoning": (1, {"chunks": {"reasoning_tok": 4}, "usage": {"reasoning": "inside"}}),
    "reasoning outside": (
        1, {"chunks": {"reasoning_tok": 4, "reasoning_field": "reasoning"},
            "usage": {"reasoning": "outside", "where": "finish"}},
    ),
    "tools": (1, {"chunks": {"kind": "tools"}}),
    "refusal": (1, {"chunks": {"kind": "refusal"}}),
    "bursts": (6, {"chunks": {"tok_per_chunk": 3}}),
    "bursts untold": (6, {"chunks": {"tok_per_chunk": 3}, "usage": {"where": "finish"}}),
    "first burst": (1, {"chunks": {"first_chunk_tok": 4}}),
    "first burst untold": (
        1, {"chunks": {"first_chunk_tok": 4, "text": "abcd"}, "usage": {"where": "finish"}},
    ),
    "late tail": (1, {"timing": {"tail": "600ms"}}),
    "stall": (
        1, {"tokens": {"output": 101},
            "timing": {"ttft": "10ms", "gap": "1ms", "stall": {"at": 50, "duration": "2s"}}},
    ),
    "end token": (3, {"usage": {"where": "finish", "values": "wrong", "wrong_by": 1}}),
    "one token": (4, {"tokens": {"output": 1}}),
    "early end": (5, {"tokens": {"output_delta": -4}}),
    "no usage": (4, {"usage": {"where": "absent"}, "tokens": {"output": 7}}),
    "zero usage": (1, {"usage": {"values": "zero"}}),
    "null usage": (1, {"usage": {"values": "null"}}),
    "echoed limit": (1, {"usage": {"values": "echo_max", "where": "finish"},
                         "tokens": {"output": 2}}),
    "usage after done": (1, {"usage": {"where": "after_done"}}),
    "usage unasked": (1, {"usage": {"always": True, "null_before": True}}),
    "cached": (3, {"usage": {"cached_tok": 25}}),
    "cached elsewhere": (1, {"usage": {"cached_tok": 25,
                                       "cached_field": "prompt_cache_hit_tokens"}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(load_process: LoadProcess, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_cases(load_process, tmp_path_factory.mktemp("tokens"), CASES)


def test_every_answer_is_a_success(run: Run) -> None:
    assert {name: seen.row["error_class"] for name, seen in run.cases.items()} == dict.fromkeys(
        CASES, ""
    )
    assert {row["stamp_source"] for row in run.rows()} == {"kernel"}


def test_01_role_only_first_chunk_is_no_token(run: Run) -> None:
    for name, num_before in (("role", 1), ("empty deltas", 4)):
        row, sent = run[name].row, run[name].sent
        assert row["first_byte_ns"] < sent[num_before] - 20 * MS  # the role came at once
        assert row["first_token_ns"] >= sent[num_before] - EARLY_NS
        assert row["first_token_ns"] == row["chunk_ns"][0]
        assert len(row["chunk_ns"]) == OUT


def test_02_reasoning_then_text_is_two_stamps_and_two_counts(run: Run) -> None:
    for name in ("reasoning", "reasoning outside"):
        row, sent = run[name].row, run[name].sent
        assert row["first_visible_ns"] == row["chunk_ns"][4] >= sent[5] - EARLY_NS
        assert row["first_token_ns"] == row["chunk_ns"][0] >= sent[1] - EARLY_NS
        assert (row["n_out"], row["n_reasoning"]) == (OUT, 4)


def test_03_tool_arguments_alone_are_an_answer(run: Run) -> None:
    row = run["tools"].row
    assert row["finish_reason"] == "tool_calls"
    assert row["first_token_ns"] == row["first_call_ns"] == row["chunk_ns"][0]
    assert row["first_visible_ns"] is None
    assert run.analyse("tools").find("ttfv", "max") is None or (
        run.analyse("tools").find("ttfv", "max").n == 0  # type: ignore[union-attr]
    )
    assert run["refusal"].row["first_visible_ns"] == run["refusal"].row["first_token_ns"]


@pytest.mark.parametrize("name", ["bursts", "bursts untold"])
def test_04_three_tokens_a_chunk_have_icl_and_tpot_but_no_itl(run: Run, name: str) -> None:
    rows = run[name].rows
    for row in rows:
        assert len(row["chunk_ns"]) == 4
        assert sum(row["chunk_tok"]) == pytest.approx(OUT)
    if name == "bursts":
        assert all(row["chunk_tok"] == [3.0] * 4 for row in rows)
        assert {row["n_first"] for row in rows} == {3}
    found = run.analyse(name)
    assert found.find("itl", "p50") is None
    icl = found.find("icl", "p50")
    assert icl is not None
    assert icl.n == 3 * len(rows)
    seconds = [(r["last_token_ns"] - r["first_token_ns"]) / 1e9 for r in rows]
    each = [s / (OUT - r["n_first"]) for s, r in zip(seconds, rows, strict=True)]
    assert list(tpot_s(run.frame(name))) == pytest.approx(each)
    plain = run.analyse("plain")
    assert plain.find("itl", "p50") is not None
    assert plain.find("itl", "p50").value == plain.find("icl", "p50").value  # type: ignore[union-attr]


def test_05_four_tokens_in_the_first_chunk_are_not_one(run: Run) -> None:
    told, untold = run["first burst"].row, run["first burst untold"].row
    assert told["n_first"] == untold["n_first"] == 4
    assert told["chunk_tok"] == [4.0] + [1.0] * 8
    assert np.allclose(untold["chunk_tok"], [4.0] + [1.0] * 8)  # equal texts: bytes are exact
    seconds = (told["last_token_ns"] - told["first_token_ns"]) / 1e9
    assert list(tpot_s(run.frame("first burst"))) == pytest.approx([seconds / 8])


def test_06_late_usage_and_done_do_not_stretch_the_answer(run: Run) -> None:
    row, sent = run["late tail"].row, run["late tail"].sent
    assert row["last_token_ns"] < sent[OUT + 1] - 100 * MS  # finish and usage, 600 ms later
    assert row["last_token_ns"] == row["chunk_ns"][-1] >= sent[OUT] - EARLY_NS
    assert row["end_ns"] >= sent[OUT + 1] - EARLY_NS


def test_07_one_stall_of_two_seconds_in_100_gaps_is_the_max_stall(run: Run) -> None:
    gaps = np.diff(run["stall"].row["chunk_ns"])
    assert len(gaps) == 100
    assert int(np.argmax(gaps)) == 49
    assert token_times(run.frame("stall")).max_stall_s == pytest.approx([gaps.max() / 1e9])
    sent = np.diff(run["stall"].sent[1:102]).max()
    assert abs(int(gaps.max()) - int(sent)) < 500 * MS
    assert sent > 1_500 * MS


def test_16_without_usage_nothing_is_counted_and_the_asked_length_is_never_taken(
    run: Run, load_process: LoadProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("no usage", "zero usage", "null usage", "echoed limit", "usage after done"):
        row = run[name].row
        assert (row["n_out"], row["tok_source"]) == (None, "absent"), name
        assert row["asked_out"] == OUT
    assert run["usage unasked"].row["n_out"] == OUT
    found = run.analyse("no usage")
    assert statuses(found)["missing_counts"] == "absent"
    assert found.find("output_tok_per_s", "rate").value is None  # type: ignore[union-attr]
    folder = tmp_path_factory.mktemp("estimated")
    cases = {"no usage": CASES["no usage"]}
    again = run_cases(load_process, folder, cases, token_plan=TokenPlan("estimated"))
    row = again["no usage"].row
    assert row["tok_source"] == "characters"
    assert row["n_out"] != row["asked_out"]
    assert statuses(again.analyse("no usage"))["estimated_counts"] == "notice"


def test_20_answers_that_end_early_are_told(run: Run) -> None:
    assert {row["n_out"] for row in run["early end"].rows} == {OUT - 4}
    assert {row["finish_reason"] for row in run["early end"].rows} == {"stop"}
    found = run.analyse("early end")
    assert statuses(found)["output_length"] == "notice"
    assert found.class_rows[0].realised_out_tok == OUT - 4


def test_29_one_token_answers_have_no_tpot_and_leave_the_others_theirs(run: Run) -> None:
    assert all(len(row["chunk_ns"]) == 1 for row in run["one token"].rows)
    found = run.analyse("plain", "one token")
    assert found.find("tpot", "p50", population="success").n == 6  # type: ignore[union-attr]
    assert found.counts["one_token"] == 4
    assert statuses(found)["without_tpot"] == "notice"
    assert found.find("ttft", "p50", population="success").n == 10  # type: ignore[union-attr]


def test_an_end_token_without_text_leaves_one_token_a_chunk(run: Run) -> None:
    row = run["end token"].row
    assert (row["n_out"], len(row["chunk_ns"]), row["n_first"]) == (OUT + 1, OUT, 1)
    assert run.analyse("end token").find("itl", "p50") is not None


def test_cached_prompt_tokens_are_read_by_either_name_and_judged(run: Run) -> None:
    assert run["cached elsewhere"].row["cached_tok"] == run["cached"].row["cached_tok"] == 25
    found = run.analyse("cached", unique_classes=("chat",))
    assert statuses(found)["cached"] == "absent"
    assert found.find("ttft", "p50").value is None  # type: ignore[union-attr]


def byte_tokenizer() -> bytes:
    """One token a byte, and a token that opens every text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: k for k, character in enumerate([*alphabet, "<s>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocab["<s>"])]
    )
    return tokenizer.to_str().encode()


def test_15_usage_wins_over_our_tokenizer_and_the_difference_is_shown(
    load_process: LoadProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cases: dict[str, tuple[int, dict[str, Any]]] = {
        "told": (6, {}),
        "thought": (1, {"chunks": {"reasoning_tok": 4}}),
        "agrees": (4, {"chunks": {"text": "x"}}),
        "untold": (1, {"usage": {"where": "absent"}}),
    }
    plan = TokenPlan("tokenizer", tokenizer_json=byte_tokenizer())
    folder = tmp_path_factory.mktemp("recount")
    run = run_cases(load_process, folder, cases, samples=1000, token_plan=plan)
    row = run["told"].row
    assert (row["n_out"], row["tok_source"]) == (OUT, "usage_continuous")
    assert row["n_recount"] == len(run.sample("told"))  # bytes of the text: no opening token
    assert run["agrees"].row["n_recount"] == OUT
    assert run["thought"].row["n_recount"] == row["n_recount"]  # reasoning counted apart, and all
    assert run["untold"].row["tok_source"] == "tokenizer"
    assert run["untold"].row["n_out"] == row["n_recount"]
    assert run["untold"].row["n_recount"] is None  # nothing to hold it against
    found = run.analyse("told")
    check = next(c for c in found.checks if c.code == "token_discrepancy")
    assert check.value == pytest.approx((row["n_recount"] - OUT) / OUT)
    assert check.status == "absent"
    assert found.find("output_tok_per_s", "rate").value is None  # type: ignore[union-attr]
    assert statuses(run.analyse("agrees"))["token_discrepancy"] == "ok"
