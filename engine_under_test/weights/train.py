"""python -m engine_under_test.weights.train --out DIR --minutes 50 --seed 0 [--draft --teacher DIR]

Trains the tiny target, or with --draft its draft model, on CPU and writes a directory that
Hugging Face loaders read. A draft with a teacher learns the teacher's distribution instead of the
text: what is accepted is what the target would say, right or wrong. Time is the budget: learning
rate and curriculum follow the share of the minutes that has passed. Rows, their order and the
start are seeded; how many steps fit into the minutes is not.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from . import vocabulary
from .corpus import LONG_MIX, SHORT_MIX, Maker, Packer
from .export import export, load, load_checkpoint
from .model import DRAFT, TARGET, TinyLlama, rope_tables
from .muon import Muon


@dataclass(frozen=True, slots=True)
class Diet:
    """What one step reads: rows of one length from one mixture."""

    rows: int
    length: int
    mix: Mapping[Maker, float]


SHORT = Diet(8, 512, SHORT_MIX)
LONG = Diet(2, 2048, LONG_MIX)
LONG_FROM = 0.35  # of the budget: copying must work before it is stretched
LONG_EVERY = 12  # steps
CHECKPOINT_EVERY_S = 180


def rate(progress: float) -> float:
    """Warm up for 2 %, hold to 45 %, fall linearly to zero."""
    return min(1.0, progress / 0.02, max(0.0, (1.0 - progress) / 0.55))


def positions(length: int, generator: torch.Generator, is_long: bool) -> Tensor:
    """0..length-1; in half of the long rows with a leap, so that far distances are seen too."""
    steps = torch.arange(length)
    if is_long and torch.rand((), generator=generator) < 0.5:
        at = int(torch.randint(64, length - 64, (), generator=generator))
        steps[at:] += int(torch.randint(0, 4096, (), generator=generator))
    return steps


class Trainer:
    """A model, its two optimisers and the loss over learnt tokens.

    teacher: where given, the loss is the cross-entropy to its distribution (Hinton et al., 2015,
    temperature 1) instead of to the text.
    """

    def __init__(
        self,
        model: TinyLlama,
        matrix_lr: float = 0.02,
        other_lr: float = 4e-3,
        teacher: TinyLlama | None = None,
    ) -> None:
        self.model, self.teacher = model, teacher
        # Compiled per row length: fuses norms, rotary and SwiGLU, about 1.3x on one core.
        self.decoder = torch.compile(model.model, dynamic=False)
        inner = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
        rest = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
        self.muon = Muon(inner)
        self.adam = torch.optim.AdamW(rest, lr=other_lr, betas=(0.9, 0.95), weight_decay=0.0)
        self.matrix_lr, self.other_lr = matrix_lr, other_lr

    def loss(self, ids: Tensor, weights: Tensor, where: Tensor) -> Tensor:
        """Mean cross-entropy over weighted tokens. ids, weights: [B, T + 1]; where: [T]."""
        cos, sin = rope_tables(where, self.model.shape)
        hidden = self.decoder(ids[:, :-1], cos, sin).flatten(0, 1)
        target, weight = ids[:, 1:].flatten(), weights[:, 1:].flatten()
        learnt = weight.nonzero()[:, 0]
        logits = self.model.head(hidden[learnt])
        said = target[learnt] if self.teacher is None else self._taught(ids, where, learnt)
        each = F.cross_entropy(logits, said, reduction="none")
        return (each * weight[learnt]).sum() / weight[learnt].sum().clamp_min(1.0)

    @torch.no_grad()
    def _taught(self, ids: Tensor, where: Tensor, learnt: Tensor) -> Tensor:
        """The teacher's probabilities at the learnt places, [N, vocab]."""
        assert self.teacher is not None
        cos, sin = rope_tables(where, self.teacher.shape)
        hidden = self.teacher.model(ids[:, :-1], cos, sin).flatten(0, 1)
        return self.teacher.head(hidden[learnt]).softmax(dim=-1)

    def step(self, ids: Tensor, weights: Tensor, where: Tensor, scale: float) -> float:
        loss = self.loss(ids, weights, where)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step(self.matrix_lr * scale)
        for group in self.adam.param_groups:
            group["lr"] = self.other_lr * scale
        self.adam.step()
        self.model.zero_grad(set_to_none=True)
        return float(loss.detach())


def save(model: TinyLlama, path: Path) -> None:
    """Atomic: a reader sees the old file or the new one."""
    part = path.with_suffix(".part")
    torch.save({"shape": model.shape, "state": model.state_dict()}, part)
    os.replace(part, path)


def train(
    model: TinyLlama,
    tokenizer: Tokenizer,
    minutes: float,
    seed: int,
    checkpoint: Path,
    begin: float = 0.0,
    end: float = 1.0,
    peak: float = 1.0,
    teacher: TinyLlama | None = None,
) -> int:
    """Train for the given minutes; returns the tokens read. Prints a line every 20 steps.

    begin, end: progress to start and stop at, 0..1. peak: factor on both learning rates.
    """
    trainer, packer = Trainer(model, teacher=teacher), Packer(tokenizer, f"train {seed}")
    generator = torch.Generator().manual_seed(seed)
    start = saved = time.monotonic()
    tokens, step, shown = 0, 0, {False: 0.0, True: 0.0}
    while (share := (time.monotonic() - start) / (60 * minutes)) < 1.0:
        progress = begin + (end - begin) * share
        is_long = progress > LONG_FROM and step % LONG_EVERY == 0
        diet = LONG if is_long else SHORT
        ids, weights = packer.batch(diet.rows, diet.length, diet.mix)
        where = positions(diet.length, generator, is_long)
        scale = peak * rate(progress)
        loss = trainer.step(torch.from_numpy(ids), torch.from_numpy(weights), where, scale)
        shown[is_long] = 0.9 * shown[is_long] + 0.1 * loss if shown[is_long] else loss
        tokens, step = tokens + diet.rows * diet.length, step + 1
        if step % 20 == 0:
            seconds = time.monotonic() - start
            print(
                f"{seconds:6.0f} s  step {step}  {tokens / 1e6:.2f} M tokens  "
                f"{tokens / seconds:.0f} tok/s  loss {shown[False]:.4f}  long {shown[True]:.4f}",
                flush=True,
            )
        if time.monotonic() - saved > CHECKPOINT_EVERY_S:
            save(model, checkpoint)
            saved = time.monotonic()
    save(model, checkpoint)
    return tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--minutes", type=float, default=55.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draft", action="store_true", help="the draft's shape")
    parser.add_argument("--teacher", type=Path, default=None, help="model folder to learn from")
    parser.add_argument("--tokenizer", type=Path, default=None, help="default: build one")
    parser.add_argument("--resume", type=Path, default=None, help="checkpoint or model folder")
    parser.add_argument(
        "--begin",
        type=float,
        default=None,
        help="where to join the schedule of learning rate and rows, 0..1 (resumed: 0.55)",
    )
    parser.add_argument(
        "--end", type=float, default=1.0, help="where to leave it: below 1 for a later --resume"
    )
    parser.add_argument(
        "--peak",
        type=float,
        default=1.0,
        help="factor on the learning rates; at 1 a trained model's noise hides its progress",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=None, help="default: OUT/checkpoint.pt")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    # A trained model's attention is full of denormal numbers: 1.3 times the tokens a second.
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.from_file(str(args.tokenizer)) if args.tokenizer else None
    if args.resume and args.resume.is_dir():
        model, shipped = load(args.resume)
        tokenizer = tokenizer or shipped
    elif args.resume:
        model = load_checkpoint(args.resume)
    else:
        model = TinyLlama(DRAFT if args.draft else TARGET)
    model.train()
    tokenizer = tokenizer or vocabulary.build()
    checkpoint = args.checkpoint or args.out / "checkpoint.pt"
    print(f"{model.num_params} parameters", flush=True)
    begin = args.begin if args.begin is not None else 0.55 if args.resume else 0.0
    teacher = load(args.teacher)[0] if args.teacher else None
    tokens = train(
        model, tokenizer, args.minutes, args.seed, checkpoint, begin, args.end, args.peak, teacher
    )
    export(model, tokenizer, args.out)
    print(f"read {tokens} tokens; wrote {args.out}")


if __name__ == "__main__":
    main()
