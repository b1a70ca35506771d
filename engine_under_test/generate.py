"""`python -m engine_under_test.generate --model tiny "prompt" ["prompt" ...]`: no server.

Runs a batch of prompts to its end. The function is what tests and benchmarks call; the command
prints one continuation after another, and how fast they came to stderr.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from .config import EngineConfig
from .core import EngineCore
from .errors import EngineError
from .request import Request, SamplingParams


def generate(
    engine: EngineCore, prompts_ids: Sequence[Sequence[int]], params: SamplingParams
) -> list[list[int]]:
    """The generated token ids of each prompt, end-of-sequence included where it came.

    Takes the engine for itself until all are done. Raises RequestRefused or QueueFull before
    anything ran, EngineError when a sequence outgrew the cache.
    """
    requests = [Request(f"generate-{i}", list(ids), params) for i, ids in enumerate(prompts_ids)]
    try:
        for request in requests:
            engine.add(request)
        while engine.has_work:
            for output in engine.step():
                if output.error:
                    raise EngineError(output.error, where=output.request_id)
    except EngineError:
        for request in requests:
            engine.abort(request.request_id)
        raise
    return [request.token_ids[request.num_prompt :] for request in requests]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        _run(args)
    except EngineError as error:
        print(error.render(), file=sys.stderr)
        return 2
    return 0


def _run(args: argparse.Namespace) -> None:
    from .server.build import find_model
    from .tokenizer import Tokenizer

    source = find_model(args.model)
    engine = EngineCore(EngineConfig(model_dir=source.directory, shape=source.shape))
    tokenizer = Tokenizer.from_path(source.directory) if source.directory else Tokenizer.of_bytes()
    params = SamplingParams(args.max_tokens, temperature=args.temperature, seed=args.seed)
    started_s = time.perf_counter()
    answers = generate(engine, [tokenizer.encode(p) for p in args.prompt], params)
    elapsed_s = time.perf_counter() - started_s
    for prompt, ids in zip(args.prompt, answers, strict=True):
        print(prompt + tokenizer.decode(ids))
    num_tokens = sum(map(len, answers))
    print(
        f"{num_tokens} tokens in {elapsed_s:.2f} s: {num_tokens / elapsed_s:.0f} tok/s",
        file=sys.stderr,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine_under_test.generate", description=__doc__
    )
    parser.add_argument("--model", required=True, help="a shipped model, a shape, or a directory")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (the default) is greedy")
    parser.add_argument("--seed", type=int, help="None draws one")
    parser.add_argument("prompt", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main())
