"""The search's decisions: on exact curves by property, on the simulated engine with its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions.levels import Window
from harness.decisions.search import SearchPlan, Tried, conclude, next_step
from harness.decisions.search_words import ending_sentence, window_sentence
from tests.decisions.s1_search import SHARE, Store, capacity, measured, near_rates, search, tally

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


@settings(max_examples=30)
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
        below = max(k for k in range(58) if RATES[k] <= edge)
        assert (ending.kind, ending.high) == ("found", below + 1)
        assert ending.crossing.low < RATES[below + 1]
        assert ending.crossing.high > RATES[below]
        assert ending.crossing.ratio <= 1.05
        assert sum(len(t.windows) for t in tried.values()) <= 40 + num_grid
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
    assert len(order) <= 20  # of which some show that windows do not differ


def test_an_undecided_rate_is_neither_end_and_lies_in_the_interval():
    plan = SearchPlan(RATES, SHARE)
    edge = 30

    def measure(k, w):
        return window(1.0 if k < edge else 0.95 if k == edge else 0.5)

    tried = drive(plan, measure)
    ending = conclude(plan, tried)
    # the rate at the edge keeps just what is asked: it is the crossing, found from both sides
    assert ending.kind == "found"
    assert tried[edge].standing(SHARE) == "open"
    assert ending.crossing.low <= RATES[edge] <= ending.crossing.high


def test_growth_of_the_backlog_misses_once_a_second_window_confirms_it():
    plan = SearchPlan(RATES, SHARE)
    tried = drive(plan, lambda k, w: window(1.0, is_stable=k < 20))
    assert conclude(plan, tried).high == 20
    assert len(tried[20].windows) >= 2
    # by chance in the first window only: it holds
    once = drive(plan, lambda k, w: window(1.0 if k < 20 else 0.5, is_stable=w > 0))
    assert conclude(plan, once).high == 20
    # few of them good: nothing to confirm
    deep = drive(plan, lambda k, w: window(1.0 if k < 20 else 0.5, is_stable=k < 20))
    assert len(deep[28].windows) == 1


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
             for k in range(58) for w in range(20)}  # fmt: skip
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


@pytest.mark.parametrize(("sigma", "least_closed"), [(0.0, 0.7), (0.05, 0.15)])
def test_the_interval_on_s1_holds_however_windows_differ(sigma, least_closed):
    """40 searches of at most 40 windows, steps of 15 %, seed 12; the speed of a window differs.

    Each end may err in 5 %: more than 5 of 40 has probability 0.014. Judged by requests alone, as
    was tried first, the lower end is too high in 12 % at a sigma of 5 %, in 30 to 60 % at 10 %;
    `python -m tests.decisions.s1_search` has the whole table.
    """
    store = Store(sigma, per_rate=60)
    truth = capacity(sigma, near_rates(sigma), 60)
    rng = np.random.default_rng(12)
    found = tally([search(store, 6, rng, (40,))[0] for _ in range(40)], truth)
    assert found["low_wrong"] <= 5 / 40
    assert found["high_wrong"] <= 5 / 40
    assert found["closes"] >= least_closed
    assert found["width"] < 0.32  # what bounds of single rates come to


def test_calm_windows_near_capacity_are_not_taken_for_independent_requests():
    """At 7.85/s S1 keeps 86 %; 200 windows, seed 3. Few of them show 95 % by themselves."""
    rng = np.random.default_rng(3)
    held = sum(Tried((measured(7.85, rng),)).standing(SHARE) == "holds" for _ in range(200))
    assert held <= 4


def test_an_end_without_a_valid_window_says_why():
    plan = SearchPlan(RATES, SHARE)
    tried = {0: Tried(num_void=2)}
    ending = conclude(plan, tried)
    assert ending.kind == "void"
    told = ending_sentence(plan, tried, ending, "n=30 requests where 300 are asked for")
    assert told == (
        "Nothing valid could be measured at any rate, after 2 windows at 1 rate: n=30 requests"
        " where 300 are asked for."
    )
    tried = {0: Tried((window(1.0),)), 14: Tried(num_void=2)}
    told = ending_sentence(plan, tried, conclude(plan, tried))
    assert told == "Nothing valid could be measured beyond 2.00 req/s, after 3 windows at 2 rates."
    mixed = Tried((window(1.0),), 1)
    assert window_sentence(plan, 0, mixed, "the client was late") == (
        "2.00 req/s, window 2: not valid: the client was late"
    )
