"""Answers that match a grammar: compiled off the step loop, then one bitmask row a draw.

llguidance does the parsing. A Grammar is one request's place in its grammar; like the penalties'
counts it follows the accepted tokens of its request, so preemption and rejected drafts need no
rollback here. The bitmask is int32 [rows, V / 32], a set bit allows its token.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from typing import Protocol

import torch
from llguidance import LLExecutor, LLMatcher, LLTokenizer

from .errors import RequestRefused
from .request import Request

log = logging.getLogger(__name__)
MAX_CACHED = 32  # compiled grammars kept for the next request with the same; a large one: 15 MB


class GrammarSource(Hashable, Protocol):
    """What compiles to a grammar; equal sources share one compilation.

    field: where the request asks for it, for messages.
    """

    @property
    def field(self) -> str: ...

    def lark(self) -> str:
        """The grammar in llguidance's Lark. Runs in the compiler's thread; RequestRefused."""

    def looser(self) -> GrammarSource | None:
        """What will do instead where this does not compile; None: nothing."""


class Grammar:
    """One request's grammar and its place in it. Belongs to the thread that steps.

    refusal: set where the grammar itself cannot be served, at any time, by any engine of ours.
    """

    def __init__(self, compiled: Future[LLMatcher], end_ids: frozenset[int]) -> None:
        self.error = ""
        self.end_ids = end_ids
        self.refusal: RequestRefused | None = None
        self._compiled = compiled
        self._matcher: LLMatcher | None = None
        self._num_consumed = 0

    @property
    def is_ready(self) -> bool:
        """Compiled, or refused: `error` is set then."""
        if self._matcher is None and not self.error and self._compiled.done():
            self._open()
        return self._matcher is not None or bool(self.error)

    def matcher(self, r: Request) -> LLMatcher:
        """The matcher, moved on by what r has accepted since. Call only once ready."""
        assert self._matcher is not None
        new = r.token_ids[r.num_prompt + self._num_consumed :]
        if new:
            self._matcher.consume_tokens(new)
            self._num_consumed += len(new)
        return self._matcher

    def may_end(self, r: Request) -> bool:
        """Whether the answer is complete without r's last token."""
        assert self._matcher is not None
        new = r.token_ids[r.num_prompt + self._num_consumed : -1]
        self._matcher.consume_tokens(new)
        self._num_consumed += len(new)
        return bool(self._matcher.is_accepting())

    def num_valid(self, r: Request, draft_ids: list[int]) -> int:
        """How many leading drafts the grammar allows; an end of sequence is never among them."""
        return int(self.matcher(r).validate_tokens(draft_ids))

    def _open(self) -> None:
        failure = self._compiled.exception()
        if failure is None:
            self._matcher = self._compiled.result().deep_copy()
            return
        if isinstance(failure, RequestRefused):
            self.refusal = failure
        else:
            log.error("a grammar failed to compile", exc_info=failure)
        self.error = str(failure)


class GrammarCompiler:
    """Compiles in a thread of its own; the caller gets a Grammar at once and may queue with it."""

    def __init__(self, tokenizer_json: str, vocab_size: int, eos_ids: Sequence[int]) -> None:
        """eos_ids: what ends an answer; where there is none, llguidance looks for a likely one."""
        ends = list(eos_ids) or None
        self._tokenizer = LLTokenizer(tokenizer_json, n_vocab=vocab_size, eos_token=ends)
        self._end_ids = frozenset(self._tokenizer.eos_tokens)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grammar-compiler")
        self._cache: OrderedDict[GrammarSource, Future[LLMatcher]] = OrderedDict()

    def submit(self, source: GrammarSource) -> Grammar:
        """A fresh Grammar for one request. Not thread-safe: one thread submits."""
        compiled = self._cache.get(source)
        if compiled is None:
            compiled = self._cache[source] = self._thread.submit(self._compile, source)
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(source)
        return Grammar(compiled, self._end_ids)

    def close(self) -> None:
        """Ends the thread; what waits to be compiled is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _compile(self, source: GrammarSource) -> LLMatcher:
        """Raises RequestRefused."""
        try:
            return self._compile_strictly(source)
        except RequestRefused:
            if (looser := source.looser()) is None:
                raise
            return self._compile_strictly(looser)

    def _compile_strictly(self, source: GrammarSource) -> LLMatcher:
        grammar = LLMatcher.grammar_from_lark(source.lark())
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if not matcher.is_error():
            # A first mask finds the grammars that compile and yet allow nothing.
            matcher.compute_bitmask()
        if matcher.is_error():
            what = "the grammar cannot be compiled"
            raise RequestRefused(what, where=source.field, why=_first_line(matcher))
        return matcher


class MaskFiller:
    """Fills the bitmask of a batch, all constrained rows in one call or two."""

    def __init__(self, vocab_size: int) -> None:
        self._num_words = -(-vocab_size // 32)
        self._executor = LLExecutor(num_threads=1)

    def fill(
        self, requests: Sequence[Request], drafts: Sequence[Sequence[int]] = ()
    ) -> torch.Tensor | None:
        """int32 [rows, V / 32], a set bit allows its token; None where no request has a grammar.

        A request has 1 + len(its drafts) rows, one behind another, or one where no drafts are
        given: row 0 follows its accepted tokens, row i its first i drafts. Rows behind a draft that
        the grammar forbids, and rows of free requests, allow everything.
        A grammar that fails here sets its error and allows everything: its request ends.
        """
        if all(r.grammar is None for r in requests):
            return None
        starts = [0, *accumulate(1 + len(ids) for ids in drafts or [()] * len(requests))]
        bits = torch.full((starts[-1], self._num_words), -1, dtype=torch.int32)
        jobs = [
            (r.grammar, r.grammar.matcher(r), n)
            for n, r in enumerate(requests)
            if isinstance(r.grammar, Grammar)
        ]
        where = (bits.data_ptr(), self._num_words * 4, len(bits))
        if plain := [(m, starts[n]) for _, m, n in jobs if not drafts or not drafts[n]]:
            self._executor.unsafe_compute_mask_ptr(plain, *where)
        if drafted := [(m, starts[n], list(drafts[n])) for _, m, n in jobs if drafts and drafts[n]]:
            self._executor.unsafe_compute_mask_ptr_with_draft_token(drafted, *where)
        for grammar, matcher, n in jobs:
            if matcher.is_error():
                grammar.error = f"the grammar failed: {_first_line(matcher)}"
                bits[starts[n] : starts[n + 1]] = -1
        return bits


def _first_line(matcher: LLMatcher) -> str:
    """llguidance's message without its dump of the parser and of the grammar."""
    message = matcher.get_error().split("\n<state>")[0].split("\n   1 |")[0]
    return " ".join(message.split())[:300]
