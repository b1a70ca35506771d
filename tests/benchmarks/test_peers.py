"""The pure parts of the comparison with other tools: their exports, the truth, the arithmetic.

The snippets keep the shape, names and units of real exports of the releases named in the drivers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.peer_tools import aiperf, genai_bench, guidellm, ours, ours_cold
from benchmarks.peer_tools.base import Job, Reported
from benchmarks.peer_tools.table import tables
from benchmarks.peer_tools.truth import errors_ms, truth_of

ROOT = Path(__file__).parents[2]


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


# -- exports -----------------------------------------------------------------------------------


def test_aiperf_reports_milliseconds_and_request_ids(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts" / "scripted-openai-chat-concurrency4"
    summary = {
        "request_count": {"unit": "requests", "avg": 2.0},
        "error_request_count": {"unit": "requests", "avg": 1.0},
        "time_to_first_token": {"unit": "ms", "avg": 207.0, "p50": 203.0, "p99": 224.0},
        "inter_token_latency": {"unit": "ms", "avg": 20.5, "p50": 20.0, "p99": 22.0},
        "inter_chunk_latency": {"unit": "ms", "avg": 20.1, "p50": 19.9, "p99": 27.0},
    }
    rows = [
        {"metadata": {"x_request_id": "w", "benchmark_phase": "warmup"}, "metrics": {}},
        {"metadata": {"x_request_id": "a", "benchmark_phase": "profiling"}, "metrics": {}},
        {"metadata": {"x_request_id": "b", "benchmark_phase": "profiling"}, "metrics": {}},
        {
            "metadata": {"x_request_id": "c", "benchmark_phase": "profiling"},
            "error": {"code": 500},
        },
    ]
    write(folder / "profile_export_aiperf.json", summary)
    write(folder / "profile_export.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    reported = aiperf.read(tmp_path)
    assert reported.num_requests == 2
    assert reported.ttft_s == pytest.approx({"mean": 0.207, "p50": 0.203, "p99": 0.224})
    assert reported.gap_s == pytest.approx({"mean": 0.0205, "p50": 0.02, "p99": 0.022})
    assert reported.chunk_gap_s == pytest.approx({"mean": 0.0201, "p50": 0.0199, "p99": 0.027})
    assert reported.requests == {"a", "b"}
    assert reported.remark == "1 failed"


def test_guidellm_is_matched_by_the_endpoints_own_ordinals(tmp_path: Path) -> None:
    def summary(mean: float, p50: float, p99: float) -> dict[str, Any]:
        stats = {"mean": mean, "median": p50, "percentiles": {"p50": p50, "p99": p99}}
        return {"successful": stats, "errored": {}, "incomplete": {}}

    metrics = {
        "request_totals": {"successful": 2, "errored": 0, "incomplete": 3, "total": 5},
        "time_to_first_token_ms": summary(209.0, 207.0, 221.0),
        "inter_token_latency_ms": summary(20.0, 20.5, 21.0),
    }
    done = [{"response_id": f"chatcmpl-{i:024x}"} for i in (0, 31)]
    requests = {"successful": done, "errored": [], "incomplete": []}
    warnings = [{"code": "generation_delay_ttft", "message": "mean generation delay was 1%"}]
    benchmark = {"metrics": metrics, "requests": requests, "warnings": warnings}
    write(tmp_path / "bench.json", {"benchmarks": [benchmark]})
    reported = guidellm.read(tmp_path)
    assert reported.ttft_s == pytest.approx({"mean": 0.209, "p50": 0.207, "p99": 0.221})
    assert reported.gap_s == pytest.approx({"mean": 0.02, "p50": 0.0205, "p99": 0.021})
    assert reported.chunk_gap_s == {}
    assert reported.requests == {0, 31}
    assert (reported.num_requests, reported.remark) == (
        2,
        "3 failed or unfinished; the tool warns: mean generation delay was 1%",
    )


def test_genai_bench_reports_seconds_and_no_ids(tmp_path: Path) -> None:
    stats = {
        "ttft": {"mean": 0.21, "p50": 0.211, "p99": 0.22, "stddev": 0.005},
        "tpot": {"mean": 0.0202, "p50": 0.0201, "p99": None},
    }
    aggregated = {"num_completed_requests": 20, "num_error_requests": 0, "stats": stats}
    name = "D100_32_text-to-text_num_concurrency_4_time_4s.json"
    write(tmp_path / "experiment" / name, {"aggregated_metrics": aggregated})
    write(tmp_path / "experiment" / "experiment_metadata.json", {})
    reported = genai_bench.read(tmp_path)
    assert reported.ttft_s == {"mean": 0.21, "p50": 0.211, "p99": 0.22}
    assert reported.gap_s == {"mean": 0.0202, "p50": 0.0201}
    assert (reported.num_requests, reported.requests) == (20, None)


def test_ours_fills_a_withheld_p99_from_its_rows_and_says_so(tmp_path: Path) -> None:
    def estimate(metric: str, population: str, stat: str, value: float | None) -> dict[str, Any]:
        return {
            "metric": metric, "population": population, "stat": stat, "value": value,
            "scope": "all", "reason": "" if value else "14.8% uncertain (limit 5 %): add workers",
        }  # fmt: skip

    estimates = [
        estimate("ttft", "success", "p50", 0.2),
        estimate("ttft", "success", "p99", None),
        estimate("ttft", "valid", "p50", 9.0),
        estimate("tpot", "success", "p50", 0.01),
        estimate("itl", "gaps", "p50", None),
        estimate("itl", "gaps", "p99", None),
    ]
    point = {"estimates": estimates, "validity": "invalid", "counts": {"success": 2}}
    run = tmp_path / "runs" / "latest"
    write(run / "summary.json", {"points": [point]})
    (run / "points" / "000-main").mkdir(parents=True)
    rows = [
        ("warmup", "", "w", 900), ("measured", "", "a", 200), ("measured", "", "b", 300),
        ("measured", "truncated", "c", 900),
    ]  # fmt: skip
    table = [
        {
            "phase": phase, "error_class": error, "request_id": name, "intended_ns": 0, "n_out": 3,
            "n_first": 1, "first_token_ns": ttft * 10**6, "last_token_ns": (ttft + 20) * 10**6,
            "chunk_ns": [(ttft + at) * 10**6 for at in (0, 8, 20)],
        }
        for phase, error, name, ttft in rows
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(table), run / "points" / "000-main" / "requests.parquet")
    reported = ours.read(tmp_path)
    # type 7 between 200 and 300 ms at 0.99: 299 ms
    assert reported.ttft_s == pytest.approx({"p50": 0.2, "p99": 0.299})
    assert reported.gap_s == pytest.approx({"p50": 0.01, "p99": 0.01})
    # withheld for another reason than the number of requests: not filled in
    assert reported.chunk_gap_s == {}
    assert reported.computed == {"ttft_s.p99", "gap_s.p99"}
    assert reported.requests == {"a", "b"}
    assert reported.num_requests == 2
    assert reported.remark == "the tool says: invalid; withholds itl: 14.8% uncertain (limit 5 %)"


# -- the truth ---------------------------------------------------------------------------------


def served(ordinal: int, ttft_ms: int, gaps_ms: list[int], **other: Any) -> dict[str, Any]:
    """A row of the endpoint's log: role at once, then the tokens, then finish and usage."""
    start = 5_000_000_000 + ordinal
    sends = [start, start + ttft_ms * 10**6]
    for gap in gaps_ms:
        sends.append(sends[-1] + gap * 10**6)
    row = {
        "ordinal": ordinal, "request_id": f"r{ordinal}", "status": 200, "outcome": "done",
        "output_tok": len(gaps_ms) + 1, "recv_ns": start, "send_ns": [*sends, sends[-1], sends[-1]],
    }  # fmt: skip
    return row | other


def test_truth_is_about_exactly_the_tools_requests() -> None:
    log = [
        served(0, 900, [90, 90]),  # a warm-up
        served(1, 200, [20, 22]),
        served(2, 300, [20, 40]),
        served(3, 900, [90, 90], outcome="client_closed"),
        served(4, 900, []),  # a probe of one token
    ]
    for known in (frozenset({"r1", "r2"}), frozenset({1, 2})):
        truth = truth_of(log, Reported(2, {}, {}, requests=known), 3)
        assert (truth.num_served, truth.num_requests) == (4, 2)
        # [200, 300]: type 7 p50 250, p99 299
        assert truth.ttft_s == pytest.approx({"mean": 0.25, "p50": 0.25, "p99": 0.299})
        # means of each request: 21 and 30
        assert truth.gap_s == pytest.approx({"mean": 0.0255, "p50": 0.0255, "p99": 0.02991})
        # gaps 20, 20, 22, 40: p50 21; p99 at 2.97: 22 + 0.97 * 18 = 39.46
        assert truth.chunk_gap_s == pytest.approx({"mean": 0.0255, "p50": 0.021, "p99": 0.03946})


def test_without_ids_all_finished_answers_of_that_length_count() -> None:
    log = [served(0, 200, [20, 20]), served(1, 300, [20, 20], outcome="client_closed")]
    assert truth_of(log, Reported(1, {}, {}), 3).num_requests == 1


def test_no_request_of_the_tool_in_the_log_leaves_nothing_to_compare() -> None:
    reported = Reported(1, {"p50": 0.2}, {}, requests=frozenset({"other"}))
    truth = truth_of([served(0, 200, [20, 20])], reported, 3)
    assert truth.num_requests == 0
    assert errors_ms(reported, truth)["ttft_s"] == {}


def test_error_is_reported_minus_true_in_ms() -> None:
    reported = Reported(1, {"p50": 0.2105, "p99": 0.199}, {"mean": 0.021})
    errors = errors_ms(reported, truth_of([served(0, 200, [20, 20])], reported, 3))
    assert errors["ttft_s"] == pytest.approx({"p50": 10.5, "p99": -1.0})
    assert errors["gap_s"] == pytest.approx({"mean": 1.0})
    assert errors["chunk_gap_s"] == {}


# -- the table ---------------------------------------------------------------------------------


def test_a_table_shows_losses_failures_and_what_is_not_reported() -> None:
    row = {
        "tool": "A", "num_streams": 4, "cpu_s": 2.0, "wall_s": 9.0, "num_requests": 16,
        "num_served": 20, "computed": ["ttft_s.p99"], "remark": "the tool says: invalid",
        "error_ms": {"ttft_s": {"p50": 1.0, "p99": -2.0}, "gap_s": {"p50": 0.5}, "chunk_gap_s": {}},
        "true": {"ttft_s": {"p50": 0.2, "p99": 0.21}},
    }  # fmt: skip
    more = row | {"num_streams": 8, "cpu_s": 12.0, "num_served": 1020}
    lost = {"tool": "B", "num_streams": 8, "cpu_s": 1.0, "wall_s": 2.0, "failed": "exit 1: no"}
    text = tables([row, more, lost])
    assert "**4 concurrent streams**" in text
    assert (
        "| A | 16 (20 served) | 2.0 | 100.0 | +1.000 / -2.000* | n/r / +0.500 / n/r | n/r |"
        " 200.00 / 210.00 | 9.0 | the tool says: invalid |"
    ) in text
    assert "| B | - | 1.0 | - | - | - | - | - | 2.0 | exit 1: no |" in text
    # (12 - 2) s over 1,000 requests; 999 would be too few to tell it from the noise of a start
    assert "- A: 10.0 ms CPU for each further request (from 20 to 1020" in text
    assert "further request" not in tables([row, more | {"num_served": 1019}])


@pytest.mark.parametrize("driver", [ours, ours_cold, aiperf, guidellm, genai_bench])
def test_commands_name_the_endpoint_load_and_size(driver: Any, tmp_path: Path) -> None:
    job = Job("http://127.0.0.1:9/v1", tmp_path, 7, 123, 45, 60.0, tmp_path)
    told = " ".join(driver.command(job, tmp_path))
    told += "".join(path.read_text() for path in tmp_path.glob("*.yaml"))
    assert "http://127.0.0.1:9" in told
    assert "123" in told
    assert "7" in told


# -- the supervisor ----------------------------------------------------------------------------

# a tool that leaves a busy child behind, in a session of its own
ORPHANS = """
import os, sys, time
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    while time.process_time() < 0.2: pass
    os.write(writer, str(os.getpid()).encode())
    time.sleep(600)
open(sys.argv[1], "wb").write(os.read(reader, 20))
sys.exit(3)
"""


def test_the_supervisor_counts_and_ends_orphans(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "peer_tools" / "supervise.py"
    result, output, pid_file = (tmp_path / name for name in ("cost.json", "out.txt", "pid"))
    subprocess.run(
        [sys.executable, "-P", script, "60", result, output, sys.executable, "-c", ORPHANS,
         pid_file],
        check=True, timeout=100,
    )  # fmt: skip
    cost = json.loads(result.read_text())
    assert (cost["rc"], cost["timed_out"]) == (3, False)
    assert cost["cpu_s"] >= 0.2
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
