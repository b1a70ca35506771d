"""Net speed-up, by hand: which steps are compared, with what, and when a control is due."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.plan import ScheduledSeq, SchedulerOutput
from engine_under_test.request import Request, RequestOutput, SamplingParams
from engine_under_test.spec_config import SpecConfig
from engine_under_test.spec_gain import EVERY, FIRST_CONTROL, GainEstimate, SpecGain


def requests(num: int) -> list[Request]:
    return [Request(f"r{n}", [1, 2], SamplingParams()) for n in range(num)]


def step(
    gain: SpecGain, rows: list[Request], kept: list[int], step_s: float, drafts: int = 3
) -> None:
    """A step of decoding that kept so many tokens of each row."""
    seqs = [ScheduledSeq(r, 1 + drafts, True, max_drafts=drafts, num_drafts=drafts) for r in rows]
    outputs = [RequestOutput(r.request_id, [7] * n) for r, n in zip(rows, kept, strict=True) if n]
    gain.observe(SchedulerOutput(seqs, [], [], []), outputs, step_s)


@pytest.fixture
def gain(monkeypatch: pytest.MonkeyPatch) -> SpecGain:
    """One that forms its estimate after every step."""
    monkeypatch.setattr("engine_under_test.spec_gain.REFRESH_STEPS", 1)
    return SpecGain()


def test_the_ratio_is_that_of_a_hand_made_table(gain: SpecGain) -> None:
    """Two rows. With drafts: 15 ms for 6 tokens and 15 ms for 2; controls: 9, 10 and 11 ms."""
    rows = requests(2)
    step(gain, rows, [3, 3], 0.015)
    for control_s in (0.009, 0.010, 0.011):
        assert gain.estimate == GainEstimate(), "fewer than three controls support nothing"
        step(gain, rows, [1, 1], control_s, drafts=0)
    # Six tokens of two rows would have taken three steps of 10 ms instead of 15 ms.
    assert gain.estimate.speed_up == pytest.approx((0.030 + 0.030) / (0.015 + 0.030))
    step(gain, rows, [2, 0], 0.015)  # one was aborted: its tokens are kept by nobody
    told = gain.estimate
    assert told.speed_up == pytest.approx((0.040 + 0.030) / (0.030 + 0.030))
    assert (told.num_tokens, told.num_controls) == (6 + 2 + 2 * 3, 3)
    assert told.decode_s == pytest.approx(0.060)
    # Steps with drafts took the same each; controls scatter by 1 ms: sd / sqrt(3) of 4 steps.
    relative = 4 * 0.001 / 3**0.5 / 0.070
    assert told.low == pytest.approx(told.speed_up / math.exp(1.96 * relative))
    assert told.high == pytest.approx(told.speed_up * math.exp(1.96 * relative))
    # A request's own: from the third control on.
    ours = [(r.timings.without_drafts_s, r.timings.compared_s) for r in rows]
    assert ours == [pytest.approx((0.031, 0.026)), pytest.approx((0.011, 0.026))]


def test_only_equal_batches_and_steps_of_decoding_alone_are_compared(gain: SpecGain) -> None:
    rows = requests(3)
    for _ in range(3):
        step(gain, rows[:1], [1], 0.010, drafts=0)
    step(gain, rows, [4, 4, 4], 0.020)
    assert gain.estimate.decode_s == pytest.approx(0.030), "no control of three rows yet"
    prompt = ScheduledSeq(rows[0], 2, True)
    chunk = ScheduledSeq(rows[0], 1, False)
    for odd in (prompt, chunk):
        gain.observe(SchedulerOutput([odd], [], [], []), [], 1.0)
    gain.observe(SchedulerOutput([], [], [], []), [], 1.0)
    assert gain.estimate.decode_s == pytest.approx(0.030)
    gain.restart()
    assert gain.estimate == GainEstimate()


def test_a_silent_draft_model_was_asked_all_the_same(gain: SpecGain) -> None:
    rows = requests(1)
    for _ in range(3):
        step(gain, rows, [1], 0.010, drafts=0)
    asked = [ScheduledSeq(rows[0], 1, True, max_drafts=3)]
    outputs = [RequestOutput("r0", [1])]
    gain.observe(SchedulerOutput(asked, [], [], []), outputs, 0.012)
    assert gain.estimate.speed_up == pytest.approx(0.040 / 0.042)


def test_controls_come_early_then_seldom_and_only_where_they_may() -> None:
    gain, rows, gaps, num = SpecGain(), requests(2), [], 0
    for _ in range(200):
        if gain.is_control(2):
            gaps.append(num)
            num = 0
            step(gain, rows, [1, 1], 0.01, drafts=0)
        else:
            num += 1
            step(gain, rows, [2, 2], 0.01)
    assert gaps[:4] == [FIRST_CONTROL, EVERY, EVERY, EVERY]
    assert not gain.is_control(3), "of another batch nothing is known"
    never = SpecGain(has_controls=False)
    for _ in range(100):
        assert not never.is_control(2)
        step(never, rows, [2, 2], 0.01)
    assert never.estimate == GainEstimate()


@pytest.mark.parametrize("name", ["fixed", "adaptive", "ratio"])
def test_an_engine_compares_itself_and_answers_as_ever(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine_under_test.spec_gain.REFRESH_STEPS", 1)
    specs: dict[str, Any] = {
        "fixed": SpecConfig("ngram", 3),
        "adaptive": SpecConfig("ngram"),
        "ratio": SpecConfig("draft", 2, draft_shape="debug", draft_layers=1),
    }

    def run(spec: SpecConfig | None) -> tuple[EngineCore, list[Request]]:
        config = EngineConfig(shape="debug", dtype="float64", num_blocks=200, spec=spec)
        core, ours = EngineCore(config), []
        for n in range(3):
            ours.append(Request(f"r{n}", [5, 6, 7, 5, 6, 7, n], SamplingParams(500, temperature=0)))
            core.add(ours[-1])
        while core.has_work:
            core.step()
        core.check_integrity()
        return core, ours

    (core, ours), (_, plain) = run(specs[name]), run(None)
    assert [r.token_ids for r in ours] == [r.token_ids for r in plain]
    stats = core.stats()
    if name == "ratio":
        assert stats.spec_gain == GainEstimate()
        return
    assert stats.spec_gain.low <= stats.spec_gain.speed_up <= stats.spec_gain.high
    assert stats.spec_gain.num_controls >= 3
    assert any(r.timings.compared_s for r in ours)
    core.restart_counters()
    assert core.stats().spec_gain == GainEstimate()


def test_the_module_needs_no_torch() -> None:
    source = (Path(__file__).parents[2] / "engine_under_test/spec_gain.py").read_text()
    assert "import torch" not in source
