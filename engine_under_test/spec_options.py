"""The command line's words on speculation, as settings of the engine. No torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import ConfigError
from .spec_config import MAX_DRAFTS, SpecConfig

if TYPE_CHECKING:
    from .server.build import ModelSource

    FindModel = Callable[[str], ModelSource]

# Which draft model goes with a shipped target.
DRAFT_OF = {"tiny": "tiny-draft"}
DEPENDENT = ("k", "mode", "draft_model", "ngram", "synthetic")


def add_options(command: argparse.ArgumentParser) -> None:
    """--spec and what refines it."""
    group = command.add_argument_group("speculation")
    group.add_argument(
        "--spec",
        choices=["off", "ngram", "draft"],
        default="off",
        help="draft tokens by looking back in the text, or by a small model",
    )
    group.add_argument(
        "--spec-k",
        metavar="N|adaptive",
        help=f"drafts a request and step, 1 to {MAX_DRAFTS}; adaptive (the default): what pays",
    )
    group.add_argument(
        "--spec-mode",
        choices=["match", "ratio"],
        help="match keeps every token of the run without drafts, ratio (the default of a draft "
        "model) their distribution",
    )
    group.add_argument(
        "--spec-draft-model", metavar="NAME", help="named as --model is; tiny brings its own"
    )
    group.add_argument(
        "--spec-ngram", metavar="MIN:MAX", help="lengths of the looked-up suffix; 1:3"
    )
    group.add_argument(
        "--spec-synthetic",
        metavar="RATE[,RATE...]",
        help="accept drafts by a coin, by place: speed studies only, the text is meaningless",
    )


def spec_of(
    args: argparse.Namespace, target: ModelSource, find_model: FindModel
) -> SpecConfig | None:
    """None: off. Raises ConfigError with the option that is wrong."""
    given = [f"--spec-{n.replace('_', '-')}" for n in DEPENDENT if getattr(args, f"spec_{n}")]
    if args.spec == "off":
        if given:
            raise ConfigError(f"{given[0]} has no effect without --spec", do="add --spec ngram")
        return None
    if args.spec == "draft" and args.spec_ngram:
        raise ConfigError("--spec-ngram has no effect with --spec draft", do="leave it out")
    low, high = _sizes(args.spec_ngram)
    draft = _draft_model(args, target, find_model)
    return SpecConfig(
        args.spec,
        num_drafts=_num_drafts(args.spec_k),
        mode=args.spec_mode,
        draft_dir=draft.directory if draft else None,
        draft_shape=draft.shape if draft else None,
        ngram_min=low,
        ngram_max=high,
        synthetic_rates=_rates(args.spec_synthetic),
    )


def _draft_model(
    args: argparse.Namespace, target: ModelSource, find_model: FindModel
) -> ModelSource | None:
    name = args.spec_draft_model
    if args.spec != "draft":
        return find_model(name) if name else None
    if name is None and target.name not in DRAFT_OF:
        raise ConfigError(
            f"--spec draft needs --spec-draft-model with --model {target.name}",
            why=f"only {', '.join(DRAFT_OF)} comes with a draft model",
            do="name one that shares the target's tokenizer, or use --spec ngram",
        )
    return find_model(name or DRAFT_OF[target.name])


def _num_drafts(text: str | None) -> int | None:
    if text is None or text == "adaptive":
        return None
    return _int(text, "--spec-k", f"a number from 1 to {MAX_DRAFTS}, or 'adaptive'")


def _sizes(text: str | None) -> tuple[int, int]:
    if text is None:
        return SpecConfig("ngram").ngram_min, SpecConfig("ngram").ngram_max
    low, _, high = text.partition(":")
    wanted = "two lengths like 1:3"
    return _int(low, "--spec-ngram", wanted), _int(high, "--spec-ngram", wanted)


def _rates(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(rate) for rate in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(
            f"--spec-synthetic {text} is not a list of rates", do="give rates like 0.8,0.6"
        ) from None


def _int(text: str, option: str, wanted: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option} takes {wanted}, not {text!r}") from None
