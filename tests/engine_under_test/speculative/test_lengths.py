"""How many drafts: the formula's optimum, the ridge, what acceptance teaches, and refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import engine_under_test
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import ConfigError
from engine_under_test.models import SHAPES
from engine_under_test.request import Request, SamplingParams
from engine_under_test.spec_config import SpecConfig
from engine_under_test.speculative import AdaptiveLength, StepCost

WEIGHTS = Path(engine_under_test.__file__).parent / "weights"
MILLISECOND = StepCost(once_s=1e-3, per_context_s=0.0, per_token_s=1e-5)  # ridge: 100 tokens
HALF = StepCost(once_s=5e-4, per_context_s=0.0, per_token_s=0.0)


def request(rate: float | None = None) -> Request:
    return Request("r", [1] * 9, SamplingParams(), acceptance_ratio=rate)


@pytest.mark.parametrize(
    ("rate", "drafter", "expected"),
    [
        # One sequence: tokens a step over its cost, in ms, at k = 0, 1, 3, 5, 7.
        (0.0, None, 0),  # 1/1.01, 1/1.02 ...: a trial only costs
        (1.0, None, 7),  # 1/1.01, 2/1.02, 4/1.04, 6/1.06, 8/1.08
        (1.0, HALF, 7),  # 1/1.01, 2/1.52, 4/2.54, 6/3.56, 8/4.58 = 1.75
        (0.8, HALF, 1),  # 0.99, 1.8/1.52 = 1.184, 2.952/2.54 = 1.162, 3.689/3.56 ...
        (0.9, HALF, 3),  # 0.99, 1.25, 3.439/2.54 = 1.354, 4.686/3.56 = 1.316
        (0.4, HALF, 0),  # 0.99, 1.4/1.52 = 0.92
    ],
)
def test_k_makes_tokens_cheapest(rate: float, drafter: StepCost | None, expected: int) -> None:
    assert AdaptiveLength(MILLISECOND, drafter).num_drafts(request(rate), 1) == expected


@pytest.mark.parametrize(
    ("num_seqs", "most"), [(1, 7), (12, 7), (13, 5), (25, 3), (50, 1), (51, 0)]
)
def test_the_ridge_caps_k(num_seqs: int, most: int) -> None:
    """k <= 100 / num_seqs - 1, among 0, 1, 3, 5, 7."""
    assert AdaptiveLength(MILLISECOND, None).num_drafts(request(1.0), num_seqs) == most


def test_the_ridge_of_a_long_context_is_higher() -> None:
    cost = StepCost.on_cpu(SHAPES["llama-8b"], "bfloat16")
    assert cost.ridge_tok(0) == pytest.approx(1.2e12 * 2 / (2 * 10e9), rel=0.02)  # F * bytes / 2 BW
    assert cost.ridge_tok(100_000) > 1.5 * cost.ridge_tok(0)


def test_only_judged_drafts_teach_and_a_failed_request_is_tried_again() -> None:
    lengths, r = AdaptiveLength(MILLISECOND, HALF), request(0.5)
    lengths.observe(r, 7, 7, 0)
    assert r.acceptance_ratio == pytest.approx(0.45)  # one rejection; six were never judged
    lengths.observe(r, 3, 3, 3)
    assert r.acceptance_ratio == pytest.approx(1 - 0.55 * 0.9**3)
    for _ in range(60):
        lengths.observe(r, 1, 1, 0)
    tried = []
    for _ in range(64):
        tried.append(lengths.num_drafts(r, 1))
        r.token_ids.append(1)
    assert sum(tried) == 2


def test_a_silent_model_has_failed_and_a_silent_look_up_has_not() -> None:
    model, look_up = AdaptiveLength(MILLISECOND, HALF), AdaptiveLength(MILLISECOND, None)
    a, b = request(0.5), request(0.5)
    model.observe(a, 3, 0, 0)
    look_up.observe(b, 3, 0, 0)
    assert (a.acceptance_ratio, b.acceptance_ratio) == (pytest.approx(0.45), 0.5)
    model.observe(a, 3, 2, 2)  # two accepted, and a third that it did not dare
    assert a.acceptance_ratio == pytest.approx((1 - 0.55 * 0.9**2) * 0.9)


def test_a_new_request_begins_where_the_others_stand() -> None:
    lengths, r = AdaptiveLength(MILLISECOND, HALF), request()
    assert lengths.num_drafts(request(), 1) > 0
    for _ in range(200):
        lengths.observe(r, 1, 1, 0)
    assert lengths.num_drafts(request(), 1) == 0


def engine(spec: SpecConfig, **settings: int) -> EngineCore:
    return EngineCore(EngineConfig(shape="debug", spec=spec, num_blocks=64, **settings))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"method": "draft"}, "needs a draft model"),
        ({"method": "ngram", "draft_shape": "debug"}, "no use for a draft model"),
        ({"method": "ngram", "mode": "ratio"}, "no ratio mode"),
        ({"method": "ngram", "num_drafts": 0}, "0 drafts"),
        ({"method": "ngram", "num_drafts": 16}, "1 to 15"),
        ({"method": "ngram", "ngram_min": 3, "ngram_max": 2}, "1 <= min <= max"),
        ({"method": "ngram", "synthetic_rates": (0.5, 1.2)}, "outside 0..1"),
        ({"method": "ngram", "mode": "match", "synthetic_rates": (0.5,)}, "exclude each other"),
        ({"method": "draft", "draft_shape": "small"}, "4096 tokens, the target 512"),
    ],
)
def test_what_cannot_work_is_refused_by_reason(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        engine(SpecConfig(**settings))  # type: ignore[arg-type]
    assert says in refused.value.render()


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    """Equal in size but for two tokens that changed places."""
    draft = tmp_path / "draft"
    shutil.copytree(WEIGHTS / "tiny-draft", draft)
    text = (draft / "tokenizer.json").read_text()
    told = json.loads(text)
    vocab = told["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    (draft / "tokenizer.json").write_text(json.dumps(told))
    (draft / "SHA256SUMS").unlink()
    config = EngineConfig(model_dir=WEIGHTS / "tiny", num_blocks=8)
    with pytest.raises(ConfigError, match="another vocabulary"):
        EngineCore(replace(config, spec=SpecConfig("draft", draft_dir=draft)))
    (draft / "tokenizer.json").write_text(text)
    EngineCore(replace(config, spec=SpecConfig("draft", draft_dir=draft)))


def test_a_draft_model_shares_the_memory_given_to_the_cache() -> None:
    config = EngineConfig(shape="debug", kv_cache_bytes=2**20)
    spec = SpecConfig("draft", draft_shape="debug")
    alone = EngineCore(config).stats().num_blocks
    assert EngineCore(replace(config, spec=spec)).stats().num_blocks == (alone + 1) // 2 - 1
