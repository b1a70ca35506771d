"""Every finished constrained answer is what its grammar says, whatever else the batch does.

Weights are random, so nothing but the mask makes these answers valid.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jsonschema
import pytest
import torch

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import RequestRefused
from engine_under_test.request import (
    FinishReason,
    Request,
    RequestOutput,
    SamplingParams,
    TokenLogprob,
)
from engine_under_test.structured import Grammar, GrammarCompiler, MaskFiller
from engine_under_test.tokenizer import Tokenizer

TOKENIZER = Tokenizer.of_bytes()
VOCAB_SIZE, EOS = 512, TOKENIZER.eos_ids[0]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", None]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Lark:
    text: str
    field = "test"

    def lark(self) -> str:
        return self.text

    def looser(self) -> None:
        return None


def of_schema(schema: object) -> Lark:
    return Lark(f"start: answer\nanswer: %json {json.dumps(schema)}\n")


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(TOKENIZER.to_json(), VOCAB_SIZE, [EOS])


def engine(**settings: object) -> EngineCore:
    config = {"shape": "debug", "num_blocks": 256, "dtype": "float64", **settings}
    return EngineCore(EngineConfig(**config))  # type: ignore[arg-type]


def drain(core: EngineCore) -> dict[str, tuple[list[int], RequestOutput]]:
    """Tokens and last output of each request."""
    tokens: dict[str, list[int]] = {}
    last = {}
    while core.has_work:
        for output in core.step():
            tokens.setdefault(output.request_id, []).extend(output.new_token_ids)
            if output.finish_reason is not None:
                last[output.request_id] = (tokens[output.request_id], output)
    return last


def sampled(seed: int, **fields: object) -> SamplingParams:
    return replace(SamplingParams(max_tokens=120, seed=seed), **fields)  # type: ignore[arg-type]


def test_every_finished_answer_validates_in_any_company(compiler: GrammarCompiler) -> None:
    """Constrained and free requests mixed, preempted for want of blocks, at any temperature."""
    requests = [
        Request(
            f"{n}",
            TOKENIZER.encode(f"prompt {n}"),
            sampled(n, temperature=n % 3, top_p=0.9 if n % 4 else 1.0, repetition_penalty=1.2),
            grammar=None if n % 5 == 0 else compiler.submit(of_schema(PERSON)),
        )
        for n in range(20)
    ]
    core = engine(num_blocks=60)
    for r in requests:
        core.add(r)
    ended = drain(core)
    core.check_integrity()
    assert core.stats().num_preemptions > 0
    num_complete = 0
    for r in requests:
        tokens, output = ended[r.request_id]
        if r.grammar is None:
            alone = engine()
            alone.add(Request("alone", r.prompt_ids, r.params))
            assert drain(alone)["alone"][0] == tokens
            continue
        text = TOKENIZER.decode(tokens)
        if output.finish_reason is FinishReason.STOP:
            num_complete += 1
            jsonschema.validate(json.loads(text), PERSON)
        else:
            assert output.finish_reason is FinishReason.LENGTH
            assert len(tokens) == 120
    assert num_complete >= 5


def test_a_preempted_answer_is_the_one_it_would_have_been(compiler: GrammarCompiler) -> None:
    def answers(num_blocks: int) -> tuple[list[list[int]], int]:
        core = engine(num_blocks=num_blocks)
        for n in range(6):
            grammar = compiler.submit(of_schema({"type": "array", "minItems": 20}))
            prompt = TOKENIZER.encode(f"list {n}")
            core.add(Request(f"{n}", prompt, sampled(n, max_tokens=60), grammar=grammar))
        ended = drain(core)
        return [ended[f"{n}"][0] for n in range(6)], core.stats().num_preemptions

    roomy, none = answers(256)
    tight, some = answers(14)
    assert none == 0 < some
    assert tight == roomy


def test_the_step_loop_goes_on_while_a_grammar_compiles(compiler: GrammarCompiler) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Lark):
        def lark(self) -> str:
            begun.set()
            assert go_on.wait(120)
            return self.text

    core = engine()
    slow = Request("slow", [1], sampled(1), grammar=compiler.submit(Slow('start: "yes"')))
    core.add(slow)
    core.add(Request("free", [2], sampled(2, max_tokens=3)))
    assert begun.wait(120)
    outputs = [core.step() for _ in range(3)]
    assert [o.request_id for step in outputs for o in step] == ["free"] * 3
    assert core.step() == []
    assert core.has_work
    assert not core.can_step
    num_steps = core.stats().num_steps
    go_on.set()
    tokens, output = drain(core)["slow"]
    assert TOKENIZER.decode(tokens) == "yes"
    assert output.finish_reason is FinishReason.STOP
    assert core.stats().num_steps == num_steps + len(tokens), "turns without work are no steps"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (Lark("start: %json {"), "cannot be compiled"),
        (of_schema({"$ref": "#"}), "cannot be compiled"),
        (of_schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_its_reason(
    compiler: GrammarCompiler, source: Lark, why: str
) -> None:
    core = engine()
    grammar = compiler.submit(source)
    core.add(Request("r", [1], sampled(1), grammar=grammar))
    tokens, output = drain(core)["r"]
    assert (tokens, output.finish_reason) == ([], FinishReason.ERROR)
    assert why in output.error
    assert isinstance(grammar.refusal, RequestRefused)
    assert len(output.error) < 400


def test_equal_sources_are_compiled_once(compiler: GrammarCompiler) -> None:
    num_compiled = 0

    class Counted(Lark):
        def lark(self) -> str:
            nonlocal num_compiled
            num_compiled += 1
            return self.text

    core = engine()
    for n in range(4):
        grammar = compiler.submit(Counted("start: /[ab]{4}/"))
        core.add(Request(f"{n}", [1], sampled(n), grammar=grammar))
    texts = {TOKENIZER.decode(tokens) for tokens, _ in drain(core).values()}
    assert num_compiled == 1
    assert len(texts) > 1, "each request has its own place in the grammar"
    assert all(len(text) == 4 for text in texts)


def test_mask_rows_behind_drafts_are_those_of_the_longer_sequence(
    compiler: GrammarCompiler,
) -> None:
    def opened(tokens: list[int]) -> Request:
        r = Request("r", [1], sampled(0), grammar=compiler.submit(of_schema(PERSON)))
        while r.grammar is not None and not r.grammar.is_ready:
            pass
        r.token_ids += tokens
        return r

    def rows(requests: list[Request], drafts: Sequence[list[int]] = ()) -> torch.Tensor:
        bits = MaskFiller(VOCAB_SIZE).fill(requests, drafts)
        assert bits is not None
        assert bits.dtype == torch.int32
        return bits

    text = TOKENIZER.encode('{"name":"bo","age":12')
    free = Request("free", [1], sampled(0))
    drafted = rows([opened(text[:5]), free, opened([])], [text[5:], [7], []])
    num_behind = len(text) - 5 + 1
    for n, row in enumerate(drafted[:num_behind]):
        torch.testing.assert_close(row, rows([opened(text[: 5 + n])])[0])
    assert (drafted[num_behind : num_behind + 2] == -1).all(), "free requests may say anything"
    torch.testing.assert_close(drafted[-1], rows([opened([])])[0])
    # A draft the grammar forbids: told apart before the step, and harmless in it.
    wrong = opened(text[:5])
    drafts = [*text[5:8], 0, *text[8:]]
    grammar = wrong.grammar
    assert isinstance(grammar, Grammar)
    assert grammar.num_valid(wrong, drafts) == 3
    mixed = rows([wrong], [drafts])
    torch.testing.assert_close(mixed[:4], drafted[:4])
    assert (mixed[4:] != 0).any(dim=1).all(), "no row may forbid everything"
    assert grammar.error == ""


def test_without_grammars_there_is_no_mask() -> None:
    assert MaskFiller(VOCAB_SIZE).fill([Request("r", [1], sampled(0))]) is None


def test_logprobs_are_those_of_the_model_not_of_the_mask(compiler: GrammarCompiler) -> None:
    def first_row(grammar: Grammar | None) -> TokenLogprob:
        core = engine()
        params = sampled(3, logprobs=2, max_tokens=1)
        core.add(Request("r", [5, 6], params, grammar=grammar))
        _, output = drain(core)["r"]
        assert output.logprobs is not None
        return output.logprobs[0]

    free, bound = first_row(None), first_row(compiler.submit(Lark('start: "zzz"')))
    assert bound.top == free.top
    assert bound.token_id == TOKENIZER.encode("z")[0]
    assert bound.rank > 2
