"""Uptime by hand: windows, outages, time to repair, budget; retries and cold starts; properties.

Windows of 10 s, up when at least 80 % of the answers are good, a request each 2 s (5 a window).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import (
    Outage,
    PointSummary,
    UptimeWindow,
    analyse_point,
    pooled_uptime,
    repeats,
)
from harness.analysis.cut_short import cut_part
from harness.analysis.summary import CutPart
from harness.analysis.uptime import outages
from harness.scenario.slo import Slo

SLO = Slo.model_validate({"uptime": {"window": "10s", "good": "80%", "objective": "90%"}})


def measure(rows: ModuleType, errors: dict[float, str], window_s: float = 60, **meta: object):  # type: ignore[no-untyped-def]
    """A request each 2 s, failed where told; a time told as `none` has no request."""
    table = [
        rows.row(t, [t + 0.1], error=errors.get(t, ""))
        for t in (2.0 * k for k in range(round(window_s / 2)))
        if errors.get(t) != "none"
    ]
    return analyse_point(
        rows.requests(table), rows.clients(round(window_s)),
        rows.meta(window_s, **{"slo": SLO, **meta}),
    )  # fmt: skip


def test_windows_outages_and_repair_by_hand(rows: ModuleType) -> None:
    # window        0     1          2          3         4            5
    # failed of 5   0     2 (5xx)    1 (of 5)   none sent 5 connect    1 429, 1 4xx
    # bad share     0     40 %       20 %       -         100 %        0
    # up            yes   no         yes        -         no           yes
    errors = {10.0: "http_5xx", 14.0: "http_5xx", 22.0: "empty"}
    errors |= {30.0 + 2 * k: "none" for k in range(5)}
    errors |= {40.0 + 2 * k: "connect" for k in range(5)}
    errors |= {50.0: "throttled", 52.0: "http_4xx"}
    found = measure(rows, errors)
    windows = found.uptime_windows
    assert [w.is_up for w in windows] == [True, False, True, None, False, True]
    assert windows[1].by_class == (("http_5xx", 2),)
    assert windows[5].by_class == (("http_4xx", 1), ("throttled", 1))
    uptime = pooled_uptime([found])
    assert uptime.outages == (
        Outage(10.0, 10.0, 1, 5, 2, "http_5xx", False),
        Outage(40.0, 10.0, 1, 5, 5, "connect", False),
    )
    assert uptime.mttr_s == 10.0
    assert (uptime.num_seen, uptime.num_down, uptime.num_empty) == (5, 2, 1)
    assert uptime.shown.value == pytest.approx(3 / 5)
    assert uptime.requests_ratio == pytest.approx(1 - 8 / 25)
    assert uptime.mean_ratio == pytest.approx((1 + 0.6 + 0.8 + 0 + 1) / 5)
    assert uptime.allowed_windows == pytest.approx(0.5)  # 10 % of five
    assert uptime.burn_rate is not None
    assert uptime.burn_rate[0] == pytest.approx(0.4 / 0.1)
    assert found.find("uptime", "ratio") == replace(uptime.shown)
    series = dict(zip(found.series.error_classes, found.series.errors_by_class, strict=True))
    assert set(series) == {"connect", "http_4xx", "throttled", "http_5xx", "empty"}
    assert sum(series["connect"]) * found.series.bin_s == pytest.approx(5)


@pytest.mark.parametrize("length", ["300ms", "400ms", "700ms"])
def test_a_request_on_a_boundary_opens_its_window(rows: ModuleType, length: str) -> None:
    """A request each 100 ms: every window has as many, whatever 1.2 / .4 is in binary."""
    table = [rows.row(k / 10, [k / 10 + 0.01]) for k in range(210)]
    slo = Slo.model_validate({"uptime": {"window": length, "objective": "90%"}})
    found = analyse_point(rows.requests(table), rows.clients(21), rows.meta(21.0, slo=slo))
    assert {w.num_valid for w in found.uptime_windows} == {int(length[0])}


def test_429_is_bad_where_the_slo_says_so(rows: ModuleType) -> None:
    """Window 1: two of five are 429. Apart they are good answers, a limit the client ran into."""
    errors = {10.0: "throttled", 14.0: "throttled", 22.0: "throttled", 24.0: "http_4xx"}
    found = pooled_uptime([measure(rows, errors, 30)])
    assert ([w.num_bad for w in found.windows], found.outages) == ([0, 0, 0], ())
    own = Slo.model_validate({"uptime": {**SLO.uptime.model_dump(mode="json"), "throttled": "bad"}})
    summary = measure(rows, errors, 30, slo=own)
    strict = pooled_uptime([summary])
    assert "throttled" not in strict.not_counted
    assert [w.num_bad for w in strict.windows] == [0, 2, 1]
    assert strict.outages == (Outage(10.0, 10.0, 1, 5, 2, "throttled", False),)
    by_requests = summary.find("uptime", "requests")
    assert by_requests is not None
    assert by_requests.value == strict.requests_ratio == pytest.approx(1 - 3 / 15)


def test_an_outage_goes_on_over_an_empty_window_and_past_the_end(rows: ModuleType) -> None:
    down = {2.0 * k: "http_5xx" for k in range(5, 15)} | {40.0: "stalled", 42.0: "stalled"}
    empty = {30.0 + 2 * k: "none" for k in range(5)}
    more = {50.0 + 2 * k: "stalled" for k in range(5)}
    uptime = pooled_uptime([measure(rows, down | empty | more)])
    # windows: up, down, down, none, down, down
    (outage,) = uptime.outages
    assert (outage.start_s, outage.length_s, outage.num_windows) == (10.0, 50.0, 4)
    assert outage.error_class == "http_5xx"  # ten of them, seven stalled
    assert outage.is_open
    assert uptime.mttr_s is None


@pytest.mark.parametrize(
    ("second_s", "outages_seen"),
    [(65, [(50.0, 25.0, False)]), (100, [(50.0, 10.0, True), (100.0, 10.0, True)])],
)
def test_an_outage_spans_parts_unless_a_window_between_them_was_not_observed(
    rows: ModuleType, second_s: int, outages_seen: list[tuple[float, float, bool]]
) -> None:
    late = {50.0 + 2 * k: "connect" for k in range(5)}
    early = {2.0 * k: "connect" for k in range(5)}
    gap_ns = second_s * 10**9
    first = measure(rows, late, label="main-r1")
    second = measure(rows, early, label="main-r2", index=1)
    meta = second.meta
    moved = replace(meta, t0_ns=meta.t0_ns + gap_ns, t1_ns=meta.t1_ns + gap_ns)
    (parts,) = repeats([first, replace(second, meta=moved)])
    uptime = pooled_uptime(parts)
    assert uptime.name == "main (2 parts)"
    assert (uptime.num_seen, uptime.num_down) == (12, 2)
    assert [(o.start_s, o.length_s, o.is_open) for o in uptime.outages] == outages_seen
    # a clock that began anew: the second part follows the first
    reset = pooled_uptime([first, second])
    assert [w.start_s for w in reset.windows] == [10.0 * k for k in range(12)]


def test_requests_cut_by_the_end_decide_no_window(rows: ModuleType) -> None:
    # windows of five, up with one bad: 0: two cut; 1: two bad and two cut; 2: one cut; 3: all cut
    errors = {6.0: "cut", 8.0: "cut", 10.0: "http_5xx", 12.0: "http_5xx", 14.0: "cut", 16.0: "cut"}
    errors |= {28.0: "cut"} | {30.0 + 2 * k: "cut" for k in range(5)}
    found = measure(rows, errors, 40)
    assert [w.is_up for w in found.uptime_windows] == [None, False, True, None]
    assert [(w.num_valid, w.num_bad) for w in found.uptime_windows] == [
        (0, 0),
        (3, 2),
        (4, 0),
        (0, 0),
    ]


def test_what_a_killed_client_saw_counts(rows: ModuleType) -> None:
    """Killed at 47 s. Window 1 was lost; of the requests of 36 s and 38 s nobody saw the end."""
    times = [2.0 * k for k in range(23) if 2.0 * k not in (36.0, 38.0)]
    table = [rows.row(t, [t + 0.1], error="http_5xx" if 10 <= t < 20 else "") for t in times]
    due_s = np.arange(0.0, 60.0, 2.0)
    meta = rows.meta(47.0, slo=SLO, num_scheduled=30, is_partial=True, wall_ns=7)
    part = cut_part(rows.requests(table), rows.clients(47), meta, due_s)
    assert [w.is_up for w in part.windows] == [True, False, True, None]
    assert (part.left_out, part.wall_ns, part.window_s) == ("", 7, 47.0)
    # users who wait for their answers have no schedule to miss
    closed = replace(meta, kind="closed", concurrency=1)
    assert cut_part(rows.requests(table), rows.clients(47), closed, None).windows[3].is_up
    busy = cut_part(rows.requests(table), rows.clients(47, cpu_ratio=1.0), meta, due_s)
    assert busy.windows == ()
    assert busy.left_out.startswith("load worker CPU 100%")


def test_time_without_a_client_is_neither_up_nor_down(rows: ModuleType) -> None:
    """Killed in an outage at 60 s; the next client meets another one an hour after the start."""
    first = measure(rows, {40.0 + 2 * k: "connect" for k in range(10)})
    second = measure(rows, {2.0 * k: "connect" for k in range(5)})
    hour_ns = 3600 * 10**9
    cut = CutPart(first.meta.t0_ns, 60.0, first.uptime_windows, wall_ns=0)
    late = replace(
        second.meta, t0_ns=second.meta.t0_ns + hour_ns, t1_ns=second.meta.t1_ns + hour_ns, wall_ns=0
    )
    # the machine restarted in between: its own clock began anew, that of the wall went on
    again = replace(late, t0_ns=5, t1_ns=5 + 60 * 10**9, wall_ns=late.t0_ns - 5)
    for meta in (late, again):
        whole = replace(second, meta=meta, before=(cut,))
        found = pooled_uptime([whole])
        assert (found.name, found.num_parts, found.num_cut) == ("main (2 parts)", 2, 1)
        assert found.gaps_s == (3540.0,)
        assert (found.num_seen, found.num_down) == (12, 3)
        told = [(o.start_s, o.length_s, o.is_open) for o in found.outages]
        assert told == [(40.0, 20.0, True), (3600.0, 10.0, True)]
        assert found.mttr_s is None  # of neither was begin and end seen
        assert PointSummary.from_json(whole.to_json()) == whole
    void = pooled_uptime([replace(second, meta=late, before=(replace(cut, left_out="busy"),))])
    assert (void.name, void.num_seen, void.left_out, void.gaps_s) == ("main", 6, ("busy",), ())
    # a part that was measured again after the one that follows it stands where it was measured
    other = replace(first, meta=replace(first.meta, index=1, label="main-r2", wall_ns=0))
    pooled = pooled_uptime([replace(second, meta=replace(late, label="main-r1")), other])
    assert [o.start_s for o in pooled.outages] == [40.0, 3600.0]


def test_other_loads_are_not_pooled(rows: ModuleType) -> None:
    one = measure(rows, {}, swept={"load.every": "1s"})
    two = measure(rows, {}, swept={"load.every": "2s"}, index=1)
    assert [len(parts) for parts in repeats([one, two])] == [1, 1]


STATES = st.lists(st.sampled_from([True, False, None]), max_size=60)


def _windows(states: list[bool | None]) -> list[UptimeWindow]:
    return [
        UptimeWindow(5.0 * i, 0 if up is None else 4, 4 if up is False else 0, up,
                     (("http_5xx", 4),) if up is False else ())
        for i, up in enumerate(states)
    ]  # fmt: skip


@given(STATES)
def test_outages_hold_every_down_window_once(states: list[bool | None]) -> None:
    found = outages(_windows(states), 5.0)
    assert sum(o.num_windows for o in found) == sum(up is False for up in states)
    for before, after in itertools.pairwise(found):
        begin, end = round((before.start_s + before.length_s) / 5), round(after.start_s / 5)
        assert True in states[begin:end]  # only an up window ends an outage
    for outage in found:
        first, last = round(outage.start_s / 5), round((outage.start_s + outage.length_s) / 5) - 1
        assert states[first] is False
        assert states[last] is False
        assert True not in states[first : last + 1]
        # it is open where no window that is up stands before it, or after it
        assert outage.is_open == (True not in states[:first] or True not in states[last:])


def test_retries_count_once_for_latency_and_each_for_errors(rows: ModuleType) -> None:
    # ten requests a second apart; number 3 fails twice and is answered 4 s after it was intended
    table = [rows.row(float(t), [t + 0.2], ordinal=t, attempt=0) for t in range(10) if t != 3]
    table += [
        rows.row(3.0, end=3.1, error="http_5xx", ordinal=3, attempt=0),
        rows.row(3.0, end=5.1, error="http_5xx", ordinal=3, attempt=1, sent=5.0),
        rows.row(3.0, [7.0], ordinal=3, attempt=2, sent=6.9),
    ]
    good_request = Slo.model_validate({"good_request": {"ttft": "5s"}})
    meta = rows.meta(10.0, num_scheduled=10, slo=good_request)
    found = analyse_point(rows.requests(table), rows.clients(10), meta)
    assert found.counts["requests"] == 10
    assert (found.counts["valid"], found.counts["failed"], found.counts["retried"]) == (12, 2, 2)
    errors = found.find("error_rate", "ratio")
    assert errors is not None
    assert errors.value == pytest.approx(2 / 12)
    for population in ("success", "valid"):
        largest = found.find("ttft", "max", population=population)
        assert largest is not None
        assert (largest.value, largest.n) == (pytest.approx(4.0), 10)
    good = found.find("slo_attainment", "ratio")
    assert good is not None
    assert (good.value, good.n) == (1.0, 10)
    checks = {c.code: c for c in found.checks}
    assert checks["sent"].value == 1.0
    assert checks["extra_arrivals"].value == 0.0
    assert checks["send_lag"].value == 0.0


def test_what_a_user_left_is_wasted_not_delivered(rows: ModuleType) -> None:
    table = [rows.row(float(t), [t + 0.1, t + 0.2]) for t in range(5)]
    table += [rows.row(5.0, [5.1, 5.2, 5.3], error="cancelled", n_out=3)]
    found = analyse_point(rows.requests(table), rows.clients(10), rows.meta(10.0))
    delivered, wasted = (
        found.find(name, "rate") for name in ("output_tok_per_s", "wasted_tok_per_s")
    )
    assert delivered is not None
    assert wasted is not None
    assert (delivered.value, wasted.value) == (pytest.approx(1.0), pytest.approx(0.3))
    assert (found.counts["valid"], found.counts["cancelled"]) == (5, 1)


def test_first_requests_after_silence_stand_apart(rows: ModuleType) -> None:
    # silences of 20 and 60 s, bursts of two 1 s apart; cold answers take 2 and 5 s, warm 0.1 s
    table, t = [rows.row(-5.0, [-4.9])], -5.0
    for _ in range(6):
        for idle, cost in ((20.0, 2.0), (60.0, 5.0)):
            t += idle
            table += [rows.row(t, [t + cost]), rows.row(t + 1.0, [t + 1.1])]
            t += 1.0
    found: PointSummary = analyse_point(
        rows.requests(table), rows.clients(10), rows.meta(t + 2.0, idle_s=(20.0, 60.0))
    )
    for population, value, n in (
        ("cold after 20s", 2.0, 6), ("cold after 1min", 5.0, 6), ("warm", 0.1, 12),
    ):  # fmt: skip
        e = found.find("ttft", "p50", population=population)
        assert e is not None
        assert (e.value, e.n) == (pytest.approx(value), n)
    again = PointSummary.from_json(found.to_json())
    assert again == found
    assert math.isfinite(found.series.bin_s)
