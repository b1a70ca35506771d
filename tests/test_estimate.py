"""Estimates and verdicts as JSON, which knows no infinity."""

from __future__ import annotations

import json
import math

from harness.estimate import Estimate, Outcome, from_plain, to_plain


def test_infinities_keep_their_sign_and_lists_are_tuples() -> None:
    given = {"ends": (math.inf, -math.inf, 1.5, None, "inf."), "rows": [{"outcome": Outcome.PASS}]}
    read = from_plain(json.loads(json.dumps(to_plain(given), allow_nan=False)))
    assert read == {
        "ends": (math.inf, -math.inf, 1.5, None, "inf."), "rows": ({"outcome": "pass"},),
    }  # fmt: skip


def test_an_estimate_below_every_number_is_read_back_as_that() -> None:
    lowest = Estimate("headroom", "p50", "s", -math.inf, -math.inf, math.inf, n=3)
    assert Estimate.from_json(json.loads(json.dumps(lowest.to_json()))) == lowest
