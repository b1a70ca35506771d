"""A trace played at other rates: to the row, the second and the window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions.recorded import Recorded
from harness.decisions.twin import Requests

TIMES = np.array([0.0, 1.5, 1.5, 3.0, 20.25, 29.5, 31.0])  # windows of 10 s: 4, 0, 2, then a tail
OWN = Recorded(Requests(TIMES, np.arange(7) + 10, np.arange(7) + 1), 10.0, 3)
RATES = np.array([0.4, 0.0, 0.2])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_at_its_own_rates_it_is_the_trace_to_the_row() -> None:
    found = OWN.at(RATES, rng())
    assert found.arrival_s.tolist() == TIMES[:6].tolist()  # the last lies in no whole window
    assert found.n_in.tolist() == [10, 11, 12, 13, 14, 15]
    assert found.n_out.tolist() == [1, 2, 3, 4, 5, 6]
    assert OWN.mean_req_per_s == 0.2


def test_further_windows_begin_again_and_a_cut_keeps_their_beginnings() -> None:
    """From the third window on: its two requests, then the first window's four. A tenth of each
    window: only what comes in its first second."""
    found = OWN.at(np.array([0.2, 0.4]), rng(), first=2)
    assert found.arrival_s.tolist() == [0.25, 9.5, 10.0, 11.5, 11.5, 13.0]
    assert found.n_in.tolist() == [14, 15, 10, 11, 12, 13]
    cut = OWN.at(RATES, rng(), cut=0.1)
    assert cut.arrival_s.tolist() == [0.0, 2.25]
    assert cut.n_in.tolist() == [10, 14]


def test_three_times_over_is_the_trace_and_two_that_are_turned_within_their_windows() -> None:
    found = OWN.at(3 * RATES, rng())
    assert np.histogram(found.arrival_s, [0, 10, 20, 30])[0].tolist() == [12, 0, 6]
    times = {row: sorted(found.arrival_s[found.n_in == row].tolist()) for row in range(10, 16)}
    assert all(len(own) == 3 for own in times.values())
    assert all(TIMES[row - 10] in own for row, own in times.items())
    # the two that come together do so in each copy, and copies do not
    assert times[11] == times[12]
    assert len(set(times[11])) == 3


def test_half_of_it_is_a_choice_of_its_rows() -> None:
    """200 windows of the trace: 1,200 requests, each kept with 1/2; 5 sigma are 87."""
    found = OWN.at(np.tile(RATES / 2, 200), rng(1))
    assert abs(len(found) - 600) < 87
    inside_s = found.arrival_s % 30
    assert np.isin(np.round(inside_s, 6), TIMES).all()
    assert ((np.round(inside_s, 6) == 20.25) == (found.n_in == 14)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 59.9), min_size=1, max_size=40), st.floats(0.1, 4.0), st.integers(1, 6),
    st.integers(0, 5),
)  # fmt: skip
def test_every_window_has_its_rate(times: list[float], scale: float, num: int, first: int) -> None:
    """Whole copies in full, the last one in part; sorted, and each within its window."""
    at_s = np.sort(np.array(times))
    own = Recorded(Requests(at_s, np.ones(len(at_s)), np.ones(len(at_s))), 60.0 / num, num)
    counts = np.histogram(at_s, np.arange(num + 1) * 60.0 / num)[0]
    asked = np.roll(counts, -first % num) * num / 60 * scale
    found = own.at(asked, rng(), first=first % num)
    got = np.histogram(found.arrival_s, np.arange(num + 1) * 60.0 / num)[0]
    expected = np.roll(counts, -(first % num))
    assert (got >= np.floor(scale) * expected - 1).all()  # a time on an edge may fall either way
    assert (got <= np.ceil(scale + 1e-9) * expected + 1).all()


def test_it_says_what_was_played() -> None:
    assert OWN.told(0.2) == "the trace's own requests, as they came"
    assert OWN.told(0.05) == "the trace's own requests, each kept with a chance of 25%"
    assert OWN.told(0.5).startswith(
        "the trace's own requests 2.50 times over, further copies shift"
    )
    assert "thinned, or several times over" in OWN.told()


def test_no_request_at_all() -> None:
    assert len(OWN.at(np.zeros(3), rng())) == 0
    assert len(OWN.at(np.array([0.3]), rng(), first=1)) == 0  # an empty window stays empty
    with pytest.raises(ValueError, match="order of time"):
        Recorded(Requests(TIMES[::-1], np.ones(7), np.ones(7)), 10.0, 3)
