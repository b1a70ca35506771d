"""The GPU benchmark, rehearsed: stages leave points, no point is measured twice, bars are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton is not installed")
from benchmarks.gpu_stages import report, speculation
from benchmarks.gpu_stages.base import TOY, Context, read_points

ROOT = Path(__file__).parents[2]


def rehearse(
    folder: Path, *args: str, packages: Path | None = None
) -> subprocess.CompletedProcess[str]:
    own = os.environ.get("PYTHONPATH", "")  # packages may have been carried here, as to a GPU
    paths = [str(path) for path in (packages, ROOT, own) if path]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--out", str(folder), *args],
        capture_output=True, text=True, timeout=280, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip


@pytest.mark.slow
def test_a_rehearsal_leaves_points_and_a_page_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = rehearse(tmp_path, "--stages", "ceilings,decode-8b")
    assert first.returncode == 0, first.stderr
    decode = read_points(tmp_path / "decode-8b.jsonl")
    assert [p["key"] for p in decode[:2]] == ["B=1 C=8", "B=2 C=8"]
    for point in decode[:2]:
        assert point["tok_per_s"] > 0
        assert 0 < point["roofline_ratio"] < 1  # the interpreter is far from this CPU's limits
        assert 0 <= point["idle_ratio"] < 1
    assert {p["key"] for p in decode} >= {"profile B=1"}
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["about"]["is_rehearsal"]
    assert {bar["is_met"] for bar in told["bars"]} == {None}  # toy sizes meet and miss nothing
    page = (tmp_path / "results.md").read_text()
    assert "Figures of a GPU are still open" in page
    # One point is lost: only it is measured again.
    kept = (tmp_path / "decode-8b.jsonl").read_text().splitlines()
    (tmp_path / "decode-8b.jsonl").write_text("\n".join(kept[1:]) + '\n{"key": "cut\n')
    second = rehearse(tmp_path, "--stages", "decode-8b")
    assert second.returncode == 0, second.stderr
    measured = [line for line in second.stdout.splitlines() if line.startswith("decode-8b  ")]
    assert len(measured) == 1
    assert "B=1 C=8" in measured[0]


@pytest.mark.slow
def test_a_stage_that_fails_a_missing_wheel_and_no_time_left_are_told(tmp_path: Path) -> None:
    absent, out = tmp_path / "absent", tmp_path / "out"
    absent.mkdir()
    (absent / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.modules['transformers'] = None  # as if it were not installed\n"
        "sys.modules['benchmarks.gpu_stages.ceilings'] = None  # importing it raises\n"
    )
    done = rehearse(out, "--stages", "ceilings,transformers-8b", packages=absent)
    assert done.returncode == 0, done.stderr
    points = {p["key"]: p for p in read_points(out / "transformers-8b.jsonl")}
    assert points["ours"]["tok_per_s"] > 0, "it ran, though a stage before it failed"
    assert points["transformers"]["skipped"] == "transformers is not installed"
    page = (out / "results.md").read_text()
    assert "ceilings | exit code 1: ModuleNotFoundError" in page
    assert "transformers is not installed" in page
    late = rehearse(out, "--stages", "ceilings", "--minutes", "0.2")
    assert "not run ceilings: 0 s were left" in late.stdout
    again = rehearse(out, "--stages", "ceilings")
    assert "not run" not in again.stdout
    assert len(read_points(out / "ceilings.jsonl")) == 5


def test_speculation_at_a_given_acceptance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine_under_test.kernels.attention.NUM_PROGRAMS", 4)
    ctx = Context("speculation", tmp_path, TOY, 200)
    speculation.run(ctx, "llama-8b")
    points = {p["key"]: p for p in read_points(tmp_path / "speculation.jsonl")}
    assert points["a=0 k=0 B=2"]["tokens_a_step"] == 1
    assert points["a=0.8 k=3 B=2"]["tokens_a_step"] > 1


def points_of(ratio: float, idle: float, ttft_s: float | None) -> dict[str, list[dict[str, Any]]]:
    decode = [
        {"key": f"B={b} C=1024", "roofline_ratio": ratio, "idle_ratio": idle}
        for b in (1, 32, 64, 128)
    ]
    decode += [{"key": f"profile B={b}", "between_kernels_ratio": 0.1, "kernels": []} for b in (1,)]
    return {
        "decode-8b": decode,
        "prefill-8b": [{"key": f"S={s}", "matmul_ratio": r} for s, r in ((512, 0.5), (8192, 0.61))],
        "transformers-8b": [
            {"key": "ours", "tok_per_s": 310.0}, {"key": "transformers", "tok_per_s": 100.0},
        ],
        "serve-8b": [{"key": "70 % of capacity", "ttft_p99_s": ttft_s}],
        "correctness": [{"key": "draw", "ok": True}],
    }  # fmt: skip


def test_bars_are_met_missed_or_open() -> None:
    assert [b.is_met for b in report.bars(points_of(0.81, 0.01, 0.09))] == [True] * 7
    missed = report.bars(points_of(0.76, 0.05, None))
    assert [b.is_met for b in missed] == [False, True, True, False, True, None, True]
    assert {b.is_met for b in report.bars({})} == {None}
    head = {
        "command": "x",
        "about": {},
        "not_run": [{"stage": "decode-1b", "why": "3 s were left"}],
    }
    page = report.page(head, points_of(0.76, 0.05, None))
    assert "**not met**" in page
    assert "3 s were left" in page


def test_without_a_gpu_it_says_what_to_do(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "none")],
        capture_output=True, text=True, timeout=120, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--rehearse" in done.stdout
    assert not (tmp_path / "none").exists()
