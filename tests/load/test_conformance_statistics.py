"""Pitfalls of what is measured and over whom, end to end: stalls, warm-up, cuts, small samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.load import LoadProcess

from .cases import MS, run_cases, statuses, summary_of

pytestmark = pytest.mark.e2e


def test_11_a_stall_of_the_server_reaches_the_tail_of_open_load(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    """A second of silence in every four: a window of eight holds two seconds of it, whatever its
    phase, and a request that meets it waits for half a second on average."""
    outage = {"kind": "stall", "start": "0s", "duration": "1s", "every": "4s"}
    script = {"outages": [outage], "timing": {"ttft": "2ms", "gap": "1ms"}}
    run = run_cases(load_process, tmp_path, {"plain": (480, {})}, rate=60, script=script, out=1)
    frame = run.frame()
    ttft_s = frame.first_token_s - frame.intended_s
    assert len(ttft_s) == 480
    # 480 requests in 8 s, two stalls: each holds back 60, evenly late by up to a second
    assert np.quantile(ttft_s, 0.99) > 0.8
    assert int((ttft_s > 0.02).sum()) >= 100
    # nobody waited for an answer before sending: the stall did not thin the load
    gaps_s = np.diff(np.sort(frame.intended_s))
    assert np.allclose(gaps_s, 1 / 60, atol=1e-6)


def test_21_prompts_differ_from_their_first_words_and_warm_up_is_apart(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    cases = {"warm": (20, {}), "measured": (30, {"usage": {"cached_tok": 3}})}
    run = run_cases(load_process, tmp_path, cases, rate=40, load={"warmup": "500ms"})
    openings = [log.opening[:30] for log in run.logs]
    assert len(openings) > 60
    assert len(set(openings)) == len(openings)
    assert {row["phase"] for row in run.rows("warm")} == {"warmup"}
    # hits are told beside ttft, which stands: 3 of some 30 prompt tokens
    found = run.analyse("measured", unique_classes=("chat",))
    check = next(c for c in found.checks if c.code == "cached")
    assert check.status == "notice"
    assert "ttft is too good" in check.sentence


def test_22_a_slow_start_lies_outside_the_window(load_process: LoadProcess, tmp_path: Path) -> None:
    slow = {"timing": {"ttft": "700ms", "gap": "1ms"}}
    cases = {"cold": (50, slow), "warm": (60, {})}
    run = run_cases(load_process, tmp_path, cases, rate=50, load={"warmup": "1s"}, out=2)
    assert {row["phase"] for row in run.rows("cold")} == {"warmup"}
    found = summary_of(run.point, run.point.rows)
    assert found.counts["requests"] == 110  # as many as were asked for, after the warm-up
    measured = [row for row in run.point.rows if row["phase"] == "measured"]
    assert not {row["request_id"] for row in measured} & {r["request_id"] for r in run.rows("cold")}


def test_25_what_the_deadline_cuts_is_counted_and_censored(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    endless = {"timing": {"ttft": "10ms", "stall": {"at": 2, "duration": "60s"}}}
    cases = {"quick": (57, {}), "endless": (3, endless)}
    load = {"cooldown": "600ms", "drain": "300ms"}
    run = run_cases(load_process, tmp_path, cases, rate=60, load=load)
    rows = run.rows("endless")
    assert {row["error_class"] for row in rows} == {"cut"}
    assert all(len(row["chunk_ns"]) == 2 for row in rows)  # it saw tokens: they count for ttft
    found = run.analyse()
    assert (found.counts["cut"], found.counts["valid"]) == (3, 57)
    assert found.find("error_rate", "ratio").value == 0.0  # type: ignore[union-attr]
    assert statuses(found)["cut"] == "notice"
    assert "Kaplan-Meier" in found.find("e2e_latency", "p50").method  # type: ignore[union-attr]
    # more than a twentieth cut: the end of the run shapes the tail, so there is none
    many = summary_of(run.point, run.rows("quick")[:20] + rows)
    assert statuses(many)["cut"] == "absent"
    assert many.find("e2e_latency", "p50").value is None  # type: ignore[union-attr]


def test_26_fifty_requests_carry_no_p99_and_two_shards_are_one_sample(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    run = run_cases(load_process, tmp_path, {"plain": (50, {})}, rate=60, out=2)
    found = run.analyse()
    p99 = found.find("ttft", "p99", population="valid")
    assert p99 is not None
    assert p99.value is None
    assert p99.reason
    # whoever sent them: rows are pooled, so the numbers cannot depend on the shards
    dealt = [row | {"worker": k % 2} for k, row in enumerate(run.rows())]
    assert summary_of(run.point, dealt).estimates == found.estimates


def test_offered_beyond_the_capacity_withholds_latency_and_voids_nothing(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    """One server of 60 ms a request, 80 requests a second: the backlog grows by five in six."""
    slow: dict[str, Any] = {"timing": {"ttft": "59ms", "gap": "1ms"}}
    load = {"cooldown": "100ms", "drain": "200ms"}
    script = {"servers": 1} | slow
    run = run_cases(
        load_process, tmp_path, {"plain": (240, {})}, rate=80, script=script, load=load, out=2
    )
    found = run.analyse()
    assert not found.is_stable
    assert statuses(found)["capacity"] == "absent"
    assert found.find("ttft", "p50").value is None  # type: ignore[union-attr]
    assert found.backlog[1] > 100
    assert max(row["intended_ns"] for row in run.rows()) - min(
        row["intended_ns"] for row in run.rows()
    ) == pytest.approx(239 / 80 * 1000 * MS, rel=1e-6)
