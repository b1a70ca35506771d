"""Answers that come whole, by hand: rates, latency to the end, and what they have none of.

Window 10 s, limit of a good request: E2E 500 ms, TTFT 1 s (which an embedding cannot have).

    #  class  intended  end    vectors  n_in  what
    0  embed  0         0.2    4        100   good
    1  embed  1         1.3    2        60    good
    2  embed  2         2.9    8        240   too late: no good request
    3  embed  3         3.1    -        -     http_5xx
    4  chat   4         4.5    -        10    first token at 4.1
    5  embed  9.8       10.1   1        20    intended in the window, ended after it
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest

from harness.analysis import PointSummary, analyse_point
from harness.analysis.frame import read_frame
from harness.decisions import headlines, judge_slo
from harness.decisions.crossover_words import token_sentence
from harness.decisions.point_cost import PointCost, point_costs
from harness.estimate import Outcome
from harness.scenario.cost import Cost
from harness.scenario.prices import load_prices
from harness.scenario.slo import Slo
from reports._sections import latency_section, time_section
from reports._tables import class_table, point_table
from reports.build import shown_of
from reports.view import Chart, Group, Table

LIMITS = Slo.model_validate(
    {"good_request": {"e2e_latency": "500ms", "ttft": "1s"}, "vector_per_s": {"min": 1}}
)
WHOLE = Slo.model_validate(
    {"good_request": {"e2e_latency": "500ms"}, "input_tok_per_s": {"min": 10_000}}
)
OF_TOKENS = (
    "ttft", "ttft_service", "ttfv", "tpot", "itl", "icl", "max_stall", "output_tok_per_s",
    "output_tok_per_s_per_user", "wasted_tok_per_s",
)  # fmt: skip


def table(rows: ModuleType, *, has_chat: bool) -> list[dict[str, Any]]:
    def embed(intended: float, end: float, vectors: int | None, n_in: int | None, **more: Any):  # type: ignore[no-untyped-def]
        return rows.row(
            intended, end=end, class_name="embed", api="embeddings", vector_count=vectors,
            n_in=n_in, **{"n_out": None, "tok_source": "usage_final", **more},
        )  # fmt: skip

    found = [
        embed(0, 0.2, 4, 100), embed(1, 1.3, 2, 60), embed(2, 2.9, 8, 240),
        embed(3, 3.1, None, None, error="http_5xx", tok_source="absent"),
    ]  # fmt: skip
    chat = [rows.row(4, [4.1, 4.3, 4.5], api="chat")] if has_chat else []
    return [*found, *chat, embed(9.8, 10.1, 1, 20)]


@pytest.fixture(scope="module")
def mixed(rows: ModuleType) -> PointSummary:
    meta = rows.meta(classes=("embed", "chat"), slo=LIMITS)
    return analyse_point(rows.requests(table(rows, has_chat=True)), rows.clients(), meta)


@pytest.fixture(scope="module")
def whole(rows: ModuleType) -> PointSummary:
    many = [r for _ in range(1) for r in table(rows, has_chat=False)]
    meta = rows.meta(classes=("embed",), slo=WHOLE)
    return analyse_point(rows.requests(many), rows.clients(), meta)


def value(summary: PointSummary, metric: str, stat: str, **key: Any) -> float | None:
    found = summary.find(metric, stat, **key)
    assert found is not None
    return found.value


def test_rates_are_sums_over_the_window_by_their_end(mixed: PointSummary) -> None:
    # the last one ended after the window, the failure brought none: 4 + 2 + 8 in 10 s
    assert value(mixed, "vector_per_s", "rate") == pytest.approx(1.4)
    assert value(mixed, "vector_per_s", "rate", scope="embed") == pytest.approx(1.4)
    assert mixed.find("vector_per_s", "rate", scope="chat") is None or not value(
        mixed, "vector_per_s", "rate", scope="chat"
    )
    assert value(mixed, "input_tok_per_s", "rate", scope="embed") == pytest.approx(40.0)
    assert value(mixed, "input_tok_per_s", "rate") == pytest.approx(41.0)  # and 10 of the chat
    assert value(mixed, "request_per_s", "rate", scope="embed") == pytest.approx(0.3)
    assert value(mixed, "output_tok_per_s", "rate") == pytest.approx(0.3)  # the chat's three
    assert mixed.series.vector_per_s
    assert sum(mixed.series.vector_per_s) * mixed.series.bin_s == pytest.approx(15)


def test_goodput_is_held_to_the_end_and_skips_the_first_token(mixed: PointSummary) -> None:
    # good: 0, 1, 4 and the last (300 ms) of six; 2 is late, 3 failed
    assert value(mixed, "slo_attainment", "ratio") == pytest.approx(4 / 6)
    assert value(mixed, "goodput_req_per_s", "rate") == pytest.approx(0.4)
    assert mixed.counts["skipped_ttft"] == 4  # embeddings that succeeded
    assert mixed.counts["no_tpot"] == 0
    assert mixed.counts["no_visible"] == 0


def test_times_of_tokens_are_those_of_streams(mixed: PointSummary, rows: ModuleType) -> None:
    """The failed embedding is no infinite TTFT, and no token was missing."""
    assert mixed.find("ttft", "max", population="valid").value == pytest.approx(0.1)  # type: ignore[union-attr]
    assert mixed.find("ttft", "max", population="valid").n == 1  # type: ignore[union-attr]
    assert mixed.find("e2e_latency", "max", population="valid").value == math.inf  # type: ignore[union-attr]
    for metric in OF_TOKENS:
        assert mixed.find(metric, "p50", scope="embed") is None, metric
        assert mixed.find(metric, "rate", scope="embed") is None, metric
    raised = {c.code for c in mixed.notices}
    assert not raised & {"without_tpot", "missing_counts", "missing_input_counts"}


def test_a_run_without_a_stream_has_no_figure_of_tokens(whole: PointSummary) -> None:
    told = {e.metric for e in whole.estimates}
    assert not told & set(OF_TOKENS)
    assert {"vector_per_s", "input_tok_per_s", "e2e_latency"} <= told
    assert {c.metric for c in whole.curves} <= {"e2e_latency", "e2e_latency_service"}
    assert whole.usage is not None
    assert (whole.usage.num_billed, whole.usage.input_tok, whole.usage.output_tok) == (4, 420, 0)
    (verdict,) = [v for v in judge_slo(whole, WHOLE) if v.rule == "slo-input_tok_per_s"]
    assert verdict.outcome is Outcome.FAIL
    assert PointSummary.from_json(whole.to_json()) == whole
    told_first = headlines([whole], ())[0]
    assert "E2E latency" in told_first.answer + told_first.detail or "vectors" in told_first.answer
    assert "TTFT" not in told_first.answer + told_first.detail


def test_no_table_or_chart_speaks_of_tokens_that_were_not(
    whole: PointSummary, mixed: PointSummary
) -> None:
    shown = shown_of([whole], [])
    for section in (latency_section([whole], shown), time_section([whole], shown)):
        assert section is not None
        for block in section.blocks:
            assert not isinstance(block, Group)
            if isinstance(block, Chart):
                assert "TTFT" not in block.title + block.caption
                assert "token" not in block.caption
                assert "output tok/s" not in {p.y_label for p in block.panels}
            elif isinstance(block, Table):
                assert not any("TTFT" in name or "TPOT" in name for name, _ in block.columns)
    assert [name for name, _ in class_table(whole, "").columns][-1] == "E2E p50"  # type: ignore[union-attr]
    both = class_table(mixed, "")
    assert both is not None
    assert [name for name, _ in both.columns][-3:] == ["TTFT p50", "TPOT p50", "E2E p50"]
    assert both.rows[0].cells[-3].text == ""
    names = [name for name, _ in point_table([whole, whole]).columns]
    assert "vectors/s" in names
    assert not any("TTFT" in name or "output" in name for name in names)


def test_records_of_before_are_streams(rows: ModuleType) -> None:
    old = rows.requests([rows.row(0, [0.1])]).drop_columns(["api", "vector_count"])
    frame = read_frame(old, rows.T0_NS, rows.T0_NS + 10**10)
    assert frame.is_streamed.all()
    assert frame.has_tokens("all")


def test_the_real_time_factor_and_the_minutes_by_hand(rows: ModuleType) -> None:
    """Clips of 30 s, sent at 0, 2, 4: done after 3 s, 6 s, and failed; one more of 60 s after 3."""
    speech = {"class_name": "speech", "api": "transcriptions", "n_in": None, "n_out": None}
    table = [
        rows.row(0, end=3.0, audio_s=30.0, **speech),
        rows.row(2, end=8.0, audio_s=30.0, **speech),
        rows.row(4, end=4.5, audio_s=30.0, error="http_5xx", **speech),
        rows.row(5, end=8.0, audio_s=60.0, **speech),
    ]
    slo = Slo.model_validate({"rtf": {"max": 0.15}, "audio_min_per_s": {"min": 1}})
    meta = rows.meta(classes=("speech",), slo=slo)
    found = analyse_point(rows.requests(table), rows.clients(), meta)
    # 3 / 30, 6 / 30, 3 / 60
    assert found.find("rtf", "max", population="success").value == pytest.approx(0.2)  # type: ignore[union-attr]
    assert found.find("rtf", "max", population="valid").value == math.inf  # type: ignore[union-attr]
    # 30 + 30 + 60 s in 10 s
    assert value(found, "audio_min_per_s", "rate") == pytest.approx(0.2)
    assert found.find("input_tok_per_s", "rate") is None
    assert found.find("vector_per_s", "rate") is None
    assert found.usage is not None
    assert (found.usage.num_billed, found.usage.audio_min, found.usage.num_unknown) == (3, 2.0, 0)
    outcomes = {v.rule: v.outcome for v in judge_slo(found, slo)}
    # a rate needs more than four answers for its bounds
    assert outcomes == {"slo-rtf-max": Outcome.FAIL, "slo-audio_min_per_s": Outcome.INCONCLUSIVE}
    assert not {c.code for c in found.notices} & {"missing_counts", "missing_input_counts"}


def test_a_minute_of_audio_costs_its_price_or_the_gpu_time_of_it(rows: ModuleType) -> None:
    speech = {"class_name": "speech", "api": "transcriptions", "n_in": None, "n_out": None}
    table = [rows.row(float(k), end=k + 0.5, audio_s=30.0, **speech) for k in range(10)]
    meta = rows.meta(classes=("speech",), target="audio", slo=WHOLE)
    found = analyse_point(rows.requests(table), rows.clients(), meta)
    prices = load_prices("fireworks-guide")

    def cost(side: dict[str, object]) -> PointCost:
        block = Cost.model_validate({"prices": prices.model_dump(by_alias=True), **side})
        (own,) = point_costs([found], block, {"audio": "whisper-v3"})
        return own

    used = cost({"serverless": {"target": "audio", "cached_share": "0%"}})
    # ten clips of half a minute at $0.20
    assert used.bill_usd == pytest.approx(1.0)
    assert used.usd_per_audio_min is not None
    assert used.usd_per_audio_min.value == pytest.approx(0.20)
    assert used.usd_per_good_mtok.value is None
    rented = cost({"on_demand": {"target": "audio", "gpu": "a10g"}})
    assert rented.usd_per_audio_min is not None
    # $0.80 / 3600 a second, 5 minutes in 10 seconds
    assert rented.usd_per_audio_min.value == pytest.approx(0.80 / 3600 / 0.5)
    sentence = token_sentence([used])
    assert sentence is not None
    assert sentence.answer == "A minute of audio costs $0.200"
