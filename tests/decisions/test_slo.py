"""SLO rules: pass, fail, inconclusive and invalid, each with a reason a person can act on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis import PointSummary, analyse_point
from harness.analysis.quantiles import Sample, estimate_quantiles
from harness.decisions import judge_slo
from harness.decisions.wording import amount
from harness.estimate import Outcome, Verdict
from harness.scenario.slo import Slo

SEED = 5


def slo(**blocks) -> Slo:
    return Slo.model_validate(blocks)


def point(rows, num=1000, fail_every=0, window_s=100.0, limits=None, **meta) -> PointSummary:
    """num requests with independent exponential ttft of mean 100 ms, then 10 tokens at 20 ms."""
    rng = np.random.default_rng(SEED)
    made = []
    for i, ttft_s in enumerate(rng.exponential(0.1, num)):
        at = i * window_s / num
        if fail_every and i % fail_every == 0:
            made.append(rows.row(at, end=at + 0.01, error="http_5xx"))
        else:
            made.append(rows.row(at, [at + ttft_s + 0.02 * k for k in range(11)]))
    fields = {"slo": limits or Slo()} | meta
    return analyse_point(rows.requests(made), rows.clients(100), rows.meta(window_s, **fields))


def judge_one(summary: PointSummary, limits: Slo) -> Verdict:
    (verdict,) = judge_slo(summary, limits)
    return verdict


# the true p95 is 100 ms * ln 20 = 300 ms; n = 1,000
@pytest.mark.parametrize(
    ("limit", "outcome"), [("400ms", "pass"), ("200ms", "fail"), ("298ms", "inconclusive")]
)
def test_a_quantile_rule_goes_by_one_sided_bounds(rows, limit, outcome):
    found = judge_one(point(rows), slo(ttft={"p95": limit}))
    assert found.outcome == outcome
    assert found.rule == "slo-ttft-p95"
    e = found.estimate
    assert e.level == 0.95
    if outcome == "pass":
        assert e.value < found.bound <= e.high
        assert found.bound <= 0.4
        assert found.smallest_visible == pytest.approx(found.bound - e.value)
    if outcome == "fail":
        assert 0.2 < found.bound < e.value
    assert amount(found.limit, "s") in found.reason


def test_the_bounds_are_the_printed_order_statistics(rows):
    """n = 1,000, independent: upper 95 % bound of p95 is rank 962, of the sorted sample."""
    made = [rows.row(i / 10, [i / 10 + 0.001 * ((i * 577) % 1000 + 1)]) for i in range(1000)]
    summary = analyse_point(rows.requests(made), rows.clients(100), rows.meta(100))
    bound = summary.bound("ttft", "p95", population="valid")
    assert bound.n_eff == pytest.approx(1000)
    # scipy: binom(1000, .95).ppf(.95) + 1 = 962, ppf(.05) = 938; values are ranks in ms
    assert (bound.low, bound.high) == (pytest.approx(0.938), pytest.approx(0.962))


def test_a_quantile_the_sample_cannot_carry_is_inconclusive(rows):
    found = judge_one(point(rows, 300), slo(ttft={"p99": "10s"}))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason == "n=300: p99 not reported, it needs 1,000"


def test_failures_are_infinitely_late(rows):
    """10 % failures: p95 over valid is not reached, however fast the rest was."""
    found = judge_one(point(rows, fail_every=10), slo(ttft={"p95": "60s"}))
    assert found.outcome is Outcome.FAIL
    assert "not reached" in found.reason


def test_a_maximum_is_about_what_was_seen(rows):
    kept = judge_one(point(rows), slo(ttft={"max": "10s"}))
    assert (kept.outcome, kept.smallest_visible) == (Outcome.PASS, None)
    assert "none of 1,000 observed" in kept.reason
    assert judge_one(point(rows), slo(ttft={"max": "100ms"})).outcome is Outcome.FAIL
    failed = judge_one(point(rows, fail_every=500), slo(ttft={"max": "10s"}))
    assert failed.outcome is Outcome.FAIL
    assert "a request failed" in failed.reason


# 0 of 2,400 shows at most 1 - .05^(1/2400) = 0.125 %
@pytest.mark.parametrize(
    ("limit", "outcome"), [("0.13%", "pass"), ("0.1%", "inconclusive"), ("0%", "pass")]
)
def test_no_errors_show_only_so_much(rows, limit, outcome):
    found = judge_one(point(rows, 2400), slo(error_rate={"max": limit}))
    assert found.outcome == outcome
    assert found.estimate.value == 0
    assert found.bound == pytest.approx(0.00125, rel=0.01)
    if limit == "0%":
        assert "no exception among 2,400" in found.reason
        assert "0.125%" in found.reason


def test_zero_percent_means_none_observed(rows):
    found = judge_one(point(rows, fail_every=999), slo(error_rate={"max": "0%"}))
    assert found.outcome is Outcome.FAIL
    assert "2 of 1,000" in found.reason


# 5 % errors of 1,000: one-sided Clopper-Pearson 3.9 % to 6.3 % before clustering
@pytest.mark.parametrize(
    ("limit", "outcome"), [("10%", "pass"), ("2%", "fail"), ("5.5%", "inconclusive")]
)
def test_error_shares(rows, limit, outcome):
    assert judge_one(point(rows, fail_every=20), slo(error_rate={"max": limit})).outcome == outcome


@pytest.mark.parametrize(
    ("share", "outcome"), [("90%", "pass"), ("99%", "fail"), ("96%", "inconclusive")]
)
def test_attainment(rows, share, outcome):
    """good is ttft <= 300 ms: 95 % of an exponential with mean 100 ms; this draw has 96.2 %."""
    limits = slo(good_request={"ttft": "300ms"}, attainment=share)
    found = judge_one(point(rows, limits=limits), limits)
    assert (found.outcome, found.direction) == (outcome, "min")


@pytest.mark.parametrize(
    ("least", "outcome"), [("9/s", "pass"), ("11/s", "fail"), ("9.99/s", "inconclusive")]
)
def test_a_least_rate_goes_by_the_bootstrap(rows, least, outcome):
    assert judge_one(point(rows), slo(request_per_s={"min": least})).outcome == outcome


def test_tokens_and_goodput(rows):
    limits = slo(
        good_request={"ttft": "1s"}, output_tok_per_s={"min": 80}, goodput_req_per_s={"min": "20/s"}
    )
    found = {v.rule: v.outcome for v in judge_slo(point(rows, limits=limits), limits)}
    assert found == {"slo-output_tok_per_s": "pass", "slo-goodput_req_per_s": "fail"}


def test_uptime_needs_windows_enough(rows):
    limits = slo(uptime={"window": "10s", "objective": "99%"})
    found = judge_one(point(rows, limits=limits), limits)
    # 10 of 10 windows up shows at least .05^(1/10) = 74 %
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.bound == pytest.approx(0.741, abs=1e-3)
    short = slo(uptime={"objective": "99%"})
    assert judge_one(point(rows, limits=short), short).outcome is Outcome.INCONCLUSIVE


def test_gaps_are_judged_over_gaps(rows):
    limits = slo(itl={"p50": "25ms", "max": "25ms"}, icl={"p50": "15ms"})
    found = {v.rule: v.outcome for v in judge_slo(point(rows), limits)}
    assert found == {"slo-itl-p50": "pass", "slo-itl-max": "pass", "slo-icl-p50": "fail"}


def test_an_invalid_point_answers_nothing(rows):
    limits = slo(ttft={"p95": "1s"}, error_rate={"max": "5%"})
    summary = point(rows, is_partial=True)
    for found in judge_slo(summary, limits):
        assert found.outcome is Outcome.INVALID
        assert "not measured to its end" in found.reason


def test_more_than_the_capacity_fails_latency_and_judges_errors(rows):
    made = [rows.row(i / 10, [100 + i / 10]) for i in range(1000)]
    summary = analyse_point(rows.requests(made), rows.clients(100), rows.meta(100))
    limits = slo(ttft={"p50": "200s", "p99": "200s"}, error_rate={"max": "5%"})
    found = {v.rule: v for v in judge_slo(summary, limits)}
    assert found["slo-ttft-p50"].outcome is Outcome.FAIL
    assert "capacity" in found["slo-ttft-p99"].reason
    assert found["slo-error_rate"].outcome is Outcome.PASS


def test_classes_have_rules_of_their_own(rows):
    made = [
        rows.row(i / 10, [i / 10 + (0.1 if i % 2 else 0.5)], class_name="odd" if i % 2 else "even")
        for i in range(1000)
    ]
    own = {"even": slo(ttft={"p50": "400ms"})}
    base = slo(ttft={"p50": "600ms"})
    meta = rows.meta(100, classes=("odd", "even"), class_slos=own, slo=base)
    summary = analyse_point(rows.requests(made), rows.clients(100), meta)
    found = {v.rule: v.outcome for v in judge_slo(summary, base)}
    assert found == {"slo-ttft-p50": "pass", "slo-even-ttft-p50": "fail"}


def test_a_single_class_s_limits_replace_the_scenario_s(rows):
    summary = point(rows, class_slos={"chat": slo(ttft={"p50": "10ms"})})
    found = judge_slo(summary, slo(ttft={"p50": "10s"}, tpot={"p50": "10s"}))
    assert {v.rule: v.outcome for v in found} == {"slo-ttft-p50": "fail", "slo-tpot-p50": "pass"}


def test_an_absent_metric_is_inconclusive_with_its_reason(rows):
    summary = point(rows)
    found = judge_one(summary, slo(attainment="99%"))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "no limit" in found.reason


def test_verdicts_survive_json(rows):
    limits = slo(ttft={"p50": "1s", "p99": "1s", "max": "1s"}, error_rate={"max": "0%"})
    for verdict in judge_slo(point(rows, fail_every=3), limits):
        assert Verdict.from_json(verdict.to_json()) == verdict


def test_a_rule_at_its_limit_fails_or_passes_wrongly_in_one_of_twenty(rows):
    """The true p95 is the limit: 200 trials, each side 5 %; more than 22 has a chance of 2e-4."""
    rng = np.random.default_rng(SEED)
    limits = slo(ttft={"p95": f"{0.1 * np.log(20):.9f}s"})
    summary, seen = point(rows, 210), []
    for ttft_s in rng.exponential(0.1, (200, 210)):
        pairs = estimate_quantiles(Sample("ttft", "s", ttft_s, population="valid"))
        drawn = replace(
            summary,
            estimates=tuple(p.shown for p in pairs),
            bounds=tuple(p.bound for p in pairs),
        )
        seen.append(judge_one(drawn, limits).outcome)
    assert seen.count(Outcome.PASS) <= 22
    assert seen.count(Outcome.FAIL) <= 22
