"""python -m benchmarks.spec [--concurrent 1,4,16] [--rounds 5] [--page FILE] [--json FILE]

Does speculation pay? Net output tokens per second of the tiny pair without drafts, with n-grams and
with its draft model, at fixed and adaptive lengths, on answers that copy their prompt and on prose.
One process, the engine without its server: the arms take turns within every round and each round
begins with another one, so that a busy machine hurts them all. What counts is the ratio to `off` of
the same round; acceptance is shown beside it and decides nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.request import Request, SamplingParams
from engine_under_test.spec_config import SpecConfig
from engine_under_test.tokenizer import Tokenizer
from engine_under_test.weights.corpus import prompts, render

WEIGHTS = Path(__file__).parents[1] / "engine_under_test" / "weights"
SCENARIOS = Path(__file__).parents[1] / "scenarios"
DRAFT = WEIGHTS / "tiny-draft"
ARMS: dict[str, SpecConfig | None] = {
    "off": None,
    "ngram 3": SpecConfig("ngram", 3),
    "ngram 7": SpecConfig("ngram", 7),
    "ngram adaptive": SpecConfig("ngram"),
    "draft 1": SpecConfig("draft", 1, draft_dir=DRAFT),
    "draft 3": SpecConfig("draft", 3, draft_dir=DRAFT),
    "draft adaptive": SpecConfig("draft", draft_dir=DRAFT),
}
MAX_TOKENS = 64
PER_SLOT = 3  # requests a place: each round serves PER_SLOT * concurrent, at least FEWEST
FEWEST = 6


TEMPERATURE = {"copy": 0.0, "prose": 0.8}


@dataclass(frozen=True, slots=True)
class Turn:
    """One arm's part of one round. cpu_s: of the process, all threads."""

    workload: str
    concurrent: int
    arm: str
    round: int
    num_tokens: int
    wall_s: float
    cpu_s: float
    num_drafts: int
    num_draft_tokens: int
    num_accepted_tokens: int


def questions(workload: str, count: int, tokenizer: Tokenizer) -> list[list[int]]:
    """count prompts, each up to the last assistant turn.

    copy: the chats of the scenario spec-decode.  prose: held-out stories and essays.
    """
    texts = _copying() if workload == "copy" else _prose(count)
    return [tokenizer.encode(texts[i % len(texts)]) for i in range(count)]


def _copying() -> list[str]:
    lines = (SCENARIOS / "prompts" / "copying.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in chat["messages"])
        + "<|im_start|>assistant\n"
        for chat in map(json.loads, lines)
    ]


def _prose(count: int) -> list[str]:
    each = -(-count // 2)
    chats = [c for pair in zip(prompts("stories", each, 1), prompts("essays", each, 1), strict=True)
             for c in pair]  # fmt: skip
    found = []
    for chat in chats:
        spans = render(chat)
        last = max(i for i, span in enumerate(spans) if span.is_learnt)
        found.append("".join(span.text for span in spans[:last]))
    return found


def take_turn(core: EngineCore, workload: str, ids: Sequence[list[int]], arm: str, n: int) -> Turn:
    """Serve all prompts, as many at a time as the engine has places."""
    core.restart_counters()
    params = [
        SamplingParams(MAX_TOKENS, temperature=TEMPERATURE[workload], seed=i)
        for i in range(len(ids))
    ]
    for i, (prompt, p) in enumerate(zip(ids, params, strict=True)):
        core.add(Request(f"{i}", prompt, p))
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    while core.has_work:
        core.step()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    s = core.stats()
    return Turn(
        workload, core.config.max_num_seqs, arm, n, s.num_generation_tokens, wall_s, cpu_s,
        s.num_drafts, s.num_draft_tokens, s.num_accepted_tokens,
    )  # fmt: skip


def measure(concurrent: Sequence[int], rounds: int) -> Iterator[Turn]:
    """Round 0 of each engine warms it and is left out."""
    tokenizer = Tokenizer.from_path(WEIGHTS / "tiny")
    for num in concurrent:
        cores = {arm: _engine(spec, num) for arm, spec in ARMS.items()}
        for workload in TEMPERATURE:
            ids = questions(workload, max(FEWEST, PER_SLOT * num), tokenizer)
            for n in range(rounds + 1):
                names = [*ARMS][n % len(ARMS) :] + [*ARMS][: n % len(ARMS)]
                for arm in names:
                    turn = take_turn(cores[arm], workload, ids if n else ids[:num], arm, n)
                    if n:
                        yield turn


def _engine(spec: SpecConfig | None, num_seqs: int) -> EngineCore:
    """Without a prefix cache: a round must not find the prompts of the one before."""
    return EngineCore(
        EngineConfig(
            model_dir=WEIGHTS / "tiny",
            max_num_seqs=num_seqs,
            num_blocks=1 + num_seqs * 128,
            enable_prefix_caching=False,
            spec=spec,
        )
    )


def table(turns: Sequence[Turn]) -> str:
    """Markdown, one row a workload, number of requests and arm."""
    lines = [
        "| answers | at a time | arm | tokens/s | x off (range) | x off, CPU | drafts accepted |"
        " tokens a verification |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    keys = dict.fromkeys((t.workload, t.concurrent, t.arm) for t in _in_order(turns))
    base = {(t.workload, t.concurrent, t.round): t for t in turns if t.arm == "off"}
    for key in keys:
        own = [t for t in turns if (t.workload, t.concurrent, t.arm) == key]
        offs = [base[t.workload, t.concurrent, t.round] for t in own]
        pairs = list(zip(own, offs, strict=True))
        wall = [a.num_tokens / a.wall_s / (b.num_tokens / b.wall_s) for a, b in pairs]
        cpu = [a.num_tokens / a.cpu_s / (b.num_tokens / b.cpu_s) for a, b in pairs]
        speed = statistics.median(t.num_tokens / t.wall_s for t in own)
        drafted, accepted = _sum(own, "num_draft_tokens"), _sum(own, "num_accepted_tokens")
        drafts = _sum(own, "num_drafts")
        cells = [
            *map(str, key), f"{speed:,.0f}",
            f"{statistics.median(wall):.2f} ({min(wall):.2f}-{max(wall):.2f})"
            if key[2] != "off" else "1",
            f"{statistics.median(cpu):.2f}" if key[2] != "off" else "1",
            f"{accepted / drafted:.0%} of {drafted:,}" if drafted else "",
            f"{1 + accepted / drafts:.2f}" if drafts else "",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _in_order(turns: Sequence[Turn]) -> list[Turn]:
    arms, names = [*ARMS], [*TEMPERATURE]
    return sorted(turns, key=lambda t: (names.index(t.workload), t.concurrent, arms.index(t.arm)))


def _sum(turns: Sequence[Turn], name: str) -> int:
    return sum(getattr(t, name) for t in turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("--concurrent", default="1,4,16", help="requests at a time, a list")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", type=Path, help="write the table here, as Markdown")
    parser.add_argument("--json", type=Path, help="write every turn here, and the machine")
    args = parser.parse_args()
    load_before = os.getloadavg()[0]
    turns = list(measure([int(n) for n in args.concurrent.split(",")], args.rounds))
    told: dict[str, Any] = machine(["torch", "numpy"], load_before)
    text = f"{table(turns)}\n\n{json.dumps(told)}\n"
    print(text)
    if args.page:
        args.page.write_text(text, encoding="utf-8")
    if args.json:
        rows = [asdict(t) for t in turns]
        args.json.write_text(json.dumps({"machine": told, "turns": rows}), encoding="utf-8")


if __name__ == "__main__":
    main()
