"""Validity of calls and documents by hand: shares, times, rates, and what they do to goodput.

Window 10 s. `t` asks for calls, `s` for documents, `chat` for nothing. One token a chunk.

    #  class intended chunks         argument  call  what
    0  t     0        0.1 0.3 0.5    0.3       0.5   valid call
    1  t     1        1.2 1.4 1.9    1.4       1.9   valid call
    2  t     2        2.1 2.2        2.2       -     invalid_output
    3  t     3        -              -         -     http_5xx: no answer to judge
    4  t     4        4.1 4.5        -         -     a success without a call: valid_call is false
    5  s     5        5.1 5.2                        valid document
    6  s     6        6.1                            invalid_output
    7  chat  7        7.5                            never judged
    8  t    11        11.1           11.1      11.1  cool-down
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis import PointSummary, analyse_point
from harness.analysis.fitness import call_samples
from harness.analysis.frame import read_frame
from harness.decisions import judge_slo
from harness.estimate import Outcome
from harness.scenario.slo import Slo

INF = math.inf
CLASSES = {"classes": ("t", "s", "chat"), "tool_classes": ("t",), "schema_classes": ("s",)}
LIMITS = Slo.model_validate(
    {
        "good_request": {"time_to_tool_call": "600ms", "time_to_first_argument": "350ms"},
        "tool_valid": {"min": "99%"},
        "schema_valid": {"min": "1%"},
    }
)


@pytest.fixture(scope="module")
def table(rows):
    row, ns = rows.row, rows.ns

    def call(*given, argument=None, done=None, fit=True, **more):
        return row(
            *given, class_name="t", first_argument_ns=ns(argument), call_done_ns=ns(done),
            is_fit=fit, **more,
        )  # fmt: skip

    return rows.requests(
        [
            call(0, [0.1, 0.3, 0.5], argument=0.3, done=0.5),
            call(1, [1.2, 1.4, 1.9], argument=1.4, done=1.9),
            call(2, [2.1, 2.2], argument=2.2, fit=False, error="invalid_output"),
            row(3, end=3.1, error="http_5xx", class_name="t"),
            call(4, [4.1, 4.5], fit=False),
            row(5, [5.1, 5.2], class_name="s", is_fit=True),
            row(6, [6.1], class_name="s", is_fit=False, error="invalid_output"),
            row(7, [7.5]),
            call(11, [11.1], argument=11.1, done=11.1),
        ]
    )


@pytest.fixture(scope="module")
def summary(table, rows) -> PointSummary:
    return analyse_point(table, rows.clients(), rows.meta(10, slo=LIMITS, **CLASSES))


@pytest.mark.parametrize(
    ("metric", "population", "expected"),
    [
        ("time_to_first_argument", "success", [0.3, 0.4]),
        # the unfit answer and the 500 are infinitely late; the success without a call is out
        ("time_to_first_argument", "valid", [0.3, 0.4, INF, INF]),
        ("time_to_tool_call", "success", [0.5, 0.9]),
        ("time_to_tool_call", "valid", [0.5, 0.9, INF, INF]),
    ],
)
def test_times(table, rows, metric, population, expected):
    frame = read_frame(table, rows.T0_NS, rows.T0_NS + 10_000_000_000)
    for scope in ("all", "t"):
        (found,) = [
            s
            for s in call_samples(frame, rows.meta(10, **CLASSES), scope)
            if (s.metric, s.population) == (metric, population)
        ]
        np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert call_samples(frame, rows.meta(10, **CLASSES), "chat") == []


@pytest.mark.parametrize(
    ("metric", "scope", "value", "n"),
    [
        ("tool_valid", "all", 2 / 4, 4),  # rows 0, 1, 2, 4
        ("tool_valid", "t", 2 / 4, 4),
        ("schema_valid", "s", 1 / 2, 2),
        # tokens of fit answers: 3 + 3 of t, 2 of s
        ("valid_tok_per_s", "all", 8 / 10, 8),
        ("valid_tok_per_s", "t", 6 / 10, 6),
        ("valid_tok_per_s", "s", 2 / 10, 2),
    ],
)
def test_shares_and_rate(summary, metric, scope, value, n):
    stat = "rate" if metric.endswith("_s") else "ratio"
    found = summary.find(metric, stat, scope=scope)
    assert (found.value, found.n) == (pytest.approx(value), n)
    assert found.low <= value <= found.high


def test_classes_that_ask_for_nothing_have_none_of_it(summary):
    for metric, stat in (("tool_valid", "ratio"), ("valid_tok_per_s", "rate")):
        assert summary.find(metric, stat, scope="chat") is None
    assert summary.find("schema_valid", "ratio", scope="t") is None


def test_validity_joins_latency_in_goodput(summary):
    """Good: row 0; row 1 is valid but late; row 4, 5, 7 have no such times, so nothing to keep."""
    found = summary.find("slo_attainment", "ratio")
    assert found.value == pytest.approx(4 / 8)
    assert summary.find("slo_attainment", "ratio", scope="t").value == pytest.approx(2 / 5)
    assert summary.find("goodput_req_per_s", "rate").value == pytest.approx(0.4)
    assert summary.counts["skipped_time_to_tool_call"] == 3


def test_shares_of_valid_answers_are_rules(summary):
    found = {v.rule: v for v in judge_slo(summary, LIMITS)}
    assert found["slo-tool_valid"].outcome is Outcome.FAIL
    assert found["slo-tool_valid"].direction == "min"
    assert "share of valid tool calls" in found["slo-tool_valid"].reason
    assert found["slo-schema_valid"].outcome is Outcome.PASS


def test_records_written_before_there_was_validity_are_read(table, rows):
    old = table.drop_columns(["is_fit", "first_argument_ns", "call_done_ns"])
    summary = analyse_point(old, rows.clients(), rows.meta(10))
    assert summary.find("tool_valid", "ratio") is None
    assert PointSummary.from_json(summary.to_json()) == summary
