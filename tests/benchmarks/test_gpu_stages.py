"""Parts of the GPU benchmark by themselves: what does not fit, fails, or is too old is said."""

from __future__ import annotations

import argparse
import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton is not installed")
from benchmarks import gpu
from benchmarks.gpu_stages import card, check, decode, engines, report, rival
from benchmarks.gpu_stages.base import TOY, Context, DoesNotFit, read_points

H100 = (84_900_000_000, 85_500_000_000)  # bytes free and in all, of a card of 80 GB
H200 = (150_000_000_000, 150_700_000_000)


def context(folder: Path, stage: str = "decode-8b") -> Context:
    return Context(stage, folder, TOY, 100)


@pytest.mark.parametrize(
    ("card_bytes", "shape", "quantization", "fits"),
    [
        (H100, "llama-8b", None, True),
        (H100, "llama-70b", "fp8", True),  # 68.5 + 2 * 2.1 GB, and 8.6 for steps, of 84.9
        (H100, "llama-70b", None, False),
        (H200, "llama-70b", None, False),  # 141 GB, and 15 for steps, of 150
        ((70_000_000_000, H100[1]), "llama-70b", "fp8", False),
    ],
)
def test_a_model_is_loaded_only_where_the_card_has_room(
    card_bytes: tuple[int, int], shape: str, quantization: str | None, fits: bool
) -> None:
    if fits:
        engines.check_room(shape, "bfloat16", quantization, card_bytes)
        return
    with pytest.raises(DoesNotFit, match=r"llama-70b in \w+ needs \d+ GB, .* of the card's \d+ GB"):
        engines.check_room(shape, "bfloat16", quantization, card_bytes)


def test_a_stage_whose_model_does_not_fit_is_skipped_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine_under_test.kernels.attention.NUM_PROGRAMS", 4)

    def run(*_: object) -> None:
        raise DoesNotFit("llama-70b in fp8 needs 81 GB, 70 of the card's 86 GB are free")

    monkeypatch.setattr(decode, "run", run)
    monkeypatch.setattr(gpu, "end_with_parent", lambda: None)  # here it is pytest's own
    args = argparse.Namespace(child="decode-70b-fp8", out=tmp_path, rehearse=True, deadline_s=9.0)
    assert gpu._child(args) == 0
    (point,) = read_points(tmp_path / "decode-70b-fp8.jsonl")
    assert point["skipped"].startswith("llama-70b in fp8 needs 81 GB")
    page = report.page({"command": "x", "about": {}}, {"decode-70b-fp8": [point]})
    assert "needs 81 GB" in page


def test_a_cell_that_fails_costs_no_other_and_is_tried_last_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, tried = [], []

    def measure(ctx: Context, core: int, batch: int, context: int) -> dict[str, Any]:
        tried.append((batch, core))
        if batch == 1 and len(made) == 1:
            raise MemoryError("out of memory")
        return {"tok_per_s": 1.0}

    monkeypatch.setattr(engines, "make", lambda *_, **__: made.append(1) or len(made))
    monkeypatch.setattr(
        engines, "lacking", lambda core, b, c, s: "needs 9 GB" if (b, c) == (2, 8) else ""
    )
    monkeypatch.setattr(decode, "_measure", measure)
    monkeypatch.setattr(decode, "_profile", lambda *_: {"kernels": []})
    decode.run(context(tmp_path), "llama-8b", "", "all")
    assert tried == [(1, 1), (1, 2), (2, 2)]  # the spoilt engine was made anew
    points = {p["key"]: p for p in read_points(tmp_path / "decode-8b.jsonl")}
    assert points["B=1 C=8"]["failed"] == "MemoryError: out of memory"
    assert points["B=2 C=8"]["skipped"] == "needs 9 GB"
    assert points["B=2 C=20"]["tok_per_s"] == 1.0
    tried.clear()
    again = context(tmp_path)
    assert again.has_failed("B=1 C=8")
    decode.run(again, "llama-8b", "", "all")
    assert tried == [(1, 3)]


def test_a_lost_device_ends_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)

    def lost() -> None:
        raise RuntimeError("an illegal memory access was encountered")

    def measure() -> dict[str, Any]:
        raise RuntimeError("launch failed")

    monkeypatch.setattr(Context, "sync", lambda _: lost())
    with pytest.raises(RuntimeError, match="illegal memory access"):
        ctx.attempt("B=1 C=8", measure, batch=1)
    (point,) = read_points(tmp_path / "decode-8b.jsonl")
    assert point["failed"] == "RuntimeError: launch failed"
    assert point["batch"] == 1


def test_what_an_engine_held_is_free_for_the_next_one(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    core = engines.make(ctx, "llama-8b")
    requests = engines.as_if_prefilled(core, 2, 8, decode.FOREVER)
    cache = weakref.ref(core._runner._attention._kv[0])  # type: ignore[attr-defined]
    assert "needs" in engines.lacking(core, 2, 2000, 0)
    assert not engines.lacking(core, 2, 8, 0)
    for r in requests:
        core.abort(r.request_id)
    gc.collect()
    assert cache() is not None
    del core
    engines.free()
    assert cache() is None


def test_the_drivers_tool_is_understood_or_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "1980, 2619, 645.31, 700.00, 61, 580.159.04, 0x0000000000000004\n"
    assert card.told(line) == {
        "sm_mhz": "1980", "memory_mhz": "2619", "power_w": "645.31", "power_limit_w": "700.00",
        "celsius": "61", "driver": "580.159.04", "clock_limits": "0x0000000000000004",
    }  # fmt: skip
    assert "power_w" not in card.told(line.replace("645.31", "[N/A]"))
    assert card.told("No devices were found") == {}
    monkeypatch.setenv("PATH", "")
    assert card.state() == {}


def test_a_release_that_is_too_old_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "llguidance>=1.7" not in check.missing().get("every stage", [])
    monkeypatch.setattr(check, "_version", lambda name: "1.6.1" if name == "llguidance" else "99.0")
    assert "llguidance>=1.7" in check.missing()["every stage"]
    told, is_fit = check.report()
    assert not is_fit
    assert any("pip download" in line and "'llguidance>=1.7'" in line for line in told)
    asked = check._platforms("2.35").split()
    assert "manylinux_2_31_x86_64" in asked  # or an installer takes an older llguidance
    assert "manylinux_2_39_x86_64" not in asked


def test_a_machine_without_a_gpu_is_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "missing", dict)
    monkeypatch.setattr(check.torch.cuda, "is_available", lambda: False)
    told, is_fit = check.report()
    assert not is_fit
    assert any("missing: a GPU" in line for line in told)


def test_the_page_names_the_card_that_bars_are_held_against() -> None:
    about = {"gpu": "NVIDIA H100 80GB HBM3"}
    page = report.page({"command": "x", "about": about, "took_s": {"ceilings": 9.6}}, {})
    assert "held against: NVIDIA H100 80GB HBM3" in page
    assert "This is no H200" in page
    assert "| ceilings | 10 |" in page
    page = report.page({"command": "x", "about": {"gpu": "NVIDIA H200"}}, {})
    assert "This is no H200" not in page


def test_a_rival_whose_request_failed_has_no_figure() -> None:
    done = SimpleNamespace(error=None, generated_tokens=[1, 2, 3])
    rival._refuse_failed(done, 3)
    with pytest.raises(RuntimeError, match="after 3 of 4 tokens"):
        rival._refuse_failed(done, 4)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        rival._refuse_failed(SimpleNamespace(error="CUDA out of memory", generated_tokens=[]), 4)


def test_a_point_that_measured_nothing_valid_meets_no_bar() -> None:
    point = {"key": "70 % of capacity", "ttft_p99_s": 0.05, "validity": "invalid"}
    (bar,) = [b for b in report.bars({"serve-8b": [point]}) if b.asked.startswith("TTFT")]
    assert (bar.seen, bar.is_met) == ("50.0 ms, but the point is invalid", None)
    few = point | {"ttft_p99_s": None, "absent": "ttft p99: n=20"}
    (bar,) = [b for b in report.bars({"serve-8b": [few]}) if b.asked.startswith("TTFT")]
    assert (bar.seen, bar.is_met) == ("not measured: ttft p99: n=20", None)
