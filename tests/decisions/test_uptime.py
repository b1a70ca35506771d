"""The claim `99.9% uptime`: supported, refuted or not shown, and pooled over parts."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis import PointSummary, analyse_point
from harness.analysis.summary import CutPart
from harness.decisions import headlines, judge_slo, judge_uptime
from harness.estimate import Outcome, Verdict
from harness.scenario.advice import windows_needed
from harness.scenario.slo import Slo


def slo(objective: str) -> Slo:
    return Slo.model_validate({"uptime": {"window": "1s", "objective": objective}})


def measured(rows: ModuleType, num: int, down: set[int], objective: str, **meta: Any):  # type: ignore[no-untyped-def]
    """`num` windows of one second and one request each; those of `down` fail."""
    table = [
        rows.row(t + 0.5, [t + 0.6], error="http_5xx" if t in down else "") for t in range(num)
    ]
    given = rows.meta(float(num), slo=slo(objective), **meta)
    return analyse_point(rows.requests(table), rows.clients(num), given)


def judged(*summaries: PointSummary) -> tuple[Verdict, ...]:
    found = [v for s in summaries for v in judge_slo(s, s.meta.slo)]
    return judge_uptime(summaries, found)


def test_the_table_of_windows_to_demonstrate() -> None:
    """0 to 10 bad windows at 99 %, 99.9 % and 99.99 %, 95 % confidence."""
    table = {
        0.99: (299, 473, 628, 773, 1049, 1693),
        0.999: (2995, 4742, 6294, 7752, 10511, 16959),
        0.9999: (29956, 47437, 62956, 77535, 105128, 169619),
    }
    for objective, row in table.items():
        assert tuple(windows_needed(objective, k) for k in (0, 1, 2, 3, 5, 10)) == row


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 0.9995), st.integers(0, 30))
def test_needed_is_the_least_number_that_shows_it(objective: float, num_down: int) -> None:
    n = windows_needed(objective, num_down)

    def lower(n: int) -> float:
        return float(stats.beta.ppf(0.05, n - num_down, num_down + 1)) if n > num_down else 0.0

    assert lower(n) >= objective - 1e-9
    assert lower(n - 1) < objective + 1e-9


def test_supported_refuted_not_shown(rows: ModuleType) -> None:
    (yes,) = judged(measured(rows, 60, set(), "95%"))  # 59 are needed
    assert yes.outcome is Outcome.PASS
    assert yes.reason.startswith("95% uptime is supported: uptime is 100%, with 95% confidence")
    (no,) = judged(measured(rows, 60, set(range(0, 60, 4)), "95%"))
    assert no.outcome is Outcome.FAIL
    assert no.reason.startswith("95% uptime is refuted: uptime is 75%")
    (open_,) = judged(measured(rows, 58, set(), "95%"))
    assert open_.outcome is Outcome.INCONCLUSIVE
    assert open_.reason.startswith("95% uptime is not shown: uptime is 100%")
    assert open_.reason.endswith(
        "; 59 windows with none of them down would show it, 58 were measured"
    )


def test_parts_are_judged_together_once(rows: ModuleType) -> None:
    parts = [
        measured(rows, 30, set(), "95%", label=f"main-r{k + 1}", index=k, repeat=k)
        for k in range(3)
    ]
    (verdict,) = judged(*parts)
    assert (verdict.outcome, verdict.point) == (Outcome.PASS, "main (3 parts)")
    assert verdict.estimate is not None
    assert verdict.estimate.n == 90
    assert "supported" in verdict.reason
    (line,) = headlines(parts, [verdict])
    assert line.answer == "PASS: the one rule is kept."


def test_a_part_that_was_cut_short_is_judged_with_the_one_that_replaced_it(
    rows: ModuleType,
) -> None:
    """30 windows alone do not show 95 %, and the attempt before them held two that were down."""
    lost = measured(rows, 40, {20, 30}, "95%")
    cut = CutPart(lost.meta.t0_ns, 40.0, lost.uptime_windows, wall_ns=0)
    own = measured(rows, 30, set(), "95%")
    late_ns = 100 * 10**9
    meta = replace(
        own.meta, t0_ns=own.meta.t0_ns + late_ns, t1_ns=own.meta.t1_ns + late_ns, wall_ns=0
    )
    (verdict,) = judged(replace(own, meta=meta, before=(cut,)))
    assert (verdict.outcome, verdict.point) == (Outcome.INCONCLUSIVE, "main (2 parts)")
    assert verdict.estimate is not None
    assert (verdict.estimate.n, verdict.estimate.value) == (70, pytest.approx(68 / 70))
    assert "60.0 s between its parts were not observed, neither up nor down" in verdict.reason
    assert verdict.reason.endswith(
        "124 windows with no more than 2 of them down would show it, 70 were measured"
    )


def test_one_invalid_part_voids_the_claim(rows: ModuleType) -> None:
    good, bad = (
        measured(rows, 30, set(), "95%", label=f"main-r{k + 1}", index=k) for k in range(2)
    )
    checks = tuple(replace(c, status="invalid", sentence="late") for c in bad.checks)
    late = replace(bad, validity=Outcome.INVALID, checks=checks)
    (verdict,) = judged(good, late)
    assert verdict.outcome is Outcome.INVALID
    assert "supported" not in verdict.reason


@pytest.mark.parametrize("objective", ["100%"])
def test_no_outage_at_all_is_its_own_limit(rows: ModuleType, objective: str) -> None:
    (kept,) = judged(measured(rows, 20, set(), objective))
    assert kept.outcome is Outcome.PASS
    (broken,) = judged(measured(rows, 20, {7}, objective))
    assert broken.outcome is Outcome.FAIL
