"""Exchanges recorded together are what each would be alone, and what a plain loop says."""

from __future__ import annotations

import json
import statistics
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.bodies import ClassPlan
from harness.load.clock import Axis
from harness.load.dialects import DIALECTS
from harness.load.exchange import Arrival, Exchange
from harness.load.faults import TruncatedFault
from harness.load.record import Record, RecordContext, absorb, make_records
from harness.load.wire import NUM_STAMPS

PLAN = ClassPlan("chat", DIALECTS["chat"], "m", b"", ())
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
AXIS = Axis(lambda: 0, lambda: 0, lambda: 0)
# (bytes of the answer in this receive, kernel stamp after the last read or none, read after that,
# poll before it), us
receives = st.tuples(
    st.integers(0, 400), st.none() | st.integers(-300, 3_000), st.integers(0, 3_000),
    st.integers(0, 3_000),
)  # fmt: skip
answers = st.fixed_dictionaries(
    {
        "texts": st.lists(st.sampled_from(["a", "é", "three words here", '"'])),
        "counts": st.sampled_from(["none", "last", "each", "echo"]),
        "receives": st.lists(receives, max_size=12),
        "is_cut": st.booleans(),
    }
)


def body_of(texts: list[str], counts: str) -> bytes:
    out = []
    for k, text in enumerate(texts):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        told = {"each": k + 1, "echo": len(texts)}.get(counts)
        usage = {"usage": {"prompt_tokens": 3, "completion_tokens": told}} if told else {}
        out.append({"choices": [choice], **usage})
    out.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    if counts != "none":
        out.append({"choices": [], "usage": {"completion_tokens": len(texts)}})
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in out)


def exchange_of(case: dict[str, Any]) -> Exchange:
    exchange = Exchange(None, Arrival(0, 1, 1, 1, "measured"), PLAN, None, "id")  # type: ignore
    exchange.end_ns = 1 << 40
    body, at, now_us = body_of(case["texts"], case["counts"]), 0, 1_000
    exchange.reader.feed(HEAD)
    for size, kernel_us, read_us, poll_us in case["receives"]:
        before_us, now_us = now_us, now_us + read_us + max(0, kernel_us or 0)
        exchange.reader.feed(body[at : at + size])
        at = min(len(body), at + size)
        kernel_ns = 0 if kernel_us is None else (before_us + kernel_us) * 1_000
        poll_ns = max(0, now_us - poll_us) * 1_000
        exchange.receives.extend((kernel_ns, now_us * 1_000, poll_ns, at))
    if case["receives"]:
        exchange.head_row = 0
    if case["is_cut"] or at < len(body):
        exchange.fault = TruncatedFault("cut")
    else:
        exchange.reader.eof()
    return exchange


def records(cases: list[dict[str, Any]]) -> list[Record]:
    context = RecordContext("run", 0, "it", 0, AXIS, keeps_user_stamps=True)
    exchanges = [exchange_of(case) for case in cases]
    for exchange in exchanges:
        absorb(exchange, context, lambda: None, is_final=True)
    return list(make_records(exchanges, context, lambda: None, lambda _: ""))


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


@given(st.lists(answers, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_together_is_alone(cases: list[dict[str, Any]]) -> None:
    together = records(cases)
    for record, case in zip(together, cases, strict=True):
        (alone,) = records([case])
        assert {k: plain(v) for k, v in record.row.items()} == {
            k: plain(v) for k, v in alone.row.items()
        }
        assert record.recv_lag_ns.tolist() == alone.recv_lag_ns.tolist()


@given(answers)
@settings(max_examples=200, deadline=None)
def test_a_plain_loop_says_the_same(case: dict[str, Any]) -> None:
    (record,) = records([case])
    exchange, row = exchange_of(case), record.row
    raw = exchange.receives
    rows = [tuple(raw[at : at + NUM_STAMPS]) for at in range(0, len(raw), NUM_STAMPS)]
    stamps, kernels, lags, last_ns = [], [], [], 0
    for kernel_ns, user_ns, _, _ in rows:
        is_kernel = 0 < kernel_ns <= user_ns + 50_000
        stamp_ns = max(last_ns, min(kernel_ns, user_ns) if is_kernel else user_ns)
        stamps.append(stamp_ns)
        kernels.append(is_kernel)
        lags.append(user_ns - stamp_ns)
        last_ns = stamp_ns
    assert row["num_receives"] == len(rows)
    assert record.recv_lag_ns.tolist() == lags
    assert row["recv_lag_max_ns"] == max(lags, default=None)
    assert row["recv_lag_p50_ns"] == (int(statistics.median(lags)) if lags else None)
    assert row["stamp_source"] == ("kernel" if rows and all(kernels) else "user")
    whole = exchange.reader.body
    ends, at = [], 0
    while (found := whole.find(b"\n\n", at)) >= 0:
        at = found + 2
        ends.append(at)
    reached = [next(k for k, r in enumerate(rows) if r[3] >= end) for end in ends]
    text_ends = reached[: len(row["chunk_ns"])]  # events with a text come first
    assert row["chunk_ns"].tolist() == [stamps[k] for k in text_ends]
    assert row["num_coalesced"] == sum(a == b for a, b in pairwise(text_ends))
    doubts = []
    for k, end in zip(text_ends, ends, strict=False):
        since_ns = max(rows[k][2], rows[k - 1][1] if k else rows[k][2])
        is_shared = reached.count(k) > 1 or not kernels[k]
        is_last = rows[k][3] == end and kernels[k]
        doubts.append(stamps[k] - since_ns > 1_000_000 and is_shared and not is_last)
    assert row["chunk_uncertain"].tolist() == doubts
    assert row["num_uncertain"] == sum(doubts)
