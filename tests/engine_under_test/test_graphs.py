"""Decode steps as graphs, on a CPU: a tape stands in for the device (see tape.py).

Graphs on equals graphs off, token for token, with sequences that come, go, are preempted and grow
new blocks between the runs of one recording; and the stand-in refuses what it must.
"""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.request import Request, SamplingParams
from engine_under_test.spec_config import SpecConfig
from engine_under_test.warm_up import warm_up

pytest.importorskip("triton", reason="Triton is not installed")
from engine_under_test.kernels import add_rms_norm, silu_mul

from .tape import NotForAGraph, TapeCapture

SPEC = SpecConfig("ngram", num_drafts=3, ngram_min=1, ngram_max=2)


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs one program after another: contexts are cut in few parts."""
    monkeypatch.setattr("engine_under_test.kernels.attention.NUM_PROGRAMS", 4)


def engine(is_taped: bool, **settings: object) -> tuple[EngineCore, TapeCapture | None]:
    core = EngineCore(
        EngineConfig(
            shape="debug", num_layers=1, seed=3, dtype="float64", max_model_len=64, block_size=4,
            num_blocks=8, max_num_seqs=3, max_num_batched_tokens=24, attention="triton",
            graphs=True, **settings,  # type: ignore[arg-type]
        )
    )  # fmt: skip
    if not is_taped:
        return core, None
    assert core._runner.graphs is not None
    capture = TapeCapture(core._runner)
    core._runner.graphs._capture = capture
    return core, capture


def answers(core: EngineCore) -> dict[str, list[int]]:
    """Four requests, two after two, in too little room."""
    rng = random.Random(1)
    tokens: dict[str, list[int]] = {}
    for i in range(4):
        prompt = [rng.randrange(512) for _ in range(4 + 3 * i)]
        if i == 2:
            prompt = prompt[:3] * 4  # something for n-grams to find
        temperature = 0.0 if i % 2 else 1.0
        core.add(Request(f"r{i}", prompt, SamplingParams(6, temperature=temperature, seed=i)))
        for output in core.step() if i % 2 else ():
            tokens.setdefault(output.request_id, []).extend(output.new_token_ids)
    while core.has_work:
        for output in core.step():
            tokens.setdefault(output.request_id, []).extend(output.new_token_ids)
        core.check_integrity()
    return tokens


@pytest.mark.parametrize(("overlap", "spec"), [(True, None), (False, SPEC)])
def test_graphs_on_equals_graphs_off(overlap: bool, spec: SpecConfig | None) -> None:
    core, _ = engine(False, overlap=overlap, spec=spec)
    expected = answers(core)
    assert core.stats().num_preemptions > 0
    assert {len(t) for t in expected.values()} == {6}
    core, capture = engine(True, overlap=overlap, spec=spec)
    assert capture is not None
    assert answers(core) == expected
    assert core._runner.graphs is not None
    assert capture.num_replays > 3 * core._runner.graphs.num_captures > 0


def test_a_warm_up_captures_every_batch_size_and_leaves_no_trace() -> None:
    core, _ = engine(True, overlap=True, spec=SPEC)
    graphs = core._runner.graphs
    assert graphs is not None
    core.capture_graphs(2)
    assert set(graphs._steps) == {(2, 1), (2, 4)}
    warm_up(core, [1, 2, 3], is_thorough=True)
    assert set(graphs._steps) == set(itertools.product((1, 2, 3), (1, 4)))
    stats = core.stats()
    assert (stats.num_steps, stats.num_generation_tokens, stats.num_prompt_tokens) == (0, 0, 0)
    num_captures = graphs.num_captures
    core.add(Request("r", [4, 5, 6], SamplingParams(3, temperature=0.0)))
    while core.has_work:
        core.step()
    assert graphs.num_captures == num_captures


class Step:
    """A function of one static tensor, in several wrong ways and a right one."""

    __module__ = "engine_under_test.pretended"

    def __init__(self) -> None:
        self.x = torch.arange(4.0)
        self.out = torch.zeros(4)
        self.num_runs = 0

    def right(self) -> None:
        self.out.copy_(self.x * 2 + torch.ones(4))

    def by_kernels(self) -> None:
        total = self.x.view(1, 4).clone()
        add_rms_norm(total, self.x.view(1, 4), self.x, 1.0)
        self.out[:2].copy_(silu_mul(total)[0])

    def counts(self) -> None:
        self.num_runs += 1
        self.out.copy_(self.x + self.num_runs)

    def asks(self) -> None:
        self.out.fill_(self.x.sum().item())

    def brings_along(self) -> None:
        self.out.copy_(self.x + torch.tensor([1.0, 2.0, 3.0, 4.0]))

    def makes_another(self) -> None:
        self.out = self.x + 1


@pytest.mark.parametrize("name", ["right", "by_kernels"])
def test_the_stand_in_repeats_what_was_recorded_on_new_contents(name: str) -> None:
    step, other = Step(), Step()
    replay = TapeCapture()(getattr(step, name))
    for start in (1.0, 5.0):
        for one in (step, other):
            one.x.copy_(torch.arange(start, start + 4))
        replay()
        getattr(other, name)()
        assert torch.equal(step.out, other.out)


@pytest.mark.parametrize("name", ["asks", "brings_along"])
def test_the_stand_in_refuses_what_no_graph_can_hold(name: str) -> None:
    with pytest.raises(NotForAGraph):
        TapeCapture()(getattr(Step(), name))


def test_the_stand_in_keeps_what_the_host_said_when_it_recorded() -> None:
    step = Step()
    replay = TapeCapture()(step.counts)  # ran twice: once beside the recording
    replay()
    assert torch.equal(step.out, step.x + 2)
    # What the recording made is where it made it, whatever the attribute says by then.
    step = Step()
    replay = TapeCapture()(step.makes_another)
    made = step.out
    step.x.fill_(7.0)
    replay()
    assert torch.equal(made, torch.full((4,), 8.0))
