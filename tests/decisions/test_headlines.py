"""The first sentence a reader gets, for every way a run can end."""

from __future__ import annotations

import pytest

from harness.analysis import analyse_point
from harness.decisions import exit_code, headlines, judge_slo, verdict_of_run
from harness.decisions.wording import amount, interval
from harness.errors import ExitCode
from harness.estimate import Outcome
from harness.scenario.slo import Slo

LIMITS = Slo.model_validate({"ttft": {"p50": "200ms"}, "error_rate": {"max": "5%"}})


def point(rows, ttft_s=0.1, num=400, **meta):
    made = [rows.row(i / 10, [i / 10 + ttft_s + 0.02 * k for k in range(5)]) for i in range(num)]
    fields = {"slo": LIMITS, "offered_req_per_s": 10.0} | meta
    return analyse_point(rows.requests(made), rows.clients(40), rows.meta(num / 10, **fields))


def tell(*summaries, limits=LIMITS, status="complete"):
    verdicts = [v for s in summaries for v in judge_slo(s, limits)]
    return headlines(summaries, verdicts, status)


def test_pass_names_the_rule_closest_to_its_limit(rows):
    (found,) = tell(point(rows))
    assert (found.outcome, found.answer) == ("pass", "PASS: all 2 rules are kept.")
    assert found.detail == (
        "Closest: TTFT p50 is 100 ms (95% CI 100 to 100 ms) [limit 200 ms, n=400]."
    )


def test_fail_names_the_gravest_rule_and_counts_the_rest(rows):
    (found,) = tell(point(rows, 0.3))
    assert (found.outcome, found.answer) == ("fail", "FAIL: TTFT p50 is 300 ms")
    assert "[limit 200 ms, n=400]. 1 failed of 2 rules." in found.detail


def test_inconclusive_says_what_to_do(rows):
    limits = Slo.model_validate({"error_rate": {"max": "0.5%"}})
    (found,) = tell(point(rows), limits=limits)
    assert found.outcome == "inconclusive"
    assert "Next:" not in found.detail  # that is the view's to say
    absent = Slo.model_validate({"ttft": {"p99": "1s"}})
    (found,) = tell(point(rows), limits=absent)
    assert "n=400: p99 not reported" in found.detail


def test_invalid_gets_its_sentence_and_no_other(rows):
    made = [rows.row(i / 10, [i / 10 + 1.0], sent=i / 10 + 0.031) for i in range(400)]
    summary = analyse_point(rows.requests(made), rows.clients(40), rows.meta(40, slo=LIMITS))
    (found,) = tell(summary)
    assert (found.answer, found.outcome) == ("INVALID: no verdict.", "invalid")
    assert found.detail.startswith("Send lag p99 31.0 ms (limit 10.0 ms): the client was late")


def test_nothing_measured_is_never_a_pass():
    (found,) = headlines([], [], "interrupted")
    assert found.outcome == "invalid"
    assert verdict_of_run([], []) is Outcome.INVALID
    assert "interrupted" in found.detail


def test_without_rules_the_figures_are_told_without_judgement(rows):
    (found,) = tell(point(rows), limits=Slo())
    assert found.outcome == ""
    assert found.answer.startswith("Measured: TTFT p50 100 ms")


def test_a_sweep_says_what_rate_is_sustained(rows):
    good = point(rows, 0.1, label="rate-4", offered_req_per_s=4.0)
    also = point(rows, 0.15, label="rate-8", offered_req_per_s=8.0)
    bad = point(rows, 0.3, label="rate-16", offered_req_per_s=16.0)
    capacity, judged = tell(bad, good, also)
    assert capacity.answer == "Sustains 8.00 req/s"
    assert "not 16.0 req/s: TTFT p50 is 300 ms" in capacity.detail
    assert judged.outcome == "fail"
    assert "At rate-16." in judged.detail
    (open_end, _) = tell(good, also)
    assert open_end.answer == "Sustains at least 8.00 req/s"
    (none, _) = tell(bad, point(rows, 0.4, label="rate-32", offered_req_per_s=32.0))
    assert none.answer == "Not even 16.0 req/s is sustained."


def test_closed_load_claims_no_rate(rows):
    closed = {"kind": "closed", "concurrency": 4, "offered_req_per_s": None}
    found = tell(point(rows, label="c4", **closed), point(rows, label="c8", **closed))
    assert [h.outcome for h in found] == ["pass"]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("pass", 0), ("fail", 1), ("inconclusive", 3), ("invalid", 4)],
)
def test_exit_codes(outcome, code):
    assert exit_code(Outcome(outcome)) == ExitCode(code)


def test_an_invalid_point_outranks_every_rule(rows):
    bad, void = point(rows, 0.3), point(rows, is_partial=True)
    verdicts = [v for s in (bad, void) for v in judge_slo(s, LIMITS)]
    assert verdict_of_run([bad, void], verdicts) is Outcome.INVALID
    assert verdict_of_run([bad], judge_slo(bad, LIMITS)) is Outcome.FAIL


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.412, "s", "412 ms"), (float("inf"), "s", "not reached"), (None, "s", "none"),
        (0.008, "ratio", "0.8%"), (0.99996, "ratio", "99.996%"), (1.0, "ratio", "100%"),
        (9.42, "req/s", "9.42 req/s"),
    ],
)  # fmt: skip
def test_amounts_in_words(value, unit, text):
    assert amount(value, unit) == text


def test_intervals_in_words():
    assert interval(None, None, "s") == "no 95% interval"
    assert interval(0.1, float("inf"), "s") == "95% CI 100 ms to not reached"


def test_a_rate_holds_only_when_all_its_repeats_do(rows):
    def at(rate, ttft_s, repeat):
        return point(rows, ttft_s, label=f"rate-{rate}-r{repeat}", offered_req_per_s=float(rate))

    two = [at(4, 0.1, 1), at(8, 0.1, 1), at(4, 0.1, 2), at(8, 0.3, 2)]
    for order in (two, two[::-1]):
        capacity, _ = tell(*order)
        assert capacity.answer == "Sustains 4.00 req/s"
        assert "not 8.00 req/s" in capacity.detail


def test_points_that_differ_in_more_than_the_rate_are_told_apart(rows):
    def at(rate, size, ttft_s):
        swept = {"load.rate": f"{rate}/s", "traffic.chat.prefix.groups": size}
        label = f"rate-{rate}-groups-{size}"
        return point(rows, ttft_s, label=label, offered_req_per_s=float(rate), swept=swept)

    grid = [at(4, 1, 0.1), at(8, 1, 0.1), at(4, 9, 0.3), at(8, 9, 0.3)]
    few, many, _ = tell(*grid)
    assert few.answer == "groups 1: Sustains at least 8.00 req/s"
    assert many.answer == "groups 9: Not even 4.00 req/s is sustained."


def test_capacity_without_rules_claims_no_limit_kept(rows):
    both = [point(rows, label=f"rate-{r}", offered_req_per_s=float(r)) for r in (4, 8)]
    (capacity,) = tell(*both, limits=Slo())
    assert "no limit was set" in capacity.detail or "of requests good" in capacity.detail
