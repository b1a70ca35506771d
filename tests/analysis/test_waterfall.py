"""Where single requests spent their time: the slowest by name, others by a seed."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np

from harness.analysis.frame import read_frame
from harness.analysis.waterfall import NUM_RANDOM, NUM_SLOWEST, Waterfall, waterfall


def taken(rows: ModuleType, table: list[dict[str, Any]], seed: int = 0) -> Waterfall | None:
    frame = read_frame(rows.requests(table), rows.T0_NS, rows.T0_NS + 100 * 10**9)
    return waterfall(frame, np.random.default_rng(seed))


def test_the_parts_of_a_request_by_hand(rows: ModuleType) -> None:
    """Meant for 1 s, connected in 30 ms, sent at 1.1; queued 0.2 s there; a stall of 1 s."""
    whole = rows.row(
        1.0, [1.5, 1.6, 1.7, 2.7, 2.8], sent=1.1, tcp_ns=20_000_000, tls_ns=10_000_000,
        timings=json.dumps({"queue_ms": 200.0}),
    )  # fmt: skip
    lost = rows.row(2.0, error="timeout", end=12.0)
    found = taken(rows, [whole, lost, rows.row(3.0, [3.1, 3.2, 3.3, 3.4]), rows.row(-1.0, [50.0])])
    assert found is not None
    assert found.num_requests == 3
    assert found.random == ()
    slow, second, third = found.slowest
    assert (slow.end_s, slow.error_class, slow.first_token_s) == (10.0, "timeout", None)
    assert (second.sent_s, second.connect_s, second.server_queue_s) == (0.1, 0.03, 0.2)
    assert (second.first_token_s, second.end_s, second.stall_s) == (0.5, 1.8, (0.7, 1.7))
    assert second.output_tok == 5.0
    assert third.stall_s == ()  # an even rhythm is no stall


def test_of_many_fifty_are_the_slowest_and_fifty_are_drawn(rows: ModuleType) -> None:
    table = [rows.row(t / 10, [t / 10 + 0.1, t / 10 + 0.1 + (t % 97) / 100]) for t in range(300)]
    found = taken(rows, table)
    assert found is not None
    assert (len(found.slowest), len(found.random)) == (NUM_SLOWEST, NUM_RANDOM)
    ends = sorted((0.1 + (t % 97) / 100 for t in range(300)), reverse=True)
    assert np.allclose([p.end_s for p in found.slowest], ends[:NUM_SLOWEST])
    assert len({p.intended_s for p in found.random}) == NUM_RANDOM
    drawn = [p.end_s for p in found.random]
    assert drawn == sorted(drawn, reverse=True)
    assert taken(rows, table) == found
    assert taken(rows, table, seed=1) != found


def test_nothing_that_ended_gives_nothing(rows: ModuleType) -> None:
    assert taken(rows, [rows.row(1.0, error="cut", end=None)]) is None
