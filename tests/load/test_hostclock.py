"""Offsets by the NTP formula, from exchanges whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.hostclock import MAX_STEP_NS, Exchange, HostClock, Reading

MS, S = 1_000_000, 1_000_000_000


def exchange(offset_ns: int, there_ns: int, back_ns: int, sent_ns: int = 10 * S) -> Exchange:
    """One that takes there_ns and back_ns on the way, 1 ms at the worker."""
    received = sent_ns + there_ns + offset_ns
    left = received + MS
    return Exchange(sent_ns, received, left, left - offset_ns + back_ns)


def test_an_even_way_gives_the_offset_to_the_nanosecond() -> None:
    found = exchange(5 * S + 17, 3 * MS, 3 * MS)
    assert (found.offset_ns, found.rtt_ns) == (5 * S + 17, 6 * MS)


@given(
    offset_ns=st.integers(-(10**15), 10**15),
    ways=st.lists(
        st.tuples(st.integers(0, 50 * MS), st.integers(0, 50 * MS)), min_size=1, max_size=32
    ),
)
def test_the_true_offset_lies_within_the_uncertainty(
    offset_ns: int, ways: list[tuple[int, int]]
) -> None:
    reading = Reading.best_of([exchange(offset_ns, *way) for way in ways])
    assert abs(reading.offset_ns - offset_ns) <= reading.uncertainty_ns
    assert reading.uncertainty_ns == -(-min(sum(way) for way in ways) // 2)


def test_times_are_translated_both_ways_and_zero_is_no_time() -> None:
    clock = HostClock(Reading(-7 * S, MS, 0))
    assert clock.to_worker(100 * S) == 93 * S
    assert clock.to_master(clock.to_worker(100 * S)) == 100 * S
    assert (clock.to_worker(0), clock.to_master(0)) == (0, 0)


def test_processes_of_one_boot_share_a_clock_unless_it_is_seen_to_differ() -> None:
    shared = HostClock(Reading(900, 1000, 5), is_same_boot=True)
    assert (shared.is_shared, shared.to_worker(S), shared.uncertainty_ns) == (True, S, 0)
    # a time namespace: one machine, another monotonic clock
    apart = HostClock(Reading(5 * S, 1000, 5), is_same_boot=True)
    assert (apart.is_shared, apart.to_worker(S)) == (False, 6 * S)
    assert not HostClock(Reading(900, 1000, 5)).is_shared


def drifted(change_ns: int, seconds: float, unsure_ns: int = 50_000) -> HostClock:
    clock = HostClock(Reading(5 * S, unsure_ns, 100 * S))
    clock.end = Reading(5 * S + change_ns, unsure_ns, round((100 + seconds) * S))
    return clock


def test_drift_is_told_apart_from_what_the_uncertainty_allows() -> None:
    clock = drifted(1_000_000, 10)
    assert clock.drift_ppm == pytest.approx(100.0)
    assert clock.surely_drifts_ppm == pytest.approx(90.0)
    assert drifted(-100_000, 10).surely_drifts_ppm == 0.0
    assert HostClock(Reading(5 * S, 0, 0)).drift_ppm is None


@pytest.mark.parametrize(
    ("change_ns", "seconds", "is_step"),
    [
        (MAX_STEP_NS + 200_000, 1.0, True),
        (MAX_STEP_NS - 200_000, 1.0, False),
        (-3 * MS, 2.0, True),
        (4 * MS, 10.0, False),  # 400 ppm: a clock that is pulled hard, not one that was set
        (40 * S, 60.0, True),  # one of both hosts slept
    ],
)
def test_a_step_is_more_than_any_clock_is_pulled(
    change_ns: int, seconds: float, is_step: bool
) -> None:
    assert drifted(change_ns, seconds).step_ns == (change_ns if is_step else 0)


def test_the_exchange_with_the_least_round_trip_wins() -> None:
    rng = np.random.default_rng(3)
    slow = [exchange(S, int(a), int(b)) for a, b in rng.integers(5 * MS, 90 * MS, (31, 2))]
    reading = Reading.best_of([*slow, exchange(S, 10_000, 14_000)])
    assert (reading.offset_ns, reading.uncertainty_ns) == (S - 2_000, 12_000)
