"""python -m benchmarks.engines.features [--model tiny]

What three features are worth, on and off in turn on one model: the prefix cache, where many prompts
share a beginning; chunked prefill, where a long prompt arrives while others generate; speculation,
where the answer stands in the prompt (`tiny` alone knows the held-out tasks). Prints one line of
JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from statistics import median
from typing import Any

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import generate
from engine_under_test.request import Request, SamplingParams
from engine_under_test.server.build import find_model
from engine_under_test.spec_config import SpecConfig
from engine_under_test.tokenizer import Tokenizer
from engine_under_test.weights.corpus import prompts

SHARED, OWN, NUM_PROMPTS, NUM_OUT = 768, 32, 16, 8
LONG_PROMPT, NUM_DECODING, CHUNK = 2048, 8, 128
COPYING_AT_ONCE = 8
GREEDY = SamplingParams(max_tokens=64, temperature=0.0)


def engine(model: str, **settings: Any) -> EngineCore:
    source = find_model(model)
    return EngineCore(
        EngineConfig(
            model_dir=source.directory,
            shape=source.shape,
            dtype="float32",
            max_model_len=4096,
            **settings,
        )
    )


def ids(rng: random.Random, vocab: int, number: int) -> list[int]:
    return [rng.randrange(3, vocab) for _ in range(number)]


def prefix_cache(model: str, turns: int = 3) -> dict[str, Any]:
    """Seconds for prompts that share SHARED of their tokens, one after another as chats come in."""
    cores = {on: engine(model, enable_prefix_caching=on) for on in (True, False)}
    params = SamplingParams(max_tokens=NUM_OUT, temperature=0.0, ignore_eos=True)
    spent: dict[bool, list[float]] = {True: [], False: []}
    answers: dict[bool, list[list[int]]] = {}
    for turn in range(turns):
        rng = random.Random(turn)
        vocab = cores[True].model_config.vocab_size
        shared = ids(rng, vocab, SHARED)
        prompts = [shared + ids(rng, vocab, OWN) for _ in range(NUM_PROMPTS)]
        for on, core in cores.items():
            start_s = time.perf_counter()
            answers[on] = [generate(core, [p], params)[0] for p in prompts]
            spent[on].append(time.perf_counter() - start_s)
    stats = cores[True].stats()
    return {
        "on_s": median(spent[True]), "off_s": median(spent[False]),
        "speed_up": median(spent[False]) / median(spent[True]),
        "hit_ratio": stats.num_prefix_hit_tokens / stats.num_prefix_query_tokens,
        "same_answers_ratio": sum(
            a == b for a, b in zip(answers[True], answers[False], strict=True)
        ) / NUM_PROMPTS,
    }  # fmt: skip


def chunked_prefill(model: str, turns: int = 3) -> dict[str, Any]:
    """The longest step that NUM_DECODING streams wait for while a long prompt is read."""
    budgets = {"chunked": CHUNK, "whole": LONG_PROMPT + NUM_DECODING}
    cores = {
        name: engine(model, max_num_batched_tokens=budget, enable_prefix_caching=False)
        for name, budget in budgets.items()
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cores}
    for turn in range(turns):
        for name, core in cores.items():
            found[name].append(_interrupted(core, turn))
    return {
        name: {key: median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }


def speculation(turns: int = 3) -> dict[str, Any]:
    """Net tokens/s on the copying tasks of `tiny`, one request at a time and COPYING_AT_ONCE."""
    tiny = find_model("tiny").directory
    assert tiny is not None
    kinds = {
        "off": None,
        "n-gram": SpecConfig("ngram"),
        "draft model": SpecConfig("draft", mode="match", draft_dir=tiny.parent / "tiny-draft"),
    }
    cores = {name: engine("tiny", spec=spec) for name, spec in kinds.items()}
    questions = copying_prompts(Tokenizer.from_path(tiny))
    found: dict[str, Any] = {}
    for at_once in (1, COPYING_AT_ONCE):
        rates: dict[str, list[float]] = {name: [] for name in cores}
        answers: dict[str, list[list[int]]] = {}
        for _ in range(turns):
            for name, core in cores.items():
                start_s = time.perf_counter()
                answers[name] = []
                for i in range(0, len(questions), at_once):
                    answers[name] += generate(core, questions[i : i + at_once], GREEDY)
                num_tokens = sum(map(len, answers[name]))
                rates[name].append(num_tokens / (time.perf_counter() - start_s))
        found[str(at_once)] = {
            name: {
                "tok_per_s": median(rates[name]),
                "speed_up": median(rates[name]) / median(rates["off"]),
                "same_answers_ratio": sum(
                    a == b for a, b in zip(answers[name], answers["off"], strict=True)
                )
                / len(questions),
            }
            for name in cores
        }
    for name, core in cores.items():
        stats = core.stats()
        accepted = stats.num_accepted_tokens / max(stats.num_draft_tokens, 1)
        for row in found.values():
            row[name]["acceptance_ratio"] = accepted
    return found


def copying_prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Held-out questions whose answer is copied from them, as the server would word them."""
    template = tokenizer.chat_template
    assert template is not None
    chats = [c for task in ("extraction", "repeating") for c in prompts(task, 12, seed=3)]
    talks = [[{"role": m.role, "content": m.content} for m in c.messages[:-1]] for c in chats]
    return [tokenizer.encode(template.render(talk)) for talk in talks]


def _interrupted(core: EngineCore, turn: int) -> dict[str, float]:
    rng, vocab = random.Random(turn), core.model_config.vocab_size
    params = SamplingParams(max_tokens=400, temperature=0.0, ignore_eos=True)
    decoding = [Request(f"d{turn}-{i}", ids(rng, vocab, 32), params) for i in range(NUM_DECODING)]
    for r in decoding:
        core.add(r)
    for _ in range(20):
        core.step()
    usual_s = median(_timed_step(core) for _ in range(10))
    late = Request(f"late{turn}", ids(rng, vocab, LONG_PROMPT), SamplingParams(max_tokens=1))
    core.add(late)
    gaps_s = []
    while late.request_id in core._scheduler:
        gaps_s.append(_timed_step(core))
    for r in decoding:
        core.abort(r.request_id)
    core.step()
    return {
        "usual_gap_ms": usual_s * 1e3,
        "longest_gap_ms": max(gaps_s) * 1e3,
        "first_token_of_long_prompt_ms": sum(gaps_s) * 1e3,
    }


def _timed_step(core: EngineCore) -> float:
    start_s = time.perf_counter()
    core.step()
    return time.perf_counter() - start_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    args = parser.parse_args()
    found = {
        "prefix_cache": prefix_cache(args.model), "chunked_prefill": chunked_prefill(args.model),
        "speculation": speculation(),
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
