"""From settings to a drafter and a length policy; what cannot work together is refused here."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from engine_under_test.batch import RowTable
from engine_under_test.config import EngineConfig
from engine_under_test.errors import ConfigError, ModelError
from engine_under_test.models import LoadedModel, load_model
from engine_under_test.plan import DraftLengths
from engine_under_test.sampler import Sampler
from engine_under_test.spec_config import SpecConfig
from engine_under_test.spec_gain import SpecGain
from engine_under_test.tokenizer import Tokenizer

from .adaptive import MIN_CONFIDENCE, AdaptiveLength, FixedLength
from .base import Drafter
from .cost import StepCost
from .draft_model import DraftModel
from .ngram import NgramDrafter
from .synthetic import SyntheticDrafter


@dataclass(frozen=True)
class Speculation:
    """What an engine speculates with. draft: the draft model, where there is one."""

    config: SpecConfig
    lengths: DraftLengths
    draft: LoadedModel | None

    @cached_property
    def gain(self) -> SpecGain:
        """Measures what it all gains. In ratio mode a fixed length makes a seed's answer one; a
        step without drafts now and then would change it."""
        spec = self.config
        is_fixed = spec.num_drafts is not None and not spec.synthetic_rates
        return SpecGain(has_controls=not (is_fixed and spec.judged_by == "ratio"))

    @property
    def kv_bytes_per_token(self) -> int:
        """What the draft model keeps in the cache beside the target."""
        if self.draft is None:
            return 0
        return self.draft.model.config.costs(self.draft.dtype_name).kv_bytes_per_token

    def drafter(
        self, rows: RowTable, sampler: Sampler, num_blocks: int, max_catch_up_tok: int
    ) -> Drafter:
        """rows and sampler are the target's."""
        spec = self.config
        drafter: Drafter
        if self.draft is None:
            drafter = NgramDrafter(spec.ngram_min, spec.ngram_max)
        else:
            drafter = DraftModel(
                self.draft,
                rows,
                sampler,
                num_blocks=num_blocks,
                max_catch_up_tok=max_catch_up_tok,
                is_drawn=spec.judged_by == "ratio" and not spec.synthetic_rates,
                # Given rates are to be met at every place, sure or not.
                min_confidence=(
                    MIN_CONFIDENCE if spec.num_drafts is None and not spec.synthetic_rates else 0.0
                ),
            )
        return SyntheticDrafter(drafter) if spec.synthetic_rates else drafter


def set_up(config: EngineConfig, target: LoadedModel) -> Speculation | None:
    """None where speculation is off. Raises ConfigError, ModelError."""
    spec = config.spec
    if spec is None:
        return None
    draft = _load_draft(config, spec, target) if spec.method == "draft" else None
    if spec.num_drafts is not None:
        return Speculation(spec, FixedLength(spec.num_drafts), draft)
    cost = _cost(target)
    draft_cost = _cost(draft) if draft else None
    return Speculation(spec, AdaptiveLength(cost, draft_cost), draft)


def _cost(loaded: LoadedModel) -> StepCost:
    of = StepCost.on_cpu if loaded.model.device.type == "cpu" else StepCost.on_hopper
    return of(loaded.model.config, loaded.dtype_name)


def _load_draft(config: EngineConfig, spec: SpecConfig, target: LoadedModel) -> LoadedModel:
    _refuse_other_tokenizer(config, spec)
    settings = replace(
        config,
        model_dir=spec.draft_dir,
        shape=spec.draft_shape,
        num_layers=spec.draft_layers,
        max_model_len=None,
        spec=None,
    )
    draft = load_model(settings)
    ours, theirs = draft.model.config.vocab_size, target.model.config.vocab_size
    if ours != theirs:
        raise ConfigError(
            f"the draft model has {ours} tokens, the target {theirs}",
            why="a draft is judged by the target's probability of the same token id",
            do="use a draft model of the same family",
        )
    if draft.max_model_len < target.max_model_len:
        raise ConfigError(
            f"the draft model's context of {draft.max_model_len} tokens is shorter than the "
            f"engine's {target.max_model_len}",
            do=f"add --max-model-len {draft.max_model_len}, or use another draft model",
        )
    return draft


def _refuse_other_tokenizer(config: EngineConfig, spec: SpecConfig) -> None:
    if config.model_dir is None or spec.draft_dir is None:
        return
    if _vocabulary(config.model_dir) != _vocabulary(spec.draft_dir):
        raise ConfigError(
            "the draft model has another vocabulary than the target",
            where=str(spec.draft_dir),
            why="equal token ids would stand for different text",
            do="use a draft model of the same family",
        )


def _vocabulary(path: Path) -> dict[str, int]:
    """Every token's id. Raises ModelError."""
    try:
        told = json.loads(Tokenizer.from_path(path).to_json())
    except (FileNotFoundError, ValueError) as error:
        raise ModelError("the tokenizer cannot be read", where=str(error)) from error
    vocab = told["model"]["vocab"]
    if isinstance(vocab, list):  # unigram models list [token, score] by id
        vocab = {token: i for i, (token, _) in enumerate(vocab)}
    return {**vocab, **{added["content"]: added["id"] for added in told["added_tokens"]}}
