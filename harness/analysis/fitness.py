"""Whether answers are what was asked, and when: tool calls and documents with a schema.

    time_to_first_argument   first byte of a call's arguments - intended
    time_to_tool_call        first complete and valid call - intended
    tool_valid, schema_valid fit / complete answers of the classes that ask for it
    valid_tok_per_s          tokens of fit answers stamped in the window / window

A complete answer ended with a finish reason; one cut by its length is unfit. Failures have no
answer to judge and are out of the shares, but infinitely late in the times. Where an unfit answer
is a failure (`invalid_output`, the rule), it is infinitely late too; a success without a call is
left out of the times. One-token answers are judged like any.
"""

from __future__ import annotations

import numpy as np

from harness.analysis.frame import BoolArray, Frame, elapsed_s
from harness.analysis.latency import failing_twice
from harness.analysis.point_meta import PointMeta
from harness.analysis.quantiles import Pair, Sample
from harness.analysis.shares import share_pair
from harness.analysis.throughput import Bins, rate_pair, token_counts


def call_samples(frame: Frame, meta: PointMeta, scope: str) -> list[Sample]:
    """The two times, over the requests of classes that ask for calls."""
    members = _members(frame, meta.tool_classes, scope) & frame.is_measured & frame.is_last
    if not members.any():
        return []
    samples = []
    for metric, at_s in (
        ("time_to_first_argument", frame.first_argument_s),
        ("time_to_tool_call", frame.call_done_s),
    ):
        waited = elapsed_s(at_s, frame.intended_s)
        has_none = frame.is_success & np.isnan(waited)
        samples += failing_twice(metric, waited, frame, members & ~has_none, scope)
    return samples


def fitness_pairs(
    frame: Frame, meta: PointMeta, scope: str, rng: np.random.Generator
) -> list[Pair]:
    """Shares and rate of one scope; none where nothing in it was asked for."""
    pairs: list[Pair] = []
    for metric, classes in (
        ("tool_valid", meta.tool_classes),
        ("schema_valid", meta.schema_classes),
    ):
        members = _members(frame, classes, scope)
        if members.any():
            judged = members & frame.is_measured & ~np.isnan(frame.fit)
            pairs.append(
                share_pair(
                    metric,
                    frame.fit[judged] == 1,
                    scope=scope,
                    population="complete",
                    nothing="no complete answer",
                )
            )
    asked = _members(frame, (*meta.tool_classes, *meta.schema_classes), scope)
    if asked.any():
        bins = Bins.over(frame.window_s)
        tokens = token_counts(frame, bins, asked & (frame.fit == 1))
        pairs.append(rate_pair("valid_tok_per_s", "tok/s", tokens, bins, frame, scope, rng))
    return pairs


def _members(frame: Frame, classes: tuple[str, ...], scope: str) -> BoolArray:
    return np.isin(frame.class_name, classes) & frame.scope(scope)
