"""Uptime held against fractions: windows, the three definitions and the credit on random answers.

An independent count in whole milliseconds and exact shares; nothing of the code under test but its
inputs. Arrivals fall on borders of windows on purpose, runs end within one, some windows are empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness.analysis import Uptime, UptimeWindow
from harness.analysis.availability import uptime_windows
from harness.analysis.frame import read_frame
from harness.analysis.shares import share_pair
from harness.analysis.uptime import outages
from harness.decisions.sla import availability, credit_due
from harness.scenario.sla import Sla
from harness.scenario.slo import UptimeLimit

BAD = ("http_5xx", "connect", "timeout_first_byte", "truncated", "stalled", "stream_error", "empty")
NOT_BAD = ("", "", "", "", "http_4xx", "invalid_output")
OUT = ("cancelled", "client_fault", "stale")
STEPS = (("99.9%", "10%"), ("99%", "25%"), ("95%", "100%"))


class Case(NamedTuple):
    """Times in whole milliseconds."""

    times: list[int]
    classes: list[str]
    run_ms: int
    window_ms: int
    good: Fraction
    is_429_bad: bool


def draw(rng: np.random.Generator) -> Case:
    window_ms = int(rng.choice([1000, 300, 700, 60_000]))
    run_ms = int(window_ms * rng.integers(1, 40) + rng.integers(0, window_ms))
    num = int(rng.integers(0, 400))
    times = rng.integers(-window_ms, run_ms + window_ms, num)
    on_border = rng.random(num) < 0.2
    times[on_border] = times[on_border] // window_ms * window_ms
    share = rng.choice([0.0, 0.02, 0.5])
    kinds = (*NOT_BAD, *OUT, "throttled", "cut")
    classes = [
        str(rng.choice(BAD) if rng.random() < share else rng.choice(kinds)) for _ in range(num)
    ]
    good = Fraction(str(rng.choice(["0.95", "0.999", "0.8", "0.667", "1"])))
    return Case(sorted(times.tolist()), classes, run_ms, window_ms, good, bool(rng.integers(2)))


def counted(case: Case) -> list[tuple[int, int] | None]:
    """(valid, bad) of every whole window; None where nobody can tell."""
    found: list[tuple[int, int] | None] = []
    for k in range(case.run_ms // case.window_ms):
        own = [
            name
            for t, name in zip(case.times, case.classes, strict=True)
            if t // case.window_ms == k and 0 <= t < case.run_ms
        ]
        bad = sum(name in BAD or (name == "throttled" and case.is_429_bad) for name in own)
        valid = sum(name not in (*OUT, "cut") for name in own)
        cut = own.count("cut")
        allowed = (1 - case.good) * (valid + cut)
        is_told = valid > 0 and (bad > allowed) == (bad + cut > allowed)
        found.append((valid, bad) if is_told else None)
    return found


def measured(rows: ModuleType, case: Case) -> tuple[UptimeWindow, ...]:
    table = [
        rows.row(t / 1000, end=t / 1000 + 0.001, error=name)
        for t, name in zip(case.times, case.classes, strict=True)
    ]
    meta = rows.meta(case.run_ms / 1000)
    limit = UptimeLimit.model_validate(
        {"window": f"{case.window_ms}ms", "good": f"{float(100 * case.good):g}%",
         "objective": "99.9%", "throttled": "bad" if case.is_429_bad else "apart"}
    )  # fmt: skip
    return uptime_windows(read_frame(rows.requests(table), meta.t0_ns, meta.t1_ns), limit)


def defined(kind: str, windows: Sequence[tuple[int, int]], good: Fraction) -> Fraction | None:
    if not windows:
        return None
    if kind == "requests":
        return 1 - Fraction(sum(b for _, b in windows), sum(v for v, _ in windows))
    if kind == "mean":
        return sum((1 - Fraction(b, v) for v, b in windows), Fraction()) / len(windows)
    return Fraction(sum(b <= (1 - good) * v for v, b in windows), len(windows))


def owed(share: Fraction) -> float:
    due = 0.0
    for below, credit in STEPS:
        if share < Fraction(below[:-1]) / 100:
            due = float(credit[:-1]) / 100
    return due


def joined(windows: Sequence[tuple[int, int] | None], times: int) -> list[tuple[int, int]]:
    """Agreement windows of `times` of ours."""
    numbered = [(k // times, w) for k, w in enumerate(windows) if w is not None]
    return [
        (sum(w[0] for _, w in own), sum(w[1] for _, w in own))
        for own in (list(group) for _, group in groupby(numbered, key=lambda pair: pair[0]))
    ]


def uptime_of(windows: tuple[UptimeWindow, ...], case: Case) -> Uptime:
    up = np.array([bool(w.is_up) for w in windows if w.is_up is not None], dtype=bool)
    pair = share_pair("uptime", up, scope="all", population="windows")
    window_s = case.window_ms / 1000
    return Uptime(
        "main", 1, window_s, float(case.good), 0.999, windows, outages(windows, window_s),
        pair.shown, pair.bound,
    )  # fmt: skip


def agreement(**fields: Any) -> Sla:
    steps = [{"below": below, "credit": credit} for below, credit in STEPS]
    return Sla.model_validate(
        {"schema": "harness/sla/v1", "name": "one", "as_of": "2026-01-01", "source": "here",
         "objective": "99.9%", "steps": steps} | fields
    )  # fmt: skip


def test_windows_definitions_and_credits_are_those_of_fractions(rows: ModuleType) -> None:
    rng = np.random.default_rng(31)
    num_told = num_open = 0
    for _ in range(120):
        case = draw(rng)
        exact, found = counted(case), measured(rows, case)
        assert [w.is_up for w in found] == [
            None if w is None else w[1] <= (1 - case.good) * w[0] for w in exact
        ]
        assert [(w.num_valid, w.num_bad) for w in found] == [w or (0, 0) for w in exact]
        num_open += exact.count(None)
        uptime = uptime_of(found, case)
        told = [w for w in exact if w is not None]
        num_told += len(told)
        for kind in ("requests", "windows", "mean"):
            share = defined(kind, told, case.good)
            seen = availability(kind, found, float(case.good)).value
            assert (seen is None) == (share is None)
            if share is not None:
                assert seen == pytest.approx(float(share), abs=1e-12)
            times = int(rng.integers(1, 4))
            sla = agreement(
                definition=kind, window=f"{times * case.window_ms}ms",
                good=f"{float(100 * case.good):g}%",
            )  # fmt: skip
            of_sla = defined(kind, joined(exact, times), case.good)
            assert credit_due(sla, uptime).credit == (None if of_sla is None else owed(of_sla))
    assert num_told > 500
    assert num_open > 100


@pytest.mark.parametrize("kind", ["requests", "windows", "mean"])
@pytest.mark.parametrize("num", [1000, 3000, 7000])
def test_exactly_the_promise_owes_nothing_and_one_less_does(kind: str, num: int) -> None:
    """99.9 % of a count to the last one: num windows of 1,000 requests. One window of a thousand is
    down whole, or one request of every window is bad; then one more."""
    for extra, due in ((0, 0.0), (1, 0.10)):
        if kind == "windows":
            down = num // 1000 + extra
            bad = [1000] * down + [0] * (num - down)
        else:
            bad = [1 + extra] + [1] * (num - 1)
        windows = tuple(UptimeWindow(300.0 * i, 1000, b, b <= 50) for i, b in enumerate(bad))
        case = Case([], [], 0, 300_000, Fraction("0.95"), False)
        assert credit_due(agreement(definition=kind), uptime_of(windows, case)).credit == due
