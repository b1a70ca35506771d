"""Baselines are only ever appended to; quarantine is a line; what cannot be read is told."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.records import (
    Session,
    baseline_names,
    baseline_path,
    read_calibrations,
    read_sessions,
    save_calibration,
    save_session,
    set_quarantine,
)


def session(run_id: str, value: float = 0.1) -> Session:
    return Session(
        run_id, "2026-11-27T10:00:00+00:00", "k" * 64, "abc", {"facts": {}, "lengths": {}},
        {"main/ttft/p50": (value, value * 1.01)},
    )  # fmt: skip


def test_sessions_are_appended_in_order_and_read_back_equal(tmp_path: Path) -> None:
    for i in range(3):
        save_session(tmp_path, "main", session(f"r{i}", 0.1 + i))
    before = baseline_path(tmp_path, "main").read_bytes()
    save_session(tmp_path, "main", session("r3"))
    assert baseline_path(tmp_path, "main").read_bytes().startswith(before)
    found = read_sessions(tmp_path, "main")
    assert found[:3] == tuple(session(f"r{i}", 0.1 + i) for i in range(3))
    assert baseline_names(tmp_path) == ("main",)
    assert baseline_names(tmp_path / "none") == ()


def test_quarantine_is_a_line_that_another_lifts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_session(tmp_path, "main", session(name))
    set_quarantine(tmp_path, "main", "a", "busy host", "t1")
    assert [s.quarantine for s in read_sessions(tmp_path, "main")] == ["busy host", ""]
    set_quarantine(tmp_path, "main", "a", "", "t2")
    assert [s.quarantine for s in read_sessions(tmp_path, "main")] == ["", ""]
    assert len(baseline_path(tmp_path, "main").read_text("utf-8").splitlines()) == 4
    with pytest.raises(UsageError, match="no session of run 'c'"):
        set_quarantine(tmp_path, "main", "c", "why", "t3")


def test_a_session_saved_again_stays_in_quarantine(tmp_path: Path) -> None:
    save_session(tmp_path, "main", session("a"))
    set_quarantine(tmp_path, "main", "a", "busy host", "t1")
    save_session(tmp_path, "main", session("a", 0.2))
    assert read_sessions(tmp_path, "main") == (replace(session("a", 0.2), quarantine="busy host"),)


def test_a_reason_may_hold_what_others_take_for_a_line_end(tmp_path: Path) -> None:
    save_session(tmp_path, "main", session("a"))
    reason = "busy\u2028host\u0085\nand\x0bmore"
    set_quarantine(tmp_path, "main", "a", reason, "t1")
    assert [s.quarantine for s in read_sessions(tmp_path, "main")] == [reason]


def test_a_line_that_a_full_disk_cuts_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_session(tmp_path, "main", session("a"))
    before, write = baseline_path(tmp_path, "main").read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: write(handle, data[:20]))
        with pytest.raises(UsageError, match="the disk is full"):
            save_session(tmp_path, "main", session("b"))
    assert baseline_path(tmp_path, "main").read_bytes() == before


@pytest.mark.parametrize(
    "line", ["{", "[]", json.dumps({"schema": "harness/baseline/v9", "kind": "session"})]
)
def test_a_line_that_cannot_be_read_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    save_session(tmp_path, "main", session("a"))
    with baseline_path(tmp_path, "main").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(UsageError) as error:
        read_sessions(tmp_path, "main")
    assert "line 2" in error.value.where


@pytest.mark.parametrize("name", ["../main", "a/b", ".hidden", ""])
def test_a_name_is_a_plain_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a name for a baseline"):
        baseline_path(tmp_path, name)


def test_a_baseline_that_is_not_there_says_what_is(tmp_path: Path) -> None:
    save_session(tmp_path, "main", session("a"))
    with pytest.raises(UsageError) as error:
        read_sessions(tmp_path, "mian")
    assert "there are: main" in error.value.why


def test_calibrations_are_lines_too(tmp_path: Path) -> None:
    assert read_calibrations(tmp_path) == ()
    save_calibration(tmp_path, {"key": "k", "sigma": {"main/ttft/p50": 0.03}})
    save_calibration(tmp_path, {"key": "k", "sigma": {"main/ttft/p50": 0.02}})
    assert [c["sigma"]["main/ttft/p50"] for c in read_calibrations(tmp_path)] == [0.03, 0.02]
