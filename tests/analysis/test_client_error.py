"""The client's error by hand: few stamps, every quantile worked out in a comment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.client_check import (
    NEAR_CEILING,
    CheckedLoad,
    ClientCheck,
    check_load,
)
from harness.analysis.client_error import (
    Spread,
    StampError,
    chunk_rate_per_s,
    cpu_us_per_chunk,
    match_chunks,
    spread,
    stamp_error,
)

from .rows import T0_NS, clients, meta, requests, row

US = 1_000
S = 1_000_000_000


def array(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def test_quantiles_of_a_thousand_and_one_errors() -> None:
    # 0, 1, ... 1000 us: type 7 puts p at rank 1000 p, so p50 = 500, p99 = 990, p99.9 = 999
    found = spread([k * US for k in range(1001)])
    assert found is not None
    assert (found.n, found.p50_s, found.max_s) == (1001, 500e-6, 1e-3)
    assert found.p99_s == pytest.approx(990e-6)
    assert found.p999_s == pytest.approx(999e-6)


def test_a_quantile_that_few_errors_cannot_carry_is_absent() -> None:
    assert spread([]) is None
    assert spread([1 * US] * 99) == Spread(99, 1e-6, None, None, 1e-6)
    assert spread([1 * US] * 100) == Spread(100, 1e-6, pytest.approx(1e-6), None, 1e-6)


def test_chunks_first_tokens_and_gaps_of_two_requests() -> None:
    # errors: request 1: 3, 5, 4 us; request 2: 7, 7 us
    true = [array(100 * US, 200 * US, 300 * US), array(150 * US, 250 * US)]
    measured = [array(103 * US, 205 * US, 304 * US), array(157 * US, 257 * US)]
    certain = [np.array([True, False, True]), np.array([True, True])]
    found = stamp_error(measured, true, certain)
    assert found.chunk is not None
    assert found.ttft is not None
    assert found.gap is not None
    assert (found.chunk.n, found.chunk.p50_s, found.chunk.max_s) == (5, 5e-6, 7e-6)
    # first tokens: 3 and 7 us; half way between is 5
    assert (found.ttft.n, found.ttft.p50_s, found.ttft.max_s) == (2, 5e-6, 7e-6)
    # gaps: |5 - 3| = 2, |4 - 5| = 1, |7 - 7| = 0
    assert (found.gap.n, found.gap.p50_s, found.gap.max_s) == (3, 1e-6, 2e-6)
    # without the one in doubt: 3, 4, 7, 7 us
    assert found.certain == Spread(4, 5.5e-6, None, None, 7e-6)


def test_nothing_matched_is_no_number() -> None:
    assert stamp_error([], [], []) == StampError(None, None, None, None)
    one = stamp_error([array(5)], [array(5)], [np.array([False])])
    assert (one.gap, one.certain) == (None, None)
    assert one.chunk == Spread(1, 0.0, None, None, 0.0)


def table(*rows: dict[str, Any]) -> Any:
    return requests(rows)


def test_chunks_are_matched_by_request_id_behind_the_role() -> None:
    late = 40 * US
    inside = row(1.0, [1.2, 1.3], request_id="a")
    inside["chunk_user_ns"] = [t + late for t in inside["chunk_ns"]]
    before = row(-1.0, [-0.8], request_id="b", chunk_user_ns=[T0_NS])
    failed = row(2.0, [], request_id="c", error="http_5xx", chunk_user_ns=[])
    strange = row(3.0, [3.1], request_id="d", chunk_user_ns=[T0_NS])
    short = row(4.0, [4.1, 4.2], request_id="e", chunk_user_ns=[T0_NS, T0_NS])
    role, tail = T0_NS + S, T0_NS + 2 * S
    sent = {
        "a": (role, *(t - 3 * US for t in inside["chunk_ns"]), tail),
        "e": (role, T0_NS),
    }
    found = match_chunks(table(inside, before, failed, strange, short), sent, T0_NS, T0_NS + 10 * S)
    assert (len(found.true), found.num_chunks, found.num_unknown) == (1, 2, 2)
    kernel = stamp_error(found.kernel, found.true, found.is_certain).chunk
    user = stamp_error(found.user, found.true, found.is_certain).chunk
    assert kernel == Spread(2, 3e-6, None, None, 3e-6)
    assert user is not None
    assert user.max_s == pytest.approx(43e-6)


def test_rate_and_cpu_are_ratios_of_sums() -> None:
    # two workers, rows at 1, 2, 3 s; between 1 and 3 s worker 0 spends 0.2 + 0.4 = 0.6 s on the
    # chunks at 1.5, 2.5, 2.6; worker 1 spends 0.1 + 0.1 = 0.2 s on the one at 2.2: 0.8 s / 4
    rows = table(
        row(0.0, [0.5, 1.5, 2.5, 2.6], worker=0), row(0.1, [2.2], worker=1),
        row(0.2, [9.0], worker=1),
    )  # fmt: skip
    first = clients(3, worker=0).to_pylist()
    second = clients(3, worker=1).to_pylist()
    for one, ratio in zip(first, (0.9, 0.2, 0.4), strict=True):
        one["cpu_ratio"] = ratio
    for one in second:
        one["cpu_ratio"] = 0.1
    health = clients(1).schema.empty_table().from_pylist(first + second, clients(1).schema)
    assert cpu_us_per_chunk(health, rows, T0_NS, T0_NS + 4 * S) == pytest.approx(200_000)
    assert cpu_us_per_chunk(health, rows, T0_NS + 3 * S, T0_NS + 4 * S) is None
    assert chunk_rate_per_s(rows, T0_NS, T0_NS + 4 * S) == 5 / 4


def checked(chunks_per_s: float, achieved: float | None = None, **changes: Any) -> CheckedLoad:
    some = spread([1 * US, 3 * US])
    errors = StampError(some, some, some)
    base = CheckedLoad(
        streams=round(chunks_per_s / 50), tok_per_s=50.0, req_per_s=None,
        chunks_per_s=chunks_per_s, achieved_chunks_per_s=achieved or chunks_per_s,
        num_requests=10, num_unknown=0, stamp_source="kernel", kernel=errors, user=errors,
        failed={},
    )  # fmt: skip
    return replace(base, **changes)


LATE = {"send_lag": "send lag p99 31 ms"}


def test_the_ceiling_ends_below_the_first_load_that_is_not_clean() -> None:
    check = ClientCheck((checked(3_000), checked(12_000, failed=LATE), checked(50_000)))
    assert check.ceiling_chunks_per_s == 3_000
    assert not check.is_ceiling_open
    assert ClientCheck((checked(3_000, failed=LATE),)).ceiling_chunks_per_s is None
    assert not checked(3_000, num_requests=0).is_clean
    assert not checked(3_000, num_unknown=1).is_clean


def test_a_load_the_endpoint_could_not_deliver_proves_what_came() -> None:
    # 95 % of the asked counts as all of it, 60 % as what it was
    check = ClientCheck((checked(10_000, 9_500), checked(50_000, 30_000)))
    assert check.ceiling_chunks_per_s == 30_000
    assert not check.is_ceiling_open
    assert ClientCheck((checked(10_000, 9_500),)).is_ceiling_open


def test_sixty_percent_of_the_ceiling_is_near() -> None:
    own, above = 6_000.0, 6_000 / NEAR_CEILING
    quiet = ClientCheck((checked(own), checked(above)), intended=0)
    assert quiet.share_of_ceiling == pytest.approx(0.6)
    assert not quiet.is_near_ceiling
    near = ClientCheck((checked(own), checked(above, failed=LATE)), intended=0)
    assert near.share_of_ceiling == 1.0
    assert near.is_near_ceiling
    beyond = ClientCheck((checked(own, failed=LATE),), intended=0)
    assert beyond.share_of_ceiling is None
    assert beyond.is_near_ceiling
    assert not ClientCheck((checked(own),)).is_near_ceiling  # no run, no notice


def test_json_round_trip_is_exact() -> None:
    unmatched = checked(5.0, kernel=StampError(None, None, None), failed=LATE)
    check = ClientCheck((checked(3_000, cpu_us_per_chunk=7.25), unmatched), 3, 1)
    row = check.to_json()
    assert ClientCheck.from_json(row | {"of_the_future": 1}) == check
    assert row["loads"][1]["is_clean"] is False


def test_a_late_client_is_not_clean_and_says_why() -> None:
    on_time = [row(0.1 * k, [0.1 * k + 0.05], request_id=str(k), worker=0) for k in range(20)]
    for one in on_time:
        one["chunk_user_ns"] = one["chunk_ns"]
    sent = {one["request_id"]: (0, *one["chunk_ns"]) for one in on_time}
    setting = meta(2.0, kind="closed", concurrency=2)
    end_ns = setting.t1_ns + 5 * S
    asked = (2, 50.0, None, 100.0)
    found = check_load(table(*on_time), clients(6), setting, end_ns, sent, asked)
    assert found.is_clean, found.failed
    assert (found.num_requests, found.achieved_chunks_per_s) == (20, 10.0)
    assert found.kernel.chunk == Spread(20, 0.0, None, None, 0.0)
    assert found.uncertain_ratio == 0.0
    late = [one | {"sent_ns": one["sent_ns"] + S // 10} for one in on_time]
    found = check_load(table(*late), clients(6, cpu_ratio=0.95), setting, end_ns, sent, asked)
    assert set(found.failed or {}) == {"send_lag", "client_cpu"}
    assert not found.is_clean
    assert "100 ms" in (found.failed or {})["send_lag"]
