"""The client's account against the server's: counted by hand, judged at 1 %, never by guesses."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from harness.analysis import PointSummary, analyse_point
from harness.analysis.server_summary import ServerSide
from harness.records.schema import SERVER_SCHEMA

MS = 1_000_000


def readings(rows: ModuleType, *seconds: dict[str, float], first_s: float = -2.0) -> pa.Table:
    """One reading every 4 s from first_s on: name or name{labels} -> value."""
    found = []
    for k, page in enumerate(seconds):
        for name, value in page.items():
            bare, _, labels = name.partition("{")
            t_ns = rows.ns(first_s + 4 * k)
            found.append({"t_ns": t_ns, "name": bare, "labels": labels.rstrip("}"),
                          "value": value, "kind": "unknown"})  # fmt: skip
    return pa.Table.from_pylist(found, schema=SERVER_SCHEMA)


def analysed(
    rows: ModuleType, table: list[dict[str, Any]], server: pa.Table | None = None, **meta: Any
) -> PointSummary:
    found = analyse_point(rows.requests(table), rows.clients(), rows.meta(**meta), server)
    assert PointSummary.from_json(json.loads(json.dumps(found.to_json()))) == found
    return found


def steady(rows: ModuleType, num: int = 40, **columns: Any) -> list[dict[str, Any]]:
    """Requests every 0.25 s of the window, first token after 100 ms, then three more."""
    return [
        rows.row(k / 4, [k / 4 + 0.1, k / 4 + 0.11, k / 4 + 0.12, k / 4 + 0.13], **columns)
        for k in range(num)
    ]


def vllm(finished: float, output: float, prompt: float, **more: float) -> dict[str, float]:
    return {
        'vllm:request_success_total{finished_reason="stop"}': finished,
        "vllm:generation_tokens_total{}": output,
        "vllm:prompt_tokens_total{}": prompt,
    } | more


def comparison(found: PointSummary, name: str) -> Any:
    return next(c for c in found.server.comparisons if c.id == name)


def check(found: PointSummary, code: str) -> Any:
    return next((c for c in found.checks if c.code == code), None)


# -- counters ----------------------------------------------------------------------------------


def test_what_broke_for_the_client_may_have_ended_well_for_the_server(rows: ModuleType) -> None:
    table = steady(rows)
    for row in table[:4]:
        row |= {"error_class": "cancelled", "finish_reason": None}
    for theirs, status in ((36, "ok"), (38, "ok"), (40, "ok"), (44, "notice"), (35, "notice")):
        server = readings(rows, vllm(0, 0, 0), vllm(theirs, 0, 0), vllm(theirs, 0, 0),
                          vllm(theirs, 0, 0))  # fmt: skip
        found = comparison(analysed(rows, table, server), "requests_success")
        assert (found.client, found.server, found.status) == (36, theirs, status)
        assert bool(found.note) == (theirs in (38, 40))


def test_what_agrees_is_said_to_agree(rows) -> None:
    # 40 requests of 4 tokens and 10 prompt tokens; the counters begin anywhere
    server = readings(rows, vllm(7, 1000, 500), vllm(30, 1080, 700), vllm(47, 1160, 900))
    found = analysed(rows, steady(rows), server)
    told = {c.id: (c.client, c.server, c.difference, c.status) for c in found.server.comparisons}
    assert told["requests_success"] == (40, 40, 0, "ok")
    assert told["output_tok"] == (160, 160, 0, "ok")
    assert told["prompt_tok"] == (400, 400, 0, "ok")
    assert found.server.name == "vllm"
    assert found.server.num_readings == 3
    assert check(found, "agree_output_tok").status == "ok"


@pytest.mark.parametrize(
    ("finished", "status"), [(40, "ok"), (40.39, "ok"), (40.5, "notice"), (39.5, "notice")]
)
def test_one_percent_is_the_limit(rows, finished: float, status: str) -> None:
    server = readings(rows, vllm(0, 0, 0), vllm(finished, 160, 400))
    found = analysed(rows, steady(rows), server)
    assert comparison(found, "requests_success").status == status
    one = check(found, "agree_requests_success")
    assert one.status == status
    assert bool(one.sentence) == (status == "notice")
    assert found.is_valid  # a notice: the verdict stands


def test_requests_of_the_whole_point_are_counted_not_of_the_window(rows) -> None:
    table = [*steady(rows), rows.row(-1.0, [-0.9, -0.8]), rows.row(12.0, [12.1, 12.2])]
    server = readings(rows, vllm(0, 0, 0), vllm(42, 164, 420))
    found = analysed(rows, table, server)
    assert found.counts["requests"] == 40
    assert comparison(found, "requests_success").difference == 0
    assert comparison(found, "output_tok").client == 164


def test_aborted_requests_are_no_successes(rows) -> None:
    aborted = 'vllm:request_success_total{finished_reason="abort"}'
    server = readings(rows, vllm(0, 0, 0, **{aborted: 0.0}), vllm(40, 160, 400, **{aborted: 9.0}))
    assert comparison(analysed(rows, steady(rows), server), "requests_success").server == 40


def test_where_streams_broke_tokens_are_shown_but_not_judged(rows) -> None:
    table = [*steady(rows), rows.row(9.9, [9.95, 9.96], error="truncated")]
    server = readings(rows, vllm(0, 0, 0), vllm(40, 190, 410))
    found = analysed(rows, table, server)
    tokens = comparison(found, "output_tok")
    assert (tokens.client, tokens.server, tokens.status) == (162, 190, "shown")
    assert check(found, "agree_output_tok") is None
    assert comparison(found, "requests_success").status == "ok"


def test_answers_without_a_count_are_told_and_not_judged(rows) -> None:
    table = steady(rows)
    table[3] |= {"n_out": None}
    server = readings(rows, vllm(0, 0, 0), vllm(40, 160, 400))
    tokens = comparison(analysed(rows, table, server), "output_tok")
    assert (tokens.client, tokens.status) == (156, "shown")
    assert tokens.note == "1 answers came without a count"


def test_a_server_that_restarted_counts_on_from_zero(rows) -> None:
    server = readings(rows, vllm(100, 5000, 900), vllm(110, 5040, 1000), vllm(30, 120, 300))
    assert comparison(analysed(rows, steady(rows), server), "requests_success").server == 40


def test_one_reading_is_no_difference(rows) -> None:
    found = analysed(rows, steady(rows), readings(rows, vllm(1, 2, 3)))
    assert not [c for c in found.server.comparisons if c.id == "requests_success"]


def test_without_metrics_nothing_is_claimed(rows) -> None:
    for server in (None, SERVER_SCHEMA.empty_table()):
        found = analysed(rows, steady(rows), server)
        assert found.server.comparisons == ()
        assert found.server.series == ()
        assert check(found, "agree_requests_success") is None


def test_an_unknown_server_is_kept_but_not_compared(rows) -> None:
    server = readings(rows, {"acme_tokens{}": 1.0}, {"acme_tokens{}": 2.0})
    found = analysed(rows, steady(rows), server)
    assert (found.server.name, found.server.num_readings) == ("", 2)
    assert found.server.comparisons == ()


# -- gauges ------------------------------------------------------------------------------------


def test_ranks_are_added_up_and_the_fullest_cache_counts(rows) -> None:
    page = {
        'vllm:num_requests_running{engine="0"}': 3.0, 'vllm:num_requests_running{engine="1"}': 2.0,
        'vllm:num_requests_waiting{engine="0"}': 4.0,
        'vllm:kv_cache_usage_perc{engine="0"}': 0.2, 'vllm:kv_cache_usage_perc{engine="1"}': 0.9,
    }  # fmt: skip
    found = analysed(rows, steady(rows), readings(rows, page, page, page))
    series = {s.id: (s.t_s, s.value) for s in found.server.series}
    assert series["running"] == ((-2.0, 2.0, 6.0), (5.0, 5.0, 5.0))
    assert series["kv_usage"][1] == (0.9, 0.9, 0.9)
    one = comparison(found, "in_flight")
    assert one.server == 9.0  # running and waiting, readings inside the window
    assert one.client == pytest.approx(40 * 0.13 / 10)
    assert one.status == "shown"


def test_long_points_are_thinned_for_the_picture(rows) -> None:
    pages = [{"vllm:num_requests_running{}": float(k)} for k in range(1000)]
    found = analysed(rows, steady(rows), readings(rows, *pages))
    (series,) = found.server.series
    assert len(series.t_s) == 200
    assert series.value[1] == 5.0


def test_speculation_cache_and_preemptions_are_shown(rows) -> None:
    names = ("prefix_cache_hits", "prefix_cache_queries", "num_preemptions",
             "spec_decode_num_accepted_tokens", "spec_decode_num_draft_tokens")  # fmt: skip
    begin = {f"vllm:{n}_total{{}}": 0.0 for n in names}
    end = dict(zip(begin, (100.0, 400.0, 3.0, 60.0, 80.0), strict=True))
    found = analysed(rows, steady(rows, cached_tok=2), readings(rows, begin, end))
    cached = comparison(found, "cached")
    assert (cached.client, cached.server) == (0.2, 0.25)  # 2 of 10 each; 100 of 400
    assert comparison(found, "accepted").server == 0.75
    assert comparison(found, "preemptions").server == 3


def test_drafts_are_told_by_place_over_replicas(rows) -> None:
    """Drafts of places, two engines added up; absent where no draft was tried."""

    def page(drafts: float, drafted: float, accepted: float, places: list[float]) -> dict:
        told = {"drafts": drafts, "draft_tokens": drafted, "accepted_tokens": accepted}
        found = {f'vllm:spec_decode_num_{k}_total{{engine="0"}}': v for k, v in told.items()}
        for engine in ("0", "1"):
            for place, value in enumerate(places):
                name = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
                found[f'{name}{{engine="{engine}",position="{place}"}}'] = value
        return found

    pages = page(10, 30, 12, [6, 4, 2]), page(110, 330, 162, [66, 54, 42])
    spec = analysed(rows, steady(rows), readings(rows, *pages)).server.speculation
    assert (spec.num_drafts, spec.num_draft_tok, spec.num_accepted_tok) == (100, 300, 150)
    assert spec.accepted_per_pos == (120, 100, 80)  # both engines
    assert spec.mean_length_tok == 2.5
    assert not spec.is_synthetic
    side = analysed(rows, steady(rows), readings(rows, *pages)).server
    assert ServerSide.from_json(json.loads(json.dumps(side.to_json()))) == side
    marked = [p | {"engine:synthetic_acceptance_active{}": 1.0} for p in pages]
    assert analysed(rows, steady(rows), readings(rows, *marked)).server.speculation.is_synthetic
    idle = page(10, 30, 12, [6, 4, 2])
    assert analysed(rows, steady(rows), readings(rows, idle, idle)).server.speculation is None


# -- time to first token -----------------------------------------------------------------------


def told(frontend: float, queue: float, prefill: float) -> str:
    return json.dumps({"frontend_ms": frontend, "queue_ms": queue, "prefill_ms": prefill})


def test_wire_overhead_is_what_the_server_did_not_need(rows) -> None:
    # 100 ms at the client, 2 + 20 + 75 at the server
    found = analysed(rows, steady(rows, timings=told(2, 20, 75)), is_local_target=True)
    median = found.find("wire_overhead", "p50")
    assert median is not None
    assert median.value == pytest.approx(0.003)
    assert (median.unit, median.n, median.population) == ("s", 40, "success")
    assert check(found, "wire_overhead").status == "ok"
    one = comparison(found, "ttft_service")
    assert (one.client, one.server) == (pytest.approx(0.1), pytest.approx(0.097))


def test_a_whole_server_ttft_serves_as_well(rows) -> None:
    found = analysed(rows, steady(rows, timings='{"server_ttft_ms": 90.0, "raw": {}}'))
    assert found.find("wire_overhead", "p50").value == pytest.approx(0.010)


@pytest.mark.parametrize(("is_local", "status"), [(True, "invalid"), (False, "notice")])
def test_a_server_slower_than_its_answer_voids_the_point(rows, is_local, status) -> None:
    found = analysed(rows, steady(rows, timings=told(0, 1, 104)), is_local_target=is_local)
    one = check(found, "wire_overhead")
    assert one.value == pytest.approx(-0.005)
    assert one.status == status
    assert "5.00 ms" in one.sentence
    assert found.is_valid == (not is_local)


def test_few_timings_are_shown_never_judged(rows) -> None:
    table = steady(rows)
    for row in table[:19]:
        row["timings"] = told(0, 1, 104)
    one = check(analysed(rows, table, is_local_target=True), "wire_overhead")
    assert one.status == "ok"
    assert one.value < 0


def test_failures_and_parts_of_timings_have_no_overhead(rows) -> None:
    table = [rows.row(k / 4, [k / 4 + 0.1], error="truncated", timings=told(1, 1, 1))
             for k in range(20)]  # fmt: skip
    table += [rows.row(5 + k / 10, [5.1 + k / 10], timings='{"prefill_ms": 3}') for k in range(20)]
    found = analysed(rows, table)
    assert found.find("wire_overhead", "p50") is None
    assert check(found, "wire_overhead") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"server_ttft_ms": "x"}'])
def test_what_is_no_timing_is_none(rows, text: str) -> None:
    assert analysed(rows, steady(rows, timings=text)).find("wire_overhead", "p50") is None


# -- rate limits -------------------------------------------------------------------------------


def test_the_least_that_was_left_of_each_limit(rows) -> None:
    table = steady(rows)
    for k, row in enumerate(table):
        left = {"ratelimit_remaining_requests": 500 - k, "ratelimit_limit_requests": 500,
                "ratelimit_remaining_tokens": 9000 - 100 * (k % 7)}  # fmt: skip
        row["timings"] = json.dumps(left)
    table.append(rows.row(-1, [-0.9], timings='{"ratelimit_remaining_requests": 3}'))  # warm-up
    limits = {r.what: (r.remaining_min, r.limit) for r in analysed(rows, table).server.rate_limits}
    assert limits == {"requests": (461, 500), "tokens": (8400, None)}
