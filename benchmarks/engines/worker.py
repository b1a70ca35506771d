"""python -m benchmarks.engines.worker --engine ours --model tiny --dtype float32

One engine as a library: jobs come in as lines of JSON, outcomes go out the same way.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.engines.base import Job, Outcome
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import generate
from engine_under_test.request import SamplingParams
from engine_under_test.server.build import find_model

MAX_LEN = 1024
STEP_TOKENS = 512  # of a step at most, in both
PAGE_TOKENS = 32  # of transformers' cache: of 32 and 256 the faster one on a CPU

Timed = Callable[[], int]  # does the job; returns the number of tokens generated
Ready = Callable[[Job], AbstractContextManager[Timed]]  # prepares for a job, untimed


def ours(model: str, dtype: str) -> Ready:
    """EngineCore stepped to the end of the job."""
    source = find_model(model)
    config = EngineConfig(
        model_dir=source.directory,
        shape=source.shape,
        dtype=dtype,  # type: ignore[arg-type]
        max_model_len=MAX_LEN,
        max_num_batched_tokens=STEP_TOKENS,
    )
    engine = EngineCore(config)
    engine.touch_cache()  # as the server does

    @contextmanager
    def ready(job: Job) -> Iterator[Timed]:
        params = SamplingParams(max_tokens=job.num_out, temperature=0.0, ignore_eos=True)
        yield lambda: sum(map(len, generate(engine, job.prompts, params)))

    return ready


def rival(model: str, dtype: str) -> Ready:
    """transformers' continuous batching, its cache sized for the job."""
    import transformers
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    source = find_model(model)
    assert source.directory is not None, "random shapes exist in our engine only"
    if source.directory.is_file():
        from benchmarks.gguf_files import transformers_model

        loaded = transformers_model(source.directory, getattr(torch, dtype))
    else:
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            source.directory, dtype=getattr(torch, dtype)
        ).eval()
    loaded.set_attn_implementation("sdpa")

    @contextmanager
    def ready(job: Job) -> Iterator[Timed]:
        """A manager sized for the job, started and warm: only the answering is timed."""
        longest = max(map(len, job.prompts)) + job.num_out
        pages = -(-longest // PAGE_TOKENS) + 1
        settings = ContinuousBatchingConfig(
            page_size=PAGE_TOKENS,
            num_blocks=len(job.prompts) * pages + 2,
            max_batch_tokens=STEP_TOKENS,
            max_requests_per_batch=len(job.prompts),
            use_cuda_graph=False,
            use_async_batching=False,
        )
        generation = transformers.GenerationConfig(
            max_new_tokens=job.num_out, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        with loaded.continuous_batching_context_manager(
            generation_config=generation,
            continuous_batching_config=settings,
            block=True,
            timeout=5,
            warmup=False,
        ) as manager:

            def run(prompts: list[list[int]], num_out: int) -> int:
                manager.add_requests(inputs=prompts, max_new_tokens=num_out)
                num_done = num_tokens = 0
                while num_done < len(prompts):
                    result = manager.get_result(timeout=1)
                    if result is not None and result.is_finished():
                        num_done += 1
                        num_tokens += len(result.generated_tokens)
                    assert result is not None or manager.is_running(), "transformers gave up"
                return num_tokens

            run([[5, 6, 7, 8]], 2)
            yield lambda: run(job.prompts, job.num_out)

    return ready


def serve(ready: Ready) -> None:
    """A warm-up, then an outcome a line until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    with ready(Job([[5, 6, 7, 8]] * 2, 3)) as warm_up:
        warm_up()
    _say(answers, "ready")
    for line in sys.stdin:
        job = Job(**json.loads(line))
        with ready(job) as run:
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            num_out = run()
            wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        outcome = Outcome(wall_s, cpu_s, sum(map(len, job.prompts)), num_out)
        _say(answers, asdict(outcome))


def _say(answers: Any, what: object) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["ours", "transformers"], required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    torch.set_num_threads(1)
    serve((ours if args.engine == "ours" else rival)(args.model, args.dtype))
