"""The pure parts of the comparison with other engines, and both of ours through its real path."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engine import _sizes
from benchmarks.engines import tables
from benchmarks.engines.base import Worker, job
from benchmarks.engines.page import render
from benchmarks.engines.results import Results
from benchmarks.engines.servers import our_server, usage_of

ROOT = Path(__file__).parents[2]


def row(engine: str, workload: str, *turns: tuple[float, float, int, int]) -> dict[str, Any]:
    keys = ("wall_s", "cpu_s", "num_in", "num_out")
    made = [dict(zip(keys, turn, strict=True)) for turn in turns]
    return {"engine": engine, "workload": workload, "level": 4, "sizes": (16, 24), "turns": made}


def test_decode_points_count_generated_tokens_and_prefill_points_prompt_tokens() -> None:
    turns = [(2.0, 1.0, 64, 96), (1.0, 1.0, 64, 96)]
    assert tables.rates(row("a", "decode", *turns)) == [48.0, 96.0]
    assert tables.rates(row("a", "prefill", *turns)) == [32.0, 64.0]
    assert tables.rate_per_cpu_s(row("a", "decode", *turns)) == 96.0


def test_a_ratio_is_of_medians_and_engines_that_did_not_run_leave_no_row() -> None:
    ours = row("ours", "decode", (1.0, 1.0, 64, 96), (2.0, 1.0, 64, 96), (4.0, 1.0, 64, 96))
    theirs = row("theirs", "decode", (4.0, 2.0, 64, 96))
    page = tables.comparison([ours, theirs], "ours", "theirs", "title")
    # medians 48 and 24 tok/s; 96 and 48 tokens a CPU-second
    assert "| decode-heavy, 16 in, 24 out | 4 | 48 (24-96) | 24 | **2.00** | 2.00 |" in page
    assert tables.comparison([ours], "ours", "theirs", "title") == ""


def test_jobs_repeat_share_no_beginning_and_stay_within_bounds() -> None:
    asked = job("decode", 8, (16, 24), 2048, seed=1)
    assert asked == job("decode", 8, (16, 24), 2048, seed=1)
    assert len({ids[0] for ids in asked.prompts}) > 4
    assert asked.prompts != job("decode", 8, (16, 24), 2048, seed=2).prompts
    for level in (1, 4, 16, 64):
        num_in, num_out = _sizes("prefill", level, "smollm2")
        assert num_in * level <= 3072
        assert num_in >= 16 * num_out


def test_usage_is_the_last_of_a_stream() -> None:
    raw = (
        b'HTTP/1.1 200 OK\r\n\r\n5\r\ndata: {"usage":null}\n\n\r\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
        b"data: [DONE]\n\n"
    )
    assert usage_of(raw) == {"prompt_tokens": 3, "completion_tokens": 2}
    with pytest.raises(RuntimeError, match="without usage"):
        usage_of(b"HTTP/1.1 500 oops\r\n\r\n")


MACHINE = {
    "date": "today", "num_cpus": 2, "cpu": "x", "python": "3", "versions": {},
    "load_average_before": 0.1,
}  # fmt: skip


def test_what_is_missing_is_said_on_the_page() -> None:
    results = Results(machine=MACHINE)
    page = render(results, ["tiny decode at 4"], {"f32": "xllamacpp not installed"})
    assert "Not run: xllamacpp not installed." in page
    assert "Not measured, the time was up: tiny decode at 4." in page


def test_results_grow_by_parts_and_forget_what_other_code_has_measured(tmp_path: Path) -> None:
    file = tmp_path / "below" / "results.json"
    rows = [
        row("ours", "decode", (1.0, 1.0, 64, 96)),
        row("transformers", "decode", (2, 1, 64, 96)),
    ]
    first = Results.at(file, "a")
    first.machine = MACHINE
    first.add("tiny decode at 4", rows, time.perf_counter() - 2, load_before=0.3)
    second = Results.at(file, "a")
    second.machine = MACHINE
    second.add("tiny prefill at 4", [], time.perf_counter(), load_before=1.5)
    assert [*Results.at(file, "a").parts] == ["tiny decode at 4", "tiny prefill at 4"]
    assert Results.at(file, "a").wall_s >= 2
    assert not Results.at(file, "b").parts
    assert not Results.at(file, "a", is_fresh=True).parts
    page = render(second, [], {})
    assert "| decode-heavy, 16 in, 24 out | 4 | 96 | 48 | **2.00** | 1.00 |" in page
    assert "load average before a part 0.3 to 1.5" in page


@pytest.mark.slow
def test_our_engine_answers_as_a_library_and_as_a_server() -> None:
    asked = job("decode", 3, (16, 4), 2048, seed=0)
    worker = Worker("ours", ["--engine", "ours", "--model", "tiny"])
    server = our_server("our server", "tiny", "float32")
    try:
        for engine in (worker, server):
            outcome = engine.run(asked)
            assert (outcome.num_in, outcome.num_out) == (48, 12)
            assert outcome.wall_s > 0
            assert outcome.cpu_s > 0
    finally:
        worker.close()
        server.close()


@pytest.mark.slow
def test_the_split_of_a_step_adds_up() -> None:
    command = [sys.executable, "-m", "benchmarks.engines.steps", "--levels", "2", "--tokens", "6"]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True
    )
    (found,) = json.loads(ended.stdout.strip().splitlines()[-1])
    inside = ("scheduler", "build", "forward", "sample", "rest of step")
    for parts in (found["us"], found["cpu_us"]):
        assert sum(parts[name] for name in inside) == pytest.approx(parts["step"])
        assert min(parts.values()) > 0
        assert {"detokenise", "word", "send"} <= parts.keys()
    assert found["cpu_us"]["step"] <= found["us"]["step"]
    assert 6 <= found["num_steps"] <= 12
