"""How many drafts are worth a trial: as many as make tokens cheapest, by request and step.

k drafts, each accepted with rate a, give (1 - a^(k+1)) / (1 - a) tokens, the target's own included,
for one step of the target over 1 + k tokens and k passes of the drafter. a is a moving rate of each
request's own drafts, and begins where those of the others stand; a draft that a model was asked for
and was not sure of counts as rejected, for its pass was paid. Costs come from the models' shapes
(cost.py). Beyond the ridge, where
arithmetic costs as much as memory traffic, a trial is no longer nearly free: there k stays at most
ridge / num_seqs - 1.

Lengths depend on the load, so in ratio mode the tokens of a seed do too; not so in match mode.
"""

from __future__ import annotations

from functools import lru_cache

from engine_under_test.request import Request
from engine_under_test.spec_config import ADAPTIVE_DRAFTS, MAX_DRAFTS

from .cost import StepCost

MIN_CONFIDENCE = 0.75  # a draft model stops where its likeliest token is less likely
MIN_GAIN = 1.1  # less than this promised is not worth what the formula leaves out
FIRST_GUESS = 0.7
WEIGHT = 0.1  # of one judged draft in a request's rate
SHARED_WEIGHT = 0.01  # and in that of all requests
PROBE_EVERY_TOK = 32  # generated: a request whose drafts fail gets one draft on trial this often
_RATE_STEPS = 20  # rates and contexts are rounded, so that few decisions are computed
_CONTEXT_STEP_TOK = 128
# What is left of a rate's distance to 1 after n accepted drafts, in a request's and the shared one.
_KEPT = [(1 - WEIGHT) ** n for n in range(MAX_DRAFTS + 1)]
_SHARED_KEPT = [(1 - SHARED_WEIGHT) ** n for n in range(MAX_DRAFTS + 1)]


class FixedLength:
    """The same k for everyone."""

    def __init__(self, num_drafts: int) -> None:
        self._num_drafts = num_drafts

    def num_drafts(self, r: Request, num_seqs: int) -> int:
        return self._num_drafts

    def observe(self, r: Request, max_drafts: int, num_drafts: int, num_accepted: int) -> None:
        """A fixed length learns nothing."""


class AdaptiveLength:
    """target, drafter: costs of a pass; drafter None: drafts cost nothing (n-grams)."""

    def __init__(self, target: StepCost, drafter: StepCost | None) -> None:
        self._target = target
        self._drafter = drafter
        self._shared_rate = FIRST_GUESS
        self._best = lru_cache(maxsize=4096)(self._search)

    def num_drafts(self, r: Request, num_seqs: int) -> int:
        rate = self._shared_rate if r.acceptance_ratio is None else r.acceptance_ratio
        best = self._best(round(rate * _RATE_STEPS), num_seqs, r.num_computed // _CONTEXT_STEP_TOK)
        if best == 0 and (r.num_generated + 1) % PROBE_EVERY_TOK == 0:
            return min(1, self._most(num_seqs, r.num_computed))
        return best

    def observe(self, r: Request, max_drafts: int, num_drafts: int, num_accepted: int) -> None:
        """Drafts behind the first rejected one were not judged and teach nothing."""
        # A look-up that finds nothing has cost nothing: only a model's silence counts.
        num_paid = num_drafts if self._drafter is None else max_drafts
        rate = self._shared_rate if r.acceptance_ratio is None else r.acceptance_ratio
        shared = self._shared_rate
        if num_accepted:
            rate = 1 - (1 - rate) * _KEPT[num_accepted]
            shared = 1 - (1 - shared) * _SHARED_KEPT[num_accepted]
        if num_accepted < num_paid:
            rate, shared = rate * (1 - WEIGHT), shared * (1 - SHARED_WEIGHT)
        self._shared_rate = shared
        r.acceptance_ratio = rate

    def _most(self, num_seqs: int, context_tok: int) -> int:
        """The ridge cap; every sequence is taken to be as long as this one."""
        return int(self._target.ridge_tok(num_seqs * context_tok) / num_seqs) - 1

    def _search(self, rate_step: int, num_seqs: int, context_step: int) -> int:
        rate = rate_step / _RATE_STEPS
        context_tok = context_step * _CONTEXT_STEP_TOK + _CONTEXT_STEP_TOK // 2
        most = self._most(num_seqs, context_tok)
        speeds = {
            k: self._tokens_per_s(k, rate, num_seqs, context_tok)
            for k in ADAPTIVE_DRAFTS
            if k <= max(most, 0)
        }
        best = max(speeds, key=speeds.__getitem__)
        return best if speeds[best] >= MIN_GAIN * speeds[0] else 0

    def _tokens_per_s(self, k: int, rate: float, num_seqs: int, context_tok: int) -> float:
        gained = 1.0 + k if rate == 1 else (1 - rate ** (k + 1)) / (1 - rate)
        num_context = num_seqs * context_tok
        cost_s = self._target.seconds(num_seqs * (1 + k), num_context)
        if self._drafter is not None:
            cost_s += k * self._drafter.seconds(num_seqs, num_context)
        return num_seqs * gained / cost_s
