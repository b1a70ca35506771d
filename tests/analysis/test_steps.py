"""Single steps out of the client's stamps: by hand, and from a whole batch with a known law."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from harness.analysis.frame import Frame, read_frame
from harness.analysis.server_summary import Speculation
from harness.analysis.steps import Pace, decode_spans, point_steps

MS = 1_000_000


def frame_of(*requests: dict[str, Any]) -> Frame:
    """Times in ms. tokens: stamps of the chunks, one token each."""
    rows = []
    for r in requests:
        stamps = [t * MS for t in r["tokens"]]
        is_cut = r.get("cut", False)
        row = {
            "intended_ns": r["sent"] * MS, "sent_ns": r["sent"] * MS,
            "first_token_ns": stamps[0] if stamps else None,
            "last_token_ns": stamps[-1] if stamps else None,
            "end_ns": r.get("end", r["tokens"][-1] if stamps else None) * MS,
            "error_class": "cut" if is_cut else "", "n_in": r.get("n_in", 100),
            "n_out": r.get("n_out"),
            "cached_tok": r.get("cached", 0), "chunk_ns": stamps, "chunk_tok": [1.0] * len(stamps),
            "timings": json.dumps(r["told"]) if "told" in r else None,
        }  # fmt: skip
        rows.append(row)
    types = {"chunk_ns": pa.list_(pa.int64()), "chunk_tok": pa.list_(pa.float32()),
             "error_class": pa.string(), "timings": pa.string()}  # fmt: skip
    columns = {k: pa.array([row[k] for row in rows], types.get(k, pa.int64())) for k in rows[0]}
    return read_frame(pa.table(columns), 0, 10**9)


def test_one_user_by_hand() -> None:
    """Prompt of 100 read in 30 ms, then ten gaps of 2 ms; context 101 .. 110 in them."""
    steps = point_steps(frame_of({"sent": 10, "tokens": [40 + 2 * k for k in range(11)]}), 7)
    decode, prefill = steps.rows
    assert (decode.point, decode.kind, decode.num_seqs, decode.num) == (7, "decode", 1, 10)
    assert decode.seconds == pytest.approx(2e-3)
    assert decode.context_tok == pytest.approx(105.5)
    assert (prefill.kind, prefill.prompt_tok, prefill.has_overhead) == ("prefill", 100, True)
    assert prefill.seconds == pytest.approx(30e-3)


def test_only_gaps_without_a_prompt_in_flight_count() -> None:
    """b arrives at 21 and has its first token at 60: a's gaps from 20 to 60 are of mixed steps."""
    a = {"sent": 0, "tokens": [*range(10, 22, 2), 55, 60, *range(63, 111, 3)], "n_in": 50}
    b = {"sent": 21, "tokens": [60, *range(63, 111, 3)], "n_in": 70}
    spans = decode_spans(frame_of(a, b))
    assert [(round(s.begin_s * 1e3), round(s.end_s * 1e3), s.members) for s in spans] == [
        (10, 21, (0,)), (60, 108, (0, 1)),
    ]  # fmt: skip
    (both,) = (r for r in point_steps(frame_of(a, b), 0).rows if r.num_seqs == 2)
    assert both.seconds == pytest.approx(3e-3)
    assert both.num == 16
    # 16 gaps from the token at 60 on: a has 8 of 50 before them, b 1 of 70, and both gain 15 more
    assert both.context_tok == pytest.approx(50 + 70 + 8 + 1 + 2 * 15 / 2)


def test_a_request_that_was_cut_shares_the_steps_until_its_end() -> None:
    a = {"sent": 0, "tokens": list(range(10, 60, 2))}
    b = {"sent": 0, "tokens": list(range(10, 30, 2)), "cut": True, "end": 40}
    sizes = {r.num_seqs: r for r in point_steps(frame_of(a, b), 0).rows}
    assert set(sizes) == {1, 2}
    spans = decode_spans(frame_of(a, b))
    assert [len(s.members) for s in spans] == [2, 1]


def test_what_the_server_tells_is_used() -> None:
    """Engine 25 of 30 ms: 5 outside. 8 tokens after the first in 4 steps: two tokens a step."""
    told = {"prefill_ms": 25.0, "decode_steps": 8, "output_tokens": 17, "prefill_steps": 1,
            "prompt_tokens": 100, "cached_tokens": 16}  # fmt: skip
    tokens = [40 + 2 * k for k in range(17)]
    steps = point_steps(frame_of({"sent": 10, "tokens": tokens, "cached": 16, "told": told}), 0)
    decode, prefill = steps.rows
    assert (steps.pace.tok_per_step, steps.pace.drafts) == (2, None)  # it did not tell its drafts
    assert steps.pace.is_told
    assert decode.seconds == pytest.approx(4e-3)
    assert (prefill.seconds, prefill.has_overhead) == (pytest.approx(25e-3), False)
    assert (prefill.prompt_tok, prefill.cached_tok) == (84, 16)
    assert steps.num_prefill_steps == {84: 1}
    (overhead,) = steps.overheads
    assert overhead.seconds == pytest.approx(5e-3)


def test_prompts_that_met_others_are_no_lone_prompts() -> None:
    a = {"sent": 0, "tokens": [10, 12, 14]}
    b = {"sent": 5, "tokens": [20, 22, 24]}
    c = {"sent": 30, "tokens": [41, 43]}
    (row,) = point_steps(frame_of(a, b, c), 0).rows
    assert (row.kind, row.num) == ("prefill", 1)
    assert row.seconds == pytest.approx(11e-3)


def test_nothing_sent_is_nothing_seen() -> None:
    steps = point_steps(frame_of({"sent": 0, "tokens": [], "cut": True, "end": 9}), 0)
    assert steps.rows == ()
    assert steps.pace == Pace()


def test_drafts_are_counted_into_the_step() -> None:
    """3 drafts a step of which 1.5 are kept: 2.5 tokens gained, 4 computed for each sequence."""
    told = {"decode_steps": 8, "output_tokens": 21, "drafted_tokens": 24}
    tokens = [40 + 2 * k for k in range(21)]
    steps = point_steps(frame_of({"sent": 10, "tokens": tokens, "told": told}), 0)
    assert steps.pace == Pace(2.5, 3.0, True)
    decode = next(row for row in steps.rows if row.kind == "decode")
    assert decode.seconds == pytest.approx(5e-3)
    assert decode.tok_per_seq == 4
    # the server's counters speak where its answers do not: 10 verifications, 30 drafts, 12 kept
    counted = point_steps(frame_of({"sent": 10, "tokens": tokens}), 0, Speculation(10, 30, 12))
    assert counted.pace == Pace(2.2, 3.0, True)


def test_chunks_of_several_tokens_that_nobody_explains_are_no_steps_of_one() -> None:
    """6 tokens in 3 chunks after the first: drafts that were kept, or a stream that was held back.
    A character cut between two tokens now and then is neither."""
    steps = point_steps(frame_of({"sent": 10, "tokens": [40, 44, 48, 52], "n_out": 7}), 0)
    assert steps.pace == Pace(2.0, None, False)
    assert point_steps(frame_of({"sent": 10, "tokens": [40, 44, 48, 52], "n_out": 4}), 0).pace == (
        Pace()
    )
