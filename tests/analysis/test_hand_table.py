"""Ten requests worked out by hand: every metric, with failures and one-token answers among them.

Window 10 s, seconds from t0. One token a chunk unless said.

    #  intended sent  chunks                    end   what
    0   -1      -1    -0.5 0.5 1.5              1.5   warm-up; its last two tokens fall inside
    1    0       0     0.2  0.4  0.6            0.6   ttft .2   tpot .2          e2e .6
    2    1       1.1   1.5                      1.5   ttft .5   one token        e2e .5  lag .1
    3    2       2     2.4  2.5  2.6  3.0       3.0   ttft .4   tpot .6/3 = .2   e2e 1.0 stall .4
    4    3       3     3.3 (2 tok) 3.6 (2) 3.9 (1) 4.0 ttft .3  tpot .6/(5-2)=.2 e2e 1.0
    5    4       4     -                        4.1   http_5xx
    6    5       5     5.2 5.3                  6.3   truncated: silence of 1.0 to its end
    7    6       6     -                        6.0   throttled
    8    7       7     -                        7.5   cancelled without a token
    9    8       8     8.6 9.6 10.6             10.6  ttft .6   tpot 1.0         e2e 2.6
   10    9       -     -                        9.0   client_fault
   11   11      11    11.1                      11.1  cool-down
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from harness.analysis import PointSummary, analyse_point
from harness.analysis.frame import read_frame
from harness.analysis.intervals import Interval
from harness.analysis.latency import end_samples, latency_samples
from harness.analysis.quantiles import interval, type7
from harness.analysis.tokens import chunk_gaps, max_stall_s, token_samples, token_times, tpot_s
from harness.scenario.slo import Slo

INF = math.inf


@pytest.fixture(scope="module")
def table(rows):
    row = rows.row
    return rows.requests(
        [
            row(-1, [-0.5, 0.5, 1.5]),
            row(0, [0.2, 0.4, 0.6]),
            row(1, [1.5], sent=1.1),
            row(2, [2.4, 2.5, 2.6, 3.0]),
            row(3, [3.3, 3.6, 3.9], 4.0, tokens=[2, 2, 1]),
            row(4, end=4.1, error="http_5xx", error_detail="502 bad gateway"),
            row(5, [5.2, 5.3], 6.3, error="truncated"),
            row(6, end=6.0, error="throttled"),
            row(7, end=7.5, error="cancelled"),
            row(8, [8.6, 9.6, 10.6]),
            row(9, end=9.0, error="client_fault", sent_ns=None),
            row(11, [11.1]),
        ]
    )


@pytest.fixture(scope="module")
def frame(table, rows):
    return read_frame(table, rows.T0_NS, rows.T0_NS + 10_000_000_000)


@pytest.fixture(scope="module")
def summary(table, rows):
    slo = Slo.model_validate({"good_request": {"ttft": "500ms", "tpot": "500ms"}})
    return analyse_point(table, rows.clients(), rows.meta(10, slo=slo))


def values(samples, metric, population):
    return next(s for s in samples if (s.metric, s.population) == (metric, population)).values


@pytest.mark.parametrize(
    ("metric", "population", "expected"),
    [
        ("ttft", "success", [0.2, 0.5, 0.4, 0.3, 0.6]),
        # over valid the three failures are infinity, the cancelled and our own fault are out
        ("ttft", "valid", [0.2, 0.5, 0.4, 0.3, INF, INF, INF, 0.6]),
        ("ttft_service", "success", [0.2, 0.4, 0.4, 0.3, 0.6]),
        ("ttfv", "success", [0.2, 0.5, 0.4, 0.3, 0.6]),
        # everything that was sent: rows 1 to 9 without the client fault
        ("send_lag", "sent", [0, 0.1, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_latency(frame, metric, population, expected):
    found = values(latency_samples(frame, "all"), metric, population)
    assert found == pytest.approx(expected, abs=1e-12)


def test_end_to_end(frame):
    samples = [c.sample for c in end_samples(frame, "all")]
    assert values(samples, "e2e_latency", "success") == pytest.approx([0.6, 0.5, 1.0, 1.0, 2.6])
    service = values(samples, "e2e_latency_service", "valid")
    assert service == pytest.approx([0.6, 0.4, 1.0, 1.0, INF, INF, INF, 2.6])


@pytest.mark.parametrize(
    ("metric", "population", "expected"),
    [
        # the one-token answer has none; row 4 divides by 5 - 2 tokens after the first chunk
        ("tpot", "success", [0.2, 0.2, 0.2, 1.0]),
        ("tpot", "valid", [0.2, 0.2, 0.2, INF, INF, INF, 1.0]),
        ("output_tok_per_s_per_user", "success", [5, 5, 5, 1]),
        # the truncated answer was silent from 5.3 to 6.3
        ("max_stall", "success", [0.2, 0.4, 0.3, 1.0, 1.0]),
        ("max_stall", "valid", [0.2, 0.4, 0.3, INF, INF, INF, 1.0]),
    ],
)
def test_tokens(frame, metric, population, expected):
    found = values(token_samples(frame, token_times(frame), "all"), metric, population)
    assert found == pytest.approx(expected, abs=1e-12)


def test_gaps_never_cross_requests(frame):
    gaps = chunk_gaps(frame)
    # (warm-up) 1 1 | .2 .2 | .1 .1 .4 | .3 .3 | .1 | 1 1
    expected = [1, 1, 0.2, 0.2, 0.1, 0.1, 0.4, 0.3, 0.3, 0.1, 1, 1]
    assert gaps.gap_s == pytest.approx(expected)
    assert gaps.owner.tolist() == [0, 0, 1, 1, 3, 3, 3, 4, 4, 6, 9, 9]
    assert np.isnan(tpot_s(frame)[2])
    assert np.isnan(max_stall_s(frame, gaps)[2])


@pytest.mark.parametrize(
    ("metric", "stat", "expected"),
    [
        # warm-up 2, rows 1-4: 3 + 1 + 4 + 5, row 9: 2 of 3; 17 tokens in 10 s
        ("output_tok_per_s", "rate", 1.7),
        ("wasted_tok_per_s", "rate", 0.2),  # the truncated one's two
        # successes that ended inside: the warm-up one and rows 1 to 4
        ("request_per_s", "rate", 0.5),
        ("input_tok_per_s", "rate", 5.0),  # 10 prompt tokens each
        # rows 3 and 4: 2.4 2.5 2.6 3.0 3.3(2): six tokens in [2.4, 3.4)
        ("output_tok_per_s", "peak", 6.0),
        # 8 valid: good are rows 1 to 4 (row 2's tpot limit is skipped), row 9 is late, 3 failed
        ("slo_attainment", "ratio", 0.5),
        ("goodput_req_per_s", "rate", 0.4),
        ("error_rate", "ratio", 2 / 8),
        ("throttle_rate", "ratio", 1 / 8),
        ("uptime", "requests", 6 / 8),  # throttling is apart
    ],
)
def test_system_and_shares(summary, metric, stat, expected):
    assert summary.find(metric, stat).value == pytest.approx(expected)


def test_median_over_both_populations(summary, frame):
    # successes .2 .3 .4 .5 .6 -> too few for an interval (6), so withheld
    few = summary.find("ttft", "p50", population="success")
    assert (few.value, few.reason) == (None, "n=5: p50 not reported, it needs 6")
    # valid .2 .3 .4 .5 .6 inf inf inf: position 3.5 lies between .5 and .6
    ttft = np.sort(values(latency_samples(frame, "all"), "ttft", "valid"))
    assert type7(ttft, 0.5) == pytest.approx(0.55)
    # ranks of n = 8: binom.ppf(.025) = 1, ppf(.975) + 1 = 8: from .2 to infinity
    assert interval(ttft, 0.5, 8) == Interval(pytest.approx(0.2), INF)
    # but the eight are below, above in a row (1 1 1 1 0 0 0 0), so fewer than six count
    p50 = summary.find("ttft", "p50", population="valid")
    assert p50.value is None
    assert "autocorrelation" in p50.reason
    assert summary.find("ttft", "max", population="valid").value == INF


def test_itl_needs_one_token_a_chunk(summary):
    # 4 of 5 successes have as many chunks as tokens (within one): 80 % < 95 %
    assert summary.find("itl", "p50") is None
    assert summary.find("icl", "max").value == pytest.approx(1.0)


def test_counts_and_tables(summary):
    assert summary.counts == {
        "requests": 10, "valid": 8, "success": 5, "failed": 2, "throttled": 1, "cancelled": 1,
        "retried": 0, "cut": 0, "client_fault": 1, "one_token": 1, "no_tpot": 1, "no_visible": 0,
        "skipped_ttft": 0, "skipped_tpot": 1,
    }  # fmt: skip
    found = {e.error_class: (e.count, e.first_s, e.sample) for e in summary.errors}
    assert found["http_5xx"] == (1, 4.0, "502 bad gateway")
    assert set(found) == {"http_5xx", "truncated", "throttled", "cancelled", "client_fault"}
    (row,) = summary.class_rows
    # mean realised output of the successes: (3 + 1 + 4 + 5 + 3) / 5
    assert (row.num_requests, row.num_success, row.realised_out_tok) == (10, 5, 3.2)
    # at t0 the warm-up request runs and row 1 arrives; at t1 row 9 still runs
    assert summary.backlog == (2.0, 1.0)


def test_series_conserve_what_they_count(summary):
    s = summary.series
    assert sum(s.offered_req_per_s) * s.bin_s == pytest.approx(12)
    assert sum(s.achieved_req_per_s) * s.bin_s == pytest.approx(7)
    assert sum(s.errors_req_per_s) * s.bin_s == pytest.approx(3)
    assert sum(s.output_tok_per_s) * s.bin_s == pytest.approx(20)
    # request-seconds: 2.5 .6 .5 1 1 .1 1.3 0 .5 2.6 0 .1
    assert sum(s.in_flight) * s.bin_s == pytest.approx(10.2)


def test_json_round_trip_is_exact(summary):
    text = json.dumps(summary.to_json(), allow_nan=False)
    assert PointSummary.from_json(json.loads(text)) == summary


def test_the_order_of_rows_does_not_matter(table, summary, rows):
    shuffled = table.take(np.random.default_rng(3).permutation(len(table)))
    again = analyse_point(shuffled, rows.clients(), summary.meta)
    assert again == summary


def test_an_older_schema_reads_missing_columns_as_null(table, rows):
    old = table.drop_columns(["chunk_uncertain", "cached_tok", "fault", "n_first"])
    found = analyse_point(old, rows.clients(), rows.meta(10))
    assert found.find("error_rate", "ratio").value == 0.25


def test_an_empty_point_is_invalid_and_says_so(rows):
    found = analyse_point(rows.requests([]), rows.clients(), rows.meta(10))
    assert not found.is_valid
    assert "too few" in found.invalid_reasons[0]
    assert json.dumps(found.to_json(), allow_nan=False)


def test_what_a_bill_counts(summary):
    """Billed: 1 2 3 4 6 9, each 10 in; out 3 1 4 5 2 3 (6 broke off: the tokens that came). Good:
    1 2 3 4, 40 in and 13 out in 10 s."""
    usage = summary.usage
    assert (usage.num_billed, usage.num_good, usage.num_unknown) == (6, 4, 0)
    assert (usage.input_tok, usage.output_tok, usage.cached_tok) == (60, 18, None)
    assert usage.good_tok_per_s.value == pytest.approx(5.3)
    assert usage.good_tok_share.value == pytest.approx(53 / 78)
    back = PointSummary.from_json(json.loads(json.dumps(summary.to_json())))
    assert back.usage == usage


def test_without_a_limit_no_token_is_called_good(table, rows):
    usage = analyse_point(table, rows.clients(), rows.meta(10)).usage
    assert usage.good_tok_per_s.is_absent
    assert "sets no limit" in usage.good_tok_share.reason
    assert usage.input_tok == 60
