"""What the first requests would wait for, done before them: lazy starts, kernels, graphs.

On a GPU a kernel compiles when it is first launched, for seconds, and each batch size has a graph
of its own. Running out of memory in the largest step is found here, not by a client.
"""

from __future__ import annotations

from .core import EngineCore
from .errors import EngineError
from .request import FinishReason, Request, SamplingParams

SHORT_TOK = 40  # a prompt for which the kernels take small tiles


def warm_up(core: EngineCore, prompt: list[int], is_thorough: bool | None = None) -> None:
    """Generate from prompt, and throw it away: no counter and no step number tells of it.

    is_thorough: also the longest prompt that one step takes, prompts of two lengths beside a
    decode, and every graph; None: on a GPU.  Raises EngineError where the model cannot generate.
    """
    # Drafts need a few tokens until there is one to judge.
    num_tokens = 2 if core.config.spec is None else 4
    core.add(Request("warm-up", prompt, SamplingParams(num_tokens, ignore_eos=True, seed=0)))
    _drain(core)
    if is_thorough or (is_thorough is None and core.is_on_gpu):
        _run_every_kind_of_step(core)
        core.capture_graphs()
    core.restart_counters()


def _run_every_kind_of_step(core: EngineCore) -> None:
    num_out = 12
    room = min(core.max_model_len, core.stats().num_blocks * core.config.block_size) - num_out
    longest = min(core.config.max_num_batched_tokens, room)
    if longest < 1:
        return
    params = SamplingParams(num_out, ignore_eos=True, seed=0)
    core.add(Request("warm-up, longest", _prompt(core, 0, longest), params))
    for n, num_tok in enumerate((SHORT_TOK, longest // 2), start=1):
        _step(core)
        _step(core)
        if 0 < num_tok < longest:
            core.add(Request(f"warm-up, {num_tok}", _prompt(core, n, num_tok), params))
    _drain(core)


def _prompt(core: EngineCore, first: int, num_tok: int) -> list[int]:
    """No two of different `first` share a beginning that a cache could keep."""
    return [(first + 7 * i) % core.model_config.vocab_size for i in range(num_tok)]


def _drain(core: EngineCore) -> None:
    while core.has_work:
        _step(core)


def _step(core: EngineCore) -> None:
    for output in core.step():
        if output.finish_reason is FinishReason.ERROR:
            raise EngineError("the model loads but cannot generate", why=output.error)
