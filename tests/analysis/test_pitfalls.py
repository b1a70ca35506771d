"""Pitfalls of measuring LLM serving that analysis must not fall into; one test each."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis import GLOSSARY, analyse_point, effective_slo, request_limits
from harness.scenario.slo import Slo

GOOD = Slo.model_validate({"good_request": {"ttft": "1s", "tpot": "1s"}})


def plain(rows, num, window_s=10.0, **columns):
    """num requests spread over the window, one second each, eleven tokens."""
    step = window_s / num
    return [
        rows.row(i * step, [i * step + 0.1 * k for k in range(1, 12)], **columns)
        for i in range(num)
    ]


def fail(made, chosen, error):
    """Turn the chosen rows into failures without a token."""
    empty = {"first_token_ns": None, "first_visible_ns": None, "last_token_ns": None, "n_out": None,
             "chunk_ns": [], "chunk_tok": [], "chunk_uncertain": []}  # fmt: skip
    return [r | empty | {"error_class": error} if i in chosen else r for i, r in enumerate(made)]


@pytest.mark.parametrize(
    ("error", "status"), [("stream_error", 200), ("truncated", 200), ("malformed", 200)]
)
def test_an_error_inside_http_200_is_no_success(rows, error, status):
    made = plain(rows, 20)
    made[3] |= {"error_class": error, "status": status}
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    assert found.counts["success"] == 19
    assert [(e.error_class, e.count) for e in found.errors] == [(error, 1)]
    assert found.find("error_rate", "ratio").value == 0.05


def test_a_tenth_of_failures_is_missed_attainment_and_no_p95(rows):
    made = fail(plain(rows, 1000, 100), range(0, 1000, 10), "http_5xx")
    found = analyse_point(rows.requests(made), rows.clients(100), rows.meta(100, slo=GOOD))
    assert found.find("slo_attainment", "ratio").value == 0.9
    p95 = found.find("ttft", "p95", population="valid")
    assert not p95.is_reached
    assert p95.reason == "not reached: 100 of 1,000 requests failed"
    # over successes alone the failures would have vanished
    assert found.find("ttft", "p95", population="success").value == pytest.approx(0.1)


def test_error_rate_counts_requests_not_events(rows):
    made = fail(plain(rows, 100), range(60), "http_5xx")
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    assert found.find("error_rate", "ratio").value == 0.6


def test_a_slow_start_stays_outside_the_window(rows):
    """50 requests of the warm-up take 5 s; the measured ones 0.1 s to their first token."""
    slow = [rows.row(-10 + i * 0.2, [-5 + i * 0.2]) for i in range(50)]
    found = analyse_point(rows.requests([*slow, *plain(rows, 200)]), rows.clients(), rows.meta(10))
    assert found.counts["requests"] == 200
    assert found.find("ttft", "max", population="valid").value == pytest.approx(0.1)


def test_a_long_tail_leaves_the_window_s_throughput_alone(rows):
    made = plain(rows, 200)
    tail = rows.row(9.9, [9.95, 40.0, 80.0])
    short = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    long = analyse_point(rows.requests([*made, tail]), rows.clients(), rows.meta(10))
    rate = short.find("output_tok_per_s", "rate").value
    # one token of the tail fell inside: 1 / 10 s
    assert long.find("output_tok_per_s", "rate").value == pytest.approx(rate + 0.1)


def test_two_shards_are_pooled_rows_not_averaged_percentiles(rows):
    """A shard of 300 fast and one of 100 slow requests: the pooled p90 is the slow value."""
    fast = [rows.row(i * 0.03, [i * 0.03 + 0.1], worker=0) for i in range(300)]
    slow = [rows.row(i * 0.09 + 0.01, [i * 0.09 + 2.01], worker=1) for i in range(100)]
    found = analyse_point(rows.requests([*fast, *slow]), rows.clients(), rows.meta(10))
    p90 = found.find("ttft", "p90", population="valid")
    assert (p90.value, p90.n) == (2.0, 400)


def test_gaps_of_few_requests_are_few_observations(rows):
    """10,000 gaps of 20 requests, each with its own speed: the request is the unit."""
    rng = np.random.default_rng(11)
    made = []
    for i in range(20):
        gap_s = 0.01 * (1 + i / 10) * rng.uniform(0.99, 1.01, 501)
        made.append(rows.row(i * 0.4, list(i * 0.4 + np.cumsum(gap_s))))
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    p50, p95 = found.find("icl", "p50"), found.find("icl", "p95")
    assert p50.n == 10_000
    assert p50.n_eff < 40
    # the naive interval at n = 10,000 would be narrower than 1 %
    assert p50.high is None or p50.high / p50.low > 1.2
    assert p95.value is None


def test_one_token_answers_have_no_tpot_and_are_judged_on_the_rest(rows):
    made = plain(rows, 90) + [rows.row(9 + i / 10, [9.05 + i / 10]) for i in range(10)]
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10, slo=GOOD))
    assert found.find("tpot", "p50", population="success").n == 90
    assert found.find("slo_attainment", "ratio").value == 1.0
    assert found.counts["skipped_tpot"] == 10
    told = next(c for c in found.checks if c.code == "skipped_tpot")
    assert (told.value, told.status) == (0.1, "notice")


def test_speed_of_a_user_and_of_the_system_are_apart(rows):
    """Half the answers have 11 tokens in 1 s, half 101: per user a median, the system a sum."""
    made = []
    for i in range(100):
        n = 10 if i % 2 else 100
        made.append(rows.row(i * 0.1, [i * 0.1 + 1 / n * k for k in range(n + 1)]))
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    user = found.find("output_tok_per_s_per_user", "p50")
    system = found.find("output_tok_per_s", "rate")
    assert 10 <= user.value <= 100
    assert system.value > 500
    assert (user.population, system.population) == ("success", "system")


def test_a_peak_counts_tokens_of_a_coalesced_burst(rows):
    """Five chunks of 4 tokens in one receive: 20 tokens in that second, not 5 events."""
    made = [rows.row(1, [2.0] * 5, tokens=[4.0] * 5)]
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    peak = found.find("output_tok_per_s", "peak")
    assert (peak.value, peak.method) == (20.0, "best sliding second")


def test_classes_are_judged_by_their_own_limits(rows):
    slow = plain(rows, 50, class_name="slow", first_token_ns=rows.ns(100))
    slow = [r | {"first_token_ns": r["intended_ns"] + 2_000_000_000} for r in slow]
    fast = plain(rows, 50, class_name="fast")
    own = Slo.model_validate({"good_request": {"ttft": "3s"}})
    found = analyse_point(
        rows.requests([*slow, *fast]),
        rows.clients(),
        rows.meta(10, slo=GOOD, classes=("slow", "fast"), class_slos={"slow": own}),
    )
    assert found.find("slo_attainment", "ratio").value == 1.0
    assert found.find("ttft", "p50", scope="slow", population="valid").value == 2.0
    strict = analyse_point(
        rows.requests([*slow, *fast]), rows.clients(),
        rows.meta(10, slo=GOOD, classes=("slow", "fast")),
    )  # fmt: skip
    assert strict.find("slo_attainment", "ratio").value == 0.5
    assert strict.find("slo_attainment", "ratio", scope="slow").value == 0.0


def test_limits_of_a_good_request_default_to_the_highest_percentile():
    slo = Slo.model_validate({"ttft": {"p50": "1s", "p99": "3s"}, "icl": {"p99": "1s"}})
    assert request_limits(slo) == {"ttft": 3.0}
    assert request_limits(GOOD) == {"ttft": 1.0, "tpot": 1.0}
    own = Slo.model_validate({"good_request": {"e2e_latency": "9s"}, "error_rate": {"max": "1%"}})
    merged = effective_slo(GOOD, own)
    assert request_limits(merged) == {"ttft": 1.0, "tpot": 1.0, "e2e_latency": 9.0}
    assert merged.error_rate.max == 0.01


def test_without_limits_there_is_no_goodput(rows):
    found = analyse_point(rows.requests(plain(rows, 50)), rows.clients(), rows.meta(10))
    assert found.find("goodput_req_per_s", "rate").value is None
    assert "no limit" in found.find("slo_attainment", "ratio").reason


# -- availability ------------------------------------------------------------------------------


def probes(rows, bad_minutes, error="http_5xx"):
    """One request a second over 50 minutes; every request of the given minutes fails."""
    chosen = {i for i in range(3000) if i // 60 in bad_minutes}
    made = [rows.row(float(i), [i + 0.5]) for i in range(3000)]
    slo = Slo.model_validate({"uptime": {"window": "5min", "good": "95%", "objective": "99%"}})
    return analyse_point(
        rows.requests(fail(made, chosen, error)), rows.clients(3000), rows.meta(3000, slo=slo)
    )


def test_the_three_definitions_of_uptime_disagree(rows):
    found = probes(rows, {7, 8})  # 120 of 3,000 bad, all in the window of minutes 5 to 9
    assert found.find("uptime", "ratio").value == 0.9
    assert found.find("uptime", "requests").value == pytest.approx(1 - 120 / 3000)
    # the one window has 120 of 300 bad: (9 + 0.6) / 10
    assert found.find("uptime", "mean").value == pytest.approx(0.96)
    assert [w.is_up for w in found.uptime_windows] == [True, False, *[True] * 8]


def test_a_window_at_exactly_the_limit_is_up(rows):
    made = [rows.row(float(i), [i + 0.5]) for i in range(300)]
    table = rows.requests(fail(made, range(0, 300, 20), "timeout_total"))  # 15 of 300 = 5 %
    found = analyse_point(table, rows.clients(300), rows.meta(300))
    assert found.uptime_windows[0].is_up


@pytest.mark.parametrize("error", ["http_4xx", "throttled", "invalid_output"])
def test_what_the_target_served_or_refused_is_not_downtime(rows, error):
    found = probes(rows, {7, 8}, error)
    assert found.find("uptime", "ratio").value == 1.0
    assert found.find("uptime", "requests").value == 1.0


def test_windows_without_requests_are_left_out(rows):
    made = [rows.row(float(i), [i + 0.5]) for i in range(300)]
    found = analyse_point(rows.requests(made), rows.clients(900), rows.meta(900))
    assert [w.is_up for w in found.uptime_windows] == [True, None, None]
    assert found.find("uptime", "ratio").n == 1


def test_an_answer_that_nobody_counted_leaves_the_others_their_tokens(rows):
    """A stream that broke before its usage has chunks, and no count of any of them."""
    made = [rows.row(i / 10, [i / 10 + 0.1 * k for k in (1, 2, 3, 4)]) for i in range(90)]
    untold = {"n_out": None, "n_first": None, "chunk_tok": None, "tok_source": "absent"}
    made[7] |= untold | {"error_class": "truncated"}
    made[8] |= untold
    found = analyse_point(rows.requests(made), rows.clients(), rows.meta(10))
    assert found.find("output_tok_per_s", "rate").value == pytest.approx(88 * 4 / 10)
    assert found.find("wasted_tok_per_s", "rate").value == 0
    assert found.find("itl", "p50").value == pytest.approx(0.1)


def test_every_metric_has_a_definition(rows):
    found = probes(rows, set())
    assert {e.metric for e in found.estimates} <= set(GLOSSARY)
