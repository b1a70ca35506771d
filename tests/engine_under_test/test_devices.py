"""Nothing of a step stays on the host that belongs on the device, and no copy is waited for.

torch's meta device has shapes and no values: operations on it and on the CPU do not mix, as with a
GPU, and whoever asks for a value is refused. The engine runs on it with kernels that only look at
their arguments, tokens being what nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.model_config import Quantization
from engine_under_test.models import SHAPES, Llama, LoadedModel
from engine_under_test.plan import SampledTokens
from engine_under_test.pooling import Vectors
from engine_under_test.request import NO_TOKENS, Request, SamplingParams
from engine_under_test.sampler import Sampler
from engine_under_test.speculative import verify_ratio

META = torch.device("meta")


class NothingIsWaitedFor(TorchDispatchMode):
    """Refuses copies from the host but for those of to_device: they wait until they are done."""

    is_allowed = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [t for t in tree_leaves(args) if isinstance(t, torch.Tensor)]
        is_from_host = any(t.device != META and t.dim() for t in inputs)
        is_there = META in (*args, *kwargs.values()) or any(t.device == META for t in inputs)
        assert NothingIsWaitedFor.is_allowed or not (is_from_host and is_there), func
        return func(*args, **kwargs)


class NobodyKnows:
    """See OnItsWay: token 5, whatever was drawn; a vector of nothing, whatever was pooled."""

    def __init__(
        self,
        tokens: torch.Tensor | None,
        places: list[int],
        num_seqs: int,
        vectors: Vectors | None = None,
    ) -> None:
        assert tokens is None or tokens.device == META
        assert vectors is None or vectors.values.device == META
        self._places, self._num_seqs = places, num_seqs
        self._ids = vectors.ids if vectors is not None else []

    def tokens(self) -> SampledTokens:
        tokens = [[5] if i in self._places else [] for i in range(self._num_seqs)]
        return SampledTokens(tokens, embeddings={name: np.zeros(1) for name in self._ids})


def looking(make: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that computes nothing: every tensor must be on the device."""

    def kernel(*args: Any, **named: Any) -> Any:
        for value in (*args, *named.values()):
            assert not isinstance(value, torch.Tensor) or value.device == META
        return make(*args)

    return kernel


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")

    def moved(values: Any, device: torch.device) -> torch.Tensor:
        NothingIsWaitedFor.is_allowed = True
        try:
            return torch.from_numpy(values).to(device)
        finally:
            NothingIsWaitedFor.is_allowed = False

    for module in (
        "batch", "device_rows", "graphs", "pooling", "runner", "sampler", "attention.triton_paged",
    ):  # fmt: skip
        monkeypatch.setattr(f"engine_under_test.{module}.to_device", moved)
    for name, make in {
        "rms_norm": lambda x, *_: torch.empty_like(x),
        "add_rms_norm": lambda x, *_: torch.empty_like(x),
        "silu_mul": lambda x: x.new_empty(len(x), x.shape[1] // 2),
        "rope_write_kv": lambda *_: None,
        "paged_attention": lambda *_: None,
        "draw": lambda logits, *_: logits.new_empty(len(logits), dtype=torch.int64),
        "fp8.fp8_linear": lambda x, values, _: x.new_empty(len(x), len(values)),
    }.items():
        monkeypatch.setattr(f"engine_under_test.kernels.{name}", looking(make))
    monkeypatch.setattr("engine_under_test.runner.OnItsWay", NobodyKnows)


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize(
    ("graphs", "quantization"), [(False, None), (True, None), (True, "fp8"), (False, "fp8")]
)
def test_every_tensor_of_a_step_is_on_its_device(
    graphs: bool, quantization: Quantization | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine_under_test.models.triton_ops import TritonOps

    model = Llama(
        SHAPES["debug"], 512, torch.bfloat16, META, TritonOps(), "stored" if quantization else None
    )
    loaded = LoadedModel(model, "bfloat16", 512, "triton", lambda: "")
    monkeypatch.setattr("engine_under_test.core.load_model", lambda _: loaded)
    monkeypatch.setattr("engine_under_test.core.default_cache_bytes", lambda _: 2**20)
    core = EngineCore(
        EngineConfig(
            shape="debug", num_blocks=99, max_num_seqs=4, max_num_batched_tokens=300,
            graphs=graphs, overlap=True, quantization=quantization,
        )
    )  # fmt: skip
    for i, params in enumerate(
        (
            SamplingParams(5, temperature=0.0, ignore_eos=True),
            SamplingParams(5, temperature=1.0, ignore_eos=True),
            SamplingParams(5, temperature=0.7, top_p=0.9, top_k=7, min_p=0.1, ignore_eos=True),
        )
    ):
        core.add(Request(f"r{i}", list(range(1, 280 - 100 * i)), params))
        with NothingIsWaitedFor():
            core.step()  # the next prompt runs beside this one's decode
    # Vectors of a short prompt and of one that takes two steps, beside the decodes.
    core.add(Request("last", [1, 2, 3], NO_TOKENS, pooling="last"))
    core.add(Request("mean", list(range(1, 400)), NO_TOKENS, pooling="mean"))
    num_tokens, pooled = 0, set()
    while core.has_work:
        with NothingIsWaitedFor():
            for output in core.step():
                num_tokens += len(output.new_token_ids)
                pooled |= {output.request_id} if output.embedding is not None else set()
    assert num_tokens > 10
    assert pooled == {"last", "mean"}
    assert core._runner.num_ahead > 3
    if graphs:
        assert core._runner.graphs is not None
        assert core._runner.graphs.num_replays > 0


@pytest.mark.usefixtures("on_meta")
def test_what_drafts_are_judged_by_stays_on_the_device() -> None:
    sampler = Sampler(4, 50, (), META, uses_kernels=True)
    requests = []
    for row, params in enumerate(
        (SamplingParams(9, temperature=0.0), SamplingParams(9, top_p=0.5, top_k=9, min_p=0.1))
    ):
        requests.append(Request(str(row), [1, 2], params))
        sampler.assign(row, requests[-1])
    rows = np.array([0, 1])
    p = sampler.distribution(torch.empty(2, 50, device=META), rows, requests)
    assert p.device == META
    k, ints = 3, torch.zeros(2, dtype=torch.int64, device=META)
    q = p.unsqueeze(1).expand(2, k, 50)
    judged = verify_ratio(
        p.unsqueeze(1).expand(2, k + 1, 50), q, ints.unsqueeze(1).expand(2, k), ints,
        torch.zeros(2, k, dtype=torch.float64, device=META),
    )  # fmt: skip
    assert judged.weights.device == META
