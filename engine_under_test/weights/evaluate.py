"""python -m engine_under_test.weights.evaluate --target DIR [--draft DIR] [--count 100] [--seed 1]

Exact match per task on held-out chats, greedy, and how often the draft's greedy token is the
target's along the target's own continuation. Prints one JSON object, the last line of stdout.
A chat's assistant turns are judged one by one, each after the true turns before it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .corpus import TASKS, Span, marker_id, prompts, render
from .draw import Chat
from .export import EOS, load, load_checkpoint
from .model import TinyLlama

EXACT_TASKS = (
    "tool calls",
    "extraction",
    "counting",
    "addition",
    "sorting",
    "spelling",
    "repeating",
    "needle in 100-700 words",
    "story questions",
)
FREE_TASKS = ("definitions", "small talk", "stories", "essays", "long topics")


class Question(NamedTuple):
    """A prompt up to `assistant\\n`, and the one right answer."""

    prompt: list[int]
    answer: list[int]


class Score(NamedTuple):
    """exact_ratio: answers equal to the last token.  acceptance_ratio: None without a draft."""

    task: str
    num_answers: int
    exact_ratio: float
    acceptance_ratio: float | None


def questions(tokenizer: Tokenizer, chat: Chat) -> list[Question]:
    """One question an assistant turn."""
    spans: list[Span] = render(chat)
    found, before = [], ""
    for span in spans:
        if span.is_learnt:
            found.append(Question(tokenizer.encode(before).ids, tokenizer.encode(span.text).ids))
        before += span.text
    return found


@torch.inference_mode()
def greedy(model: TinyLlama, prompt: Sequence[int], limit: int, eos: int) -> list[int]:
    """Up to `limit` tokens, the end marker included. Recomputes the prefix: small models only."""
    ids = list(prompt)
    while len(ids) < len(prompt) + limit:
        ids.append(int(_last_logits(model, ids).argmax()))
        if ids[-1] == eos:
            break
    return ids[len(prompt) :]


@torch.inference_mode()
def argmaxes(model: TinyLlama, prompt: Sequence[int], answer: Sequence[int]) -> list[int]:
    """The model's greedy token at each place of `answer`, given the true tokens before it."""
    ids = torch.tensor([[*prompt, *answer]])
    hidden = model.hidden(ids)[0, len(prompt) - 1 : -1]
    return [int(i) for i in model.head(hidden).argmax(-1)]


def is_exact(model: TinyLlama, question: Question) -> bool:
    """Greedy decoding gives exactly this answer if and only if it is the argmax everywhere."""
    return argmaxes(model, question.prompt, question.answer) == question.answer


def _last_logits(model: TinyLlama, ids: list[int]) -> Tensor:
    return model.head(model.hidden(torch.tensor([ids]))[0, -1])


def acceptance(draft: TinyLlama, prompt: Sequence[int], said: Sequence[int]) -> list[bool]:
    """For each token the target said, whether the draft would have proposed it."""
    return [a == b for a, b in zip(argmaxes(draft, prompt, said), said, strict=True)]


def score(
    task: str,
    target: TinyLlama,
    draft: TinyLlama | None,
    tokenizer: Tokenizer,
    count: int,
    seed: int = 1,
) -> Score:
    """Exact match on `count` answers; acceptance on the target's own first 60 of them.

    seed: another seed asks other held-out questions; the card's table is seed 1."""
    eos = marker_id(tokenizer, EOS)
    chats = prompts(task, count, seed=seed)
    asked = [q for chat in chats for q in questions(tokenizer, chat)][:count]
    exact = [is_exact(target, q) for q in asked]
    agreed: list[bool] = []
    for question, right in list(zip(asked, exact, strict=True))[: 60 if draft else 0]:
        limit = min(120, len(question.answer) + 20)
        said = question.answer if right else greedy(target, question.prompt, limit, eos)
        assert draft is not None
        agreed += acceptance(draft, question.prompt, said)
    ratio = sum(agreed) / len(agreed) if agreed else None
    return Score(task, len(asked), sum(exact) / len(exact), ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, required=True, help="directory or checkpoint .pt")
    parser.add_argument("--draft", type=Path, default=None)
    parser.add_argument("--tokenizer", type=Path, default=None, help="with a checkpoint")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="another one asks other questions")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.target.suffix == ".pt":
        target, tokenizer = load_checkpoint(args.target), Tokenizer.from_file(str(args.tokenizer))
    else:
        target, tokenizer = load(args.target)
    draft = None
    if args.draft:
        draft = load_checkpoint(args.draft) if args.draft.suffix == ".pt" else load(args.draft)[0]
    scores = []
    for task in args.tasks:
        scores.append(score(task, target, draft, tokenizer, args.count, args.seed))
        accepted = scores[-1].acceptance_ratio
        shown = "" if accepted is None else f"  acceptance {accepted:.3f}"
        print(f"{task:24} exact {scores[-1].exact_ratio:.3f} of {scores[-1].num_answers}{shown}")
    print(json.dumps([s._asdict() for s in scores]))


if __name__ == "__main__":
    main()
