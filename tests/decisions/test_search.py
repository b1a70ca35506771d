"""The search's decisions: on exact curves by property, on the simulated engine with its errors."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.autocorrelation import design_effect
from harness.analysis.goodput import margin_design_effect
from harness.analysis.steady_state import steady_state
from harness.decisions.levels import Window
from harness.decisions.search import SearchPlan, Tried, conclude, most_steps, next_step
from tests.decisions import s1

SHARE = 0.95
RATES = tuple(2 * 16 ** (k / 57) for k in range(58))  # 2 to 32/s, 5 % apart


def window(good: float, valid: int = 1000, *, is_stable: bool = True) -> Window:
    return Window(round(good * valid), valid, float(valid), is_stable)


def drive(plan: SearchPlan, measure, most: int = 400) -> dict[int, Tried]:
    """The search against measure(rate index, window) -> Window, or None for a void one."""
    tried: dict[int, Tried] = {}
    for _ in range(most):
        step = next_step(plan, tried)
        if step is None:
            return tried
        known = tried.get(step.rate, Tried())
        assert step.window == known.num
        found = measure(step.rate, step.window)
        tried[step.rate] = (
            Tried(known.windows, known.num_void + 1)
            if found is None
            else Tried((*known.windows, found), known.num_void)
        )
    raise AssertionError("the search does not end")


@given(st.floats(1, 40), st.integers(0, 9))
def test_a_sharp_edge_is_found_between_neighbours(edge, num_grid):
    grid = tuple(dict.fromkeys(round(k * 57 / max(num_grid - 1, 1)) for k in range(num_grid)))
    plan = SearchPlan(RATES, SHARE, grid)
    tried = drive(plan, lambda k, w: window(1.0 if RATES[k] <= edge else 0.5))
    ending = conclude(plan, tried)
    if edge < 2:
        assert ending.kind == "below"
    elif edge >= 32:
        assert (ending.kind, ending.low) == ("above", 57)
    else:
        assert ending.kind == "found"
        assert ending.low is not None
        assert ending.high == ending.low + 1
        assert RATES[ending.low] <= edge < RATES[ending.high]
    assert len(tried) <= most_steps(plan) + num_grid
    high = math.inf if ending.high is None else 1.3 * RATES[ending.high]
    assert all(k in tried for k in grid if RATES[k] <= high)


def test_doubling_then_bisection():
    plan = SearchPlan(RATES, SHARE)
    order = []

    def measure(k, w):
        order.append(round(RATES[k], 2))
        return window(1.0 if RATES[k] <= 9 else 0.5)

    drive(plan, measure)
    assert order[:4] == pytest.approx([2, 4, 8, 16], rel=0.04)
    assert all(8 <= rate < 16 for rate in order[4:])


def test_an_undecided_rate_is_neither_end_and_both_sides_are_closed_in():
    plan = SearchPlan(RATES, SHARE)
    edge = 30

    def measure(k, w):
        return window(1.0 if k < edge else 0.95 if k == edge else 0.5)

    tried = drive(plan, measure)
    ending = conclude(plan, tried)
    assert len(tried[edge].windows) == 5 if edge in tried else True
    assert (ending.kind, ending.low, ending.high) == ("open", edge - 1, edge + 1)


def test_growth_of_the_backlog_misses_once_a_second_window_confirms_it():
    plan = SearchPlan(RATES, SHARE)
    tried = drive(plan, lambda k, w: window(1.0, is_stable=k < 20))
    assert conclude(plan, tried).high == 20
    assert {k >= 20: len(t.windows) for k, t in tried.items()} == {False: 1, True: 2}
    # by chance in the first window only: it holds
    once = drive(plan, lambda k, w: window(1.0 if k < 20 else 0.5, is_stable=w > 0))
    assert conclude(plan, once).high == 20
    # few of them good: nothing to confirm
    deep = drive(plan, lambda k, w: window(1.0 if k < 20 else 0.5, is_stable=k < 20))
    assert all(len(t.windows) == 1 for t in deep.values())


def test_a_client_that_is_late_twice_ends_the_doubling():
    plan = SearchPlan(RATES, SHARE)
    tried = drive(plan, lambda k, w: window(1.0) if k < 20 else None)
    ending = conclude(plan, tried)
    assert ending.kind == "void"
    assert tried[max(tried)].num_void == 2
    once = drive(plan, lambda k, w: None if w == 0 else window(1.0 if k < 20 else 0.5))
    assert conclude(plan, once).kind == "found"  # a single void window is replaced


def test_a_rate_that_misses_below_one_that_holds_is_told():
    plan = SearchPlan(RATES, SHARE, grid=tuple(range(0, 58, 3)))

    def measure(k, w):
        return window(0.5 if k > 40 or k == 21 else 1.0)

    tried = drive(plan, measure)
    assert conclude(plan, tried).kind == "contradiction"


def test_a_search_that_was_cut_off_goes_on_where_it_stood():
    plan = SearchPlan(RATES, SHARE, grid=(0, 20, 40))
    rng = np.random.default_rng(8)
    table = {(k, w): window(rng.binomial(300, 1 / (1 + (RATES[k] / 12) ** 9)) / 300, 300)
             for k in range(58) for w in range(5)}  # fmt: skip
    whole = drive(plan, lambda k, w: table[k, w])
    again: dict[int, Tried] = {}
    while (step := next_step(plan, again)) is not None:
        again = {k: Tried(t.windows, t.num_void) for k, t in reversed(again.items())}
        known = again.get(step.rate, Tried())
        again[step.rate] = Tried((*known.windows, table[step.rate, step.window]))
    assert again == whole
    part = dict(list(whole.items())[:3])
    assert conclude(plan, part).kind == "unfinished"


# -- on the simulated engine -------------------------------------------------------------------

S1_RATES = tuple(4 * 3.5 ** (k / 26) for k in range(27))  # 4 to 14/s, 4.9 % apart
TTFT_S, TPOT_S, REQUESTS, BEFORE = 1.0, 0.03, 400, 200


def measured(rate: float, rng: np.random.Generator, requests: int = REQUESTS) -> Window:
    """One window of S1, judged as a real one is: good requests, their correlation, the backlog."""
    plan = s1.schedule(rng, rate, requests + BEFORE)
    first, last = s1._simulate(plan.at_s, plan.n_in, plan.n_out, 1.0, int(rng.integers(2**31)))
    begin = plan.at_s - plan.at_s[s1.WARMUP + BEFORE]
    window_s = float(begin[-s1.COOLDOWN])
    own = (begin >= 0) & (begin < window_s)
    margin = np.maximum(
        (first - plan.at_s) / TTFT_S, (last - first) / np.maximum(plan.n_out - 1, 1) / TPOT_S
    )[own]
    frame = SimpleNamespace(
        begin_s=begin, end_s=begin + last - plan.at_s, window_s=window_s, is_measured=own,
        is_first=np.ones(len(own), dtype=bool),
    )  # fmt: skip
    steady = steady_state(frame, "open", 1.0)  # type: ignore[arg-type]
    good = margin <= 1
    deff = max(design_effect(good), margin_design_effect(margin, SHARE))
    return Window(int(good.sum()), len(good), len(good) / deff, not steady.is_unstable)


@cache
def attainments() -> tuple[float, ...]:
    """What S1 attains in the long run at each rate: 20,000 requests, seed 11."""
    rng = np.random.default_rng(11)
    rows = [[measured(rate, rng, 5000) for _ in range(4)] for rate in S1_RATES[:18]]
    return tuple(sum(w.num_good for w in r) / sum(w.num_valid for w in r) for r in rows)


def test_the_bracket_on_s1_errs_rarely():
    """80 searches, seed 12: an end of the bracket on the wrong side of the long-run capacity.

    A rate at the very edge errs by up to 5 % a side in theory; in windows of 400 requests the
    correlation is itself an estimate. Seen here: 4 and 1 of 80; the bars are 8 and 6. Taking
    requests without a miss for independent, as was tried first, errs in half of all searches.
    """
    edge = max(k for k, share in enumerate(attainments()) if share >= SHARE)
    plan = SearchPlan(S1_RATES, SHARE)
    rng = np.random.default_rng(12)
    endings = []
    for _ in range(80):
        tried = drive(plan, lambda k, w: measured(S1_RATES[k], rng))
        endings.append(conclude(plan, tried))
    assert sum(e.low is not None and e.low > edge for e in endings) <= 8
    assert sum(e.high is not None and e.high <= edge for e in endings) <= 6
    widths = [S1_RATES[e.high] / S1_RATES[e.low] for e in endings if e.low is not None and e.high]
    assert len(widths) >= 76
    assert float(np.median(widths)) < 1.5


def test_calm_windows_near_capacity_are_not_taken_for_independent_requests():
    """At 7.85/s S1 keeps 86 %; 200 windows, seed 3. Few of them show 95 % by themselves."""
    rng = np.random.default_rng(3)
    held = sum(Tried((measured(7.85, rng),)).standing(SHARE) == "holds" for _ in range(200))
    assert held <= 4
