"""llama.cpp reads the GGUF files our test writer makes and generates the same ids as our engine.

The writer (tests/engine_under_test/models/gguf_writer.py) and our reader could be wrong alike;
llama.cpp, which defines the format, settles it for each architecture.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import generate
from engine_under_test.request import SamplingParams
from engine_under_test.server.build import SHIPPED

ROOT = Path(__file__).parents[2]
ABSENT = [n for n in ("xllamacpp", "gguf") if util.find_spec(n) is None]
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.slow,
    pytest.mark.skipif(bool(ABSENT), reason=f"no {' and '.join(ABSENT)}: run 'make test-real'"),
]
# The vocabulary of `tiny`, whose tokenizer llama.cpp needs to load the file at all.
SMALL = {
    "vocab_size": 2048,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "eos_token_id": 2,
}
MODELS: dict[str, tuple[Any, Any]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
}
NUM_NEW = 12
PROMPT = [17, 300, 41, 999, 1500, 88, 640, 7, 1234]


@pytest.mark.parametrize("name", MODELS)
def test_greedy_ids_equal_those_of_llama_cpp(name: str, tmp_path: Path) -> None:
    from tests.engine_under_test.models.gguf_writer import write_gguf

    config_class, model_class = MODELS[name]
    torch.manual_seed(5)
    model = model_class(config_class(**SMALL))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "hf")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SHIPPED / "tiny" / file, tmp_path / "hf")
    path = write_gguf(tmp_path / "hf", tmp_path / "model.gguf")
    engine = EngineCore(EngineConfig(model_dir=path, dtype="float32"))
    params = SamplingParams(max_tokens=NUM_NEW, temperature=0.0)
    (expected,) = generate(engine, [PROMPT], params)
    assert llama_cpp(path, len(expected)) == expected
    assert len(set(expected)) > 3, "a model that repeats itself tells little"


def llama_cpp(path: Path, num_new: int) -> list[int]:
    command = [sys.executable, "-m", "benchmarks.llama_cpp_server", "--model", str(path)]
    with subprocess.Popen(
        [*command, "--slots", "1", "--slot-tokens", "256"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdin is not None
        word, _, url = child.stdout.readline().strip().partition(" ")
        assert word == "ready"
        body = {
            "prompt": PROMPT, "n_predict": num_new, "temperature": 0, "return_tokens": True,
        }  # fmt: skip
        request = urllib.request.Request(
            url.removesuffix("/v1") + "/completion",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            tokens: list[int] = json.loads(reply.read())["tokens"]
        child.stdin.close()
        assert child.wait(30) == 0
    return tokens
