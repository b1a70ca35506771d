"""What requests of several runs are worth together, by hand."""

from __future__ import annotations

import pytest

from harness.analysis.pooled import pooled_size


def test_a_run_without_a_request_says_nothing_of_how_runs_scatter() -> None:
    """Shares 1/2 and 1 of ten each: 3/4 (1 - 3/4) over 1/8 a run of two is 3, fewer than 20."""
    assert pooled_size([5, 10], [10, 10], [10.0, 10.0]) == pytest.approx(3)
    assert pooled_size([5, 10, 0], [10, 10, 0], [10.0, 10.0, 0.0]) == pytest.approx(3)
    assert pooled_size([5, 0], [10, 0], [8.0, 0.0]) == pytest.approx(8)
    assert pooled_size([0, 0], [0, 0], [0.0, 0.0]) == 0.0
