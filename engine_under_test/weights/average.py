"""python -m engine_under_test.weights.average --of DIR --with CHECKPOINT --share 0.4 --out DIR

Averages two sets of weights of one shape, where the second was trained on from the first: the mean
of the two often answers better than either (Wortsman et al., 2022, "Model soups"), because what a
short training at a high rate forgets lies in directions that cancel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .export import export, load, load_checkpoint
from .model import TinyLlama


@torch.no_grad()
def average(base: TinyLlama, other: TinyLlama, share: float) -> TinyLlama:
    """Into `base`: (1 - share) * base + share * other, tensor by tensor, in fp32.

    share: 0..1. Raises ValueError where it is not, or where the shapes differ.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must lie between 0 and 1")
    if base.shape != other.shape:
        raise ValueError(f"the shapes differ: {base.shape} and {other.shape}")
    for mine, theirs in zip(base.parameters(), other.parameters(), strict=True):
        mine.lerp_(theirs, share)
    return base


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", type=Path, required=True, help="model folder")
    parser.add_argument("--with", dest="other", type=Path, required=True, help="checkpoint .pt")
    parser.add_argument("--share", type=float, required=True, help="of the second, 0..1")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    base, tokenizer = load(args.of)
    export(average(base, load_checkpoint(args.other), args.share), tokenizer, args.out)


if __name__ == "__main__":
    main()
