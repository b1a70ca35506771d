"""`python -m engine_under_test.generate --model tiny "prompt" ["prompt" ...]`: no server.

Runs a batch of prompts to its end. The functions are what tests and benchmarks call; the command
prints one continuation after another, and how fast they came to stderr.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

from .config import EngineConfig
from .core import EngineCore
from .errors import EngineError
from .request import NO_TOKENS, FloatArray, Pooling, Request, RequestOutput, SamplingParams


def generate(
    engine: EngineCore, prompts_ids: Sequence[Sequence[int]], params: SamplingParams
) -> list[list[int]]:
    """The generated token ids of each prompt, end-of-sequence included where it came.

    Takes the engine for itself until all are done. Raises RequestRefused or QueueFull before
    anything ran, EngineError when a sequence outgrew the cache.
    """
    requests = [Request(f"generate-{i}", list(ids), params) for i, ids in enumerate(prompts_ids)]
    for _ in _outputs(engine, requests):
        pass
    return [request.token_ids[request.num_prompt :] for request in requests]


def embed(
    engine: EngineCore, prompts_ids: Sequence[Sequence[int]], pooling: Pooling
) -> list[FloatArray]:
    """Each prompt's vector [hidden_size], not normalised. Otherwise as generate()."""
    requests = [
        Request(f"embed-{i}", list(ids), NO_TOKENS, pooling=pooling)
        for i, ids in enumerate(prompts_ids)
    ]
    found = {output.request_id: output.embedding for output in _outputs(engine, requests)}
    return [vector for r in requests if (vector := found[r.request_id]) is not None]


def _outputs(engine: EngineCore, requests: Sequence[Request]) -> Iterator[RequestOutput]:
    try:
        for request in requests:
            engine.add(request)
        while engine.has_work:
            for output in engine.step():
                if output.error:
                    raise EngineError(output.error, where=output.request_id)
                yield output
    except EngineError:
        for request in requests:
            engine.abort(request.request_id)
        raise


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
