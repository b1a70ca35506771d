"""python -m benchmarks.scheduler [--requests 1,16,64] [--drafts 0,3,7] [--steps 400] [--json FILE]

What a step costs before and after the model: `schedule` and `update`, and with drafts the n-gram
look-up and the comparison of drafts with draws. No model runs: the target's "draws" agree with the
drafts as often as asked for, which also makes the text repeat, so that look-ups find something.
CPU microseconds of the thread, the median over steps, in one process; the settings take turns.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.engines import tables
from engine_under_test.kv_cache import KVCacheManager
from engine_under_test.plan import SampledTokens, SchedulerOutput
from engine_under_test.request import Request, SamplingParams
from engine_under_test.scheduler import Scheduler
from engine_under_test.speculative.adaptive import FixedLength
from engine_under_test.speculative.ngram import NgramDrafter
from engine_under_test.speculative.verify import match_length

PARTS = ("schedule", "update", "propose", "compare")
PROMPT, MAX_LEN, BLOCK = 64, 8192, 16
PERIOD = 8  # of the text: every request repeats so many tokens
RIGHT = 0.8  # of the draws that follow the text


class Load:
    """num_requests that decode for ever, num_drafts each."""

    def __init__(self, num_requests: int, num_drafts: int) -> None:
        self._num_drafts = num_drafts
        num_blocks = num_requests * MAX_LEN // BLOCK + 64
        self._scheduler = Scheduler(
            KVCacheManager(num_blocks, BLOCK),
            max_num_seqs=num_requests,
            max_num_batched_tokens=8192,
            max_model_len=MAX_LEN,
            draft_lengths=FixedLength(num_drafts) if num_drafts else None,
        )
        self._drafter = NgramDrafter(1, 3)
        self._rng = random.Random(0)
        for i in range(num_requests):
            params = SamplingParams(max_tokens=MAX_LEN, ignore_eos=True, seed=i)
            text = [self._rng.randrange(2000) for _ in range(PERIOD)]
            self._scheduler.add(Request(f"r{i}", text * (PROMPT // PERIOD), params))
        for _ in range(20):
            self.step()

    def step(self) -> dict[str, int]:
        """CPU ns of each part."""
        spent = dict.fromkeys(PARTS, 0)
        with _Timed(spent, "schedule"):
            plan = self._scheduler.schedule()
        assert plan is not None
        if self._num_drafts:
            rows = np.arange(len(plan.seqs))
            with _Timed(spent, "propose"):
                self._drafter.propose(plan.seqs, rows, [])
        drawn = self._draw(plan)
        with _Timed(spent, "compare"):
            sampled = SampledTokens(
                [
                    [*s.request.draft_ids[:n], own[n]]
                    for s, own in zip(plan.seqs, drawn, strict=True)
                    for n in (match_length(s.request.draft_ids, own),)
                ]
            )
        with _Timed(spent, "update"):
            self._scheduler.update(plan, sampled)
        return spent

    def _draw(self, plan: SchedulerOutput) -> list[list[int]]:
        """What a target would say at each position: mostly how the text goes on."""
        rng, found = self._rng, []
        for s in plan.seqs:
            known = s.request.token_ids[-PERIOD:]
            follows = [known[i % PERIOD] for i in range(s.num_drafts + 1)]
            found.append([t if rng.random() < RIGHT else rng.randrange(2000) for t in follows])
        return found


class _Timed:
    def __init__(self, spent: dict[str, int], part: str) -> None:
        self._spent, self._part = spent, part

    def __enter__(self) -> None:
        self._start_ns = time.thread_time_ns()

    def __exit__(self, *_: object) -> None:
        self._spent[self._part] += time.thread_time_ns() - self._start_ns


def measure(levels: list[int], drafts: list[int], num_steps: int) -> Iterator[dict[str, object]]:
    """A row a setting: CPU us of each part and of all, and tokens a request and step."""
    loads = {key: Load(*key) for key in product(levels, drafts)}
    gc.collect()
    gc.freeze()  # as the server does
    spent: dict[tuple[int, int], list[dict[str, int]]] = defaultdict(list)
    for _ in range(num_steps):
        for key, load in loads.items():
            spent[key].append(load.step())
    for (level, num_drafts), steps in spent.items():
        us = {part: median(s[part] for s in steps) / 1e3 for part in PARTS}
        total = median(sum(s.values()) for s in steps) / 1e3
        booking = median(s["schedule"] + s["update"] for s in steps) / 1e3
        yield {
            "requests": level, "drafts": num_drafts, **us, "scheduler": booking, "all": total,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("--requests", default="1,16,64")
    parser.add_argument("--drafts", default="0,3,7")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    levels, drafts = ([int(n) for n in text.split(",")] for text in (args.requests, args.drafts))
    rows = list(measure(levels, drafts, args.steps))
    columns = ("schedule", "update", "scheduler", "propose", "compare", "all")
    lines = [[row["requests"], row["drafts"], *(f"{row[c]:.0f}" for c in columns)] for row in rows]
    title = "Around the model, CPU us a step"
    print(tables.plain(title, ["requests", "drafts", *columns], lines))
    if args.json:
        args.json.write_text(json.dumps(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
