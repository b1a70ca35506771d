"""Settings of speculation, refused by reason where they contradict each other. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import ConfigError

SpecMethod = Literal["ngram", "draft"]
SpecMode = Literal["match", "ratio"]
MAX_DRAFTS = 15  # a step of one request; verifying more never paid anywhere
ADAPTIVE_DRAFTS = (0, 1, 3, 5, 7)  # the lengths an adaptive policy chooses from


@dataclass(frozen=True, slots=True)
class SpecConfig:
    """How drafts are made and judged.

    num_drafts: tokens a request and step; None: adaptive (see speculative/adaptive.py).
    mode: `match` accepts a draft that equals the target's own draw, so the output is the one
    without speculation, token for token; `ratio` accepts with min(1, p/q) (Leviathan, Chen 2023),
    which keeps the distribution only. None: ratio for a draft model, match for n-grams.
    draft_dir, draft_shape, draft_layers: the draft model, named as EngineConfig names the target.
    ngram_min, ngram_max: lengths of the suffix that is looked up, the longest first.
    synthetic_rates: at place i a draft is accepted with rate i once those before it were (the last
    rate holds beyond). The text is meaningless: for speed studies only.
    """

    method: SpecMethod
    num_drafts: int | None = None
    mode: SpecMode | None = None
    draft_dir: Path | None = None
    draft_shape: str | None = None
    draft_layers: int | None = None
    ngram_min: int = 1
    ngram_max: int = 3
    synthetic_rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.num_drafts is not None and not 1 <= self.num_drafts <= MAX_DRAFTS:
            raise ConfigError(
                f"{self.num_drafts} drafts a step are not possible",
                do=f"give 1 to {MAX_DRAFTS}, or 'adaptive'",
            )
        has_model = self.draft_dir is not None or self.draft_shape is not None
        if self.method == "draft" and not has_model:
            raise ConfigError(
                "speculation by a draft model needs a draft model",
                do="name one that shares the target's tokenizer, or use n-grams",
            )
        if self.method == "ngram" and has_model:
            raise ConfigError("n-gram speculation has no use for a draft model", do="leave it out")
        if self.method == "ngram" and self.mode == "ratio":
            raise ConfigError(
                "n-gram speculation has no ratio mode",
                why="a looked-up draft has no distribution: both modes would accept it as often, "
                "and match keeps every token",
                do="leave the mode out",
            )
        if not 1 <= self.ngram_min <= self.ngram_max:
            raise ConfigError(
                f"n-grams of {self.ngram_min} to {self.ngram_max} tokens are not possible",
                why="1 <= min <= max",
            )
        if not all(0 <= rate <= 1 for rate in self.synthetic_rates):
            raise ConfigError("a synthetic acceptance rate lies outside 0..1")
        if self.synthetic_rates and self.mode is not None:
            raise ConfigError(
                "synthetic acceptance and a mode of judging exclude each other",
                why="with given rates no draft is judged",
                do="leave one of the two out",
            )

    @property
    def judged_by(self) -> SpecMode:
        """The mode, with the default put in."""
        return self.mode or ("ratio" if self.method == "draft" else "match")

    @property
    def most_drafts(self) -> int:
        """Drafts of a request and step, at most."""
        return self.num_drafts or max(ADAPTIVE_DRAFTS)

    @property
    def step_lengths(self) -> tuple[int, ...]:
        """Tokens of a sequence in the steps that are usual: none on trial, or all that may be."""
        if self.num_drafts is not None:
            return 1, 1 + self.num_drafts
        return tuple(1 + k for k in ADAPTIVE_DRAFTS)

    @property
    def synthetic_label(self) -> str:
        """What every reply of an engine with synthetic acceptance says; empty for a real one."""
        return ",".join(f"{rate:g}" for rate in self.synthetic_rates)
