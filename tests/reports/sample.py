"""A judged run made by hand: two points, two classes, one failing and one open rule."""

from __future__ import annotations

import math

from harness.analysis import (
    Check,
    ClassRow,
    Curve,
    ErrorRow,
    PointMeta,
    PointSummary,
    Series,
)
from harness.decisions import Headline
from harness.estimate import Estimate, Outcome, Verdict
from harness.scenario.slo import Slo
from reports import RunFacts, View, build_view

SLO = Slo.model_validate(
    {"ttft": {"p50": "1s", "p95": "2s"}, "tpot": {"p50": "100ms"}, "error_rate": {"max": "1%"}}
)
TAIL = (0.8, 0.5, 0.3, 0.1, 0.05, 0.02, 0.01)


def point(index: int, rate: float) -> PointSummary:
    """One open-loop point; latency grows with its rate."""
    slow = 1 + rate / 10
    estimates = []
    for metric, unit, scale in (("ttft", "s", 0.15), ("tpot", "s/tok", 0.02), ("icl", "s", 0.02)):
        for stat, factor in (("p50", 1.0), ("p90", 1.8), ("p95", 2.2)):
            value = scale * slow * factor
            estimates.append(
                Estimate(metric, stat, unit, value, value * 0.9, value * 1.1, n=400, n_eff=200.0)
            )
        estimates.append(
            Estimate(metric, "p99", unit, None, n=400, n_eff=200.0, reason="n_eff 200 below 368")
        )
    for metric, stat, unit, value in (
        ("request_per_s", "rate", "req/s", rate * 0.98),
        ("goodput_req_per_s", "rate", "req/s", rate * 0.9),
        ("output_tok_per_s", "rate", "tok/s", rate * 120),
        ("slo_attainment", "ratio", "ratio", 0.9),
        ("error_rate", "ratio", "ratio", 0.02),
    ):
        estimates.append(Estimate(metric, stat, unit, value, value * 0.95, value * 1.05, n=400))
    values = tuple(0.15 * slow * (0.5 / x) ** 0.4 for x in TAIL)
    low, high = tuple(v * 0.9 for v in values), tuple(v * 1.1 for v in values)
    shares = tuple(i / 20 for i in range(21))
    spread = tuple(0.15 * slow * math.exp(0.5 * (p - 0.5) * 3) for p in shares)
    curves = (
        Curve("ttft", "nines", "s", "valid", 400, TAIL, values, low, high),
        Curve("ttft_service", "nines", "s", "valid", 400, TAIL, values, low, high),
        Curve("ttft", "cdf", "s", "success", 400, shares, spread),
        Curve("icl", "cdf", "s", "gaps", 9000, shares, tuple(v / 8 for v in spread)),
    )
    t = tuple(float(i) for i in range(-3, 12))
    flat = tuple(rate for _ in t)
    series = Series(1.0, 10.0, t, flat, flat, tuple(0.0 for _ in t), flat, flat)
    checks = (
        Check("send_lag", "Schedule lag, p99", 0.0004, "s", 0.001, 0.010, "ok"),
        Check(
            "client_cpu", "Load worker's CPU", 0.74, "ratio", 0.7, 0.9, "notice",
            "the busiest load worker used 74% of its core; add workers",
        ),
    )  # fmt: skip
    meta = PointMeta(
        index, f"rate-{rate:g}", "main", "open", 0, 10 * 10**9, ("chat", "long"),
        offered_req_per_s=rate, slo=SLO,
    )  # fmt: skip
    rows = (
        ClassRow("chat", 300, 300, 296, 0, 250.2, 249.8, 120.0, 118.2),
        ClassRow("long", 100, 100, 96, 1, 900.0, 899.0, None, 60.0),
    )
    return PointSummary(
        meta, tuple(estimates), tuple(estimates), checks, Outcome.PASS, True, (3.0, 4.0),
        {"requests": 400, "valid": 400},
        (ErrorRow("http_5xx", 8, 1.25, 9.0, "500 <b>internal</b> & more"),), rows, series, curves,
    )  # fmt: skip


def view(num_points: int = 2) -> View:
    summaries = [point(i, 2.0 * (i + 1)) for i in range(num_points)]
    first = summaries[0]
    verdicts = [
        Verdict("slo-ttft-p50", Outcome.PASS, "p50 is below 1 s", first.find("ttft", "p50"), 1.0),
        Verdict("slo-ttft-p99", Outcome.INCONCLUSIVE, "too few", first.find("ttft", "p99"), 2.0),
        Verdict(
            "slo-error_rate-max", Outcome.FAIL, "2.0% > 1%", first.find("error_rate", "ratio"), 0.01
        ),
        Verdict("slo-tpot-p50", Outcome.INVALID, "late client", first.find("tpot", "p50"), 0.1),
    ]
    facts = RunFacts(
        run_id="20261124T010203Z-sample-ab12cd", scenario="sample",
        description="A sample <with> markup & signs.", status="complete",
        created_utc="2026-11-24T01:02:03+00:00",
        provenance={
            "git": {"sha": "abc1234"}, "packages": {"numpy": "2.0"}, "cpu": {"model": "a CPU"},
        },
        given_text="schema: harness/v1\nname: sample  # </script> <b>\n",
        resolved_text="name: sample\n",
        targets=(("main", "tiny", "http://127.0.0.1:8000/v1"),), duration_s=30.0,
        reproduce="harness run sample",
    )  # fmt: skip
    headlines = (Headline("FAIL: error rate 2.0%", "(95% CI 1.9 to 2.1%) [limit 1%].", "fail"),)
    return build_view(facts, summaries, verdicts, Outcome.FAIL, headlines)
