"""From the target's logits behind every draft to the tokens each request gains.

Requests whose drafts were drawn are judged by ratio, all others by comparison with the target's own
draws; with synthetic acceptance a coin decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine_under_test.argmax import argmax
from engine_under_test.batch import IntArray
from engine_under_test.noise import gumbel, stream_key, trial_key, uniform
from engine_under_test.plan import SampledTokens
from engine_under_test.request import Request, TokenLogprob
from engine_under_test.sampler import Sampler

from .base import Proposals
from .synthetic import synthetic_length
from .verify import match_length, verify_ratio

_ACCEPT = 2  # purpose of noise, see trial_key
Logprobs = list[list[TokenLogprob] | None]


class Judge:
    """Rows of logits belong to requests in order, 1 + num_drafts each."""

    def __init__(self, sampler: Sampler, synthetic_rates: Sequence[float] = ()) -> None:
        self._sampler = sampler
        self._rates = tuple(synthetic_rates)

    def judge(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        proposals: Proposals,
        bitmask: torch.Tensor | None = None,
        own: list[int] | None = None,
    ) -> SampledTokens:
        """The accepted drafts of each request and one more token.

        logits: [N, V], N = sum(1 + num_drafts), edited in place.  rows: one a request.
        bitmask: see Sampler.sample, a row for each row of logits.
        own: the N tokens that Sampler.sample would draw, where they are drawn already.
        """
        by_ratio = [i for i, r in enumerate(requests) if r.request_id in proposals]
        if not by_ratio:
            if own is not None:
                return self._keep_matches(requests, SampledTokens([[t] for t in own]))
            return self._compare(logits, rows, requests, bitmask)
        places = _places(requests)
        others = [i for i, r in enumerate(requests) if r.request_id not in proposals]
        tokens: list[list[int]] = [[] for _ in requests]
        logprobs: Logprobs = [None] * len(requests)
        for chosen, is_ratio in ((by_ratio, True), (others, False)):
            if not chosen:
                continue
            idx = torch.tensor([n for i in chosen for n in places[i]], device=logits.device)
            part = logits.index_select(0, idx), rows[chosen], [requests[i] for i in chosen]
            mask = None if bitmask is None else bitmask.index_select(0, idx.to(bitmask.device))
            found = self._ratio(*part, proposals, mask) if is_ratio else self._compare(*part, mask)
            for j, i in enumerate(chosen):
                tokens[i] = found.token_ids[j]
                logprobs[i] = found.logprobs[j] if found.logprobs else None
        return SampledTokens(tokens, logprobs)

    def _compare(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        bitmask: torch.Tensor | None,
    ) -> SampledTokens:
        """Draw at every position; keep the draws up to the first that a draft did not foresee."""
        by_row, offsets, counts = _expand(requests)
        every = self._sampler.sample(logits, np.repeat(rows, counts), by_row, offsets, bitmask)
        return self._keep_matches(requests, every)

    def _keep_matches(self, requests: Sequence[Request], every: SampledTokens) -> SampledTokens:
        """every: a token and perhaps its log-probability for each row of logits."""
        drawn = [token for (token,) in every.token_ids]
        tokens, logprobs = [], []
        for r, place in zip(requests, _places(requests), strict=True):
            own, drafts = drawn[place.start : place.stop], r.draft_ids
            if self._rates:
                n = synthetic_length(r, self._rates)
            else:
                n = match_length(drafts, own)
            tokens.append([*drafts[:n], own[n]])
            rows_of_one = (
                every.logprobs[place.start : place.start + n + 1] if every.logprobs else []
            )
            logprobs.append(_joined(rows_of_one))
        return SampledTokens(tokens, logprobs if every.logprobs else None)

    def _ratio(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        proposals: Proposals,
        bitmask: torch.Tensor | None,
    ) -> SampledTokens:
        """All of requests have an entry in proposals."""
        by_row, offsets, counts = _expand(requests)
        raw = logits.clone() if self._sampler.wants_logprobs(rows) else logits
        all_rows = np.repeat(rows, counts)
        flat = self._sampler.distribution(logits, all_rows, by_row, offsets, bitmask)
        num_drafts = torch.from_numpy(counts).to(flat.device) - 1
        k, vocab_size = int(num_drafts.max()), flat.shape[1]
        p = flat.new_zeros(len(requests), k + 1, vocab_size)
        q = flat.new_zeros(len(requests), k, vocab_size)
        drafts = torch.zeros(len(requests), k, dtype=torch.int64)
        u = torch.zeros(len(requests), k, dtype=torch.float64)
        for i, (r, place) in enumerate(zip(requests, _places(requests), strict=True)):
            n = len(r.draft_ids)
            p[i, : n + 1] = flat[place.start : place.stop]
            q[i, :n] = proposals[r.request_id][:n]
            drafts[i, :n] = torch.tensor(r.draft_ids)
            u[i, :n] = uniform(
                [_trial_key(r, r.num_tokens + place_of_draft) for place_of_draft in range(n)]
            )
        judged = verify_ratio(p, q, drafts.to(p.device), num_drafts, u.to(p.device))
        accepted: list[int] = judged.num_accepted.tolist()
        keys = [
            stream_key(r.params.seed or 0, r.num_tokens + n)
            for r, n in zip(requests, accepted, strict=True)
        ]
        noise = gumbel(keys, torch.arange(vocab_size, device=p.device))
        last: list[int] = argmax(judged.weights.log() + noise).tolist()
        tokens = [
            [*r.draft_ids[:n], own] for r, n, own in zip(requests, accepted, last, strict=True)
        ]
        return SampledTokens(tokens, self._ratio_logprobs(raw, rows, requests, tokens))

    def _ratio_logprobs(
        self,
        raw: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        tokens: Sequence[Sequence[int]],
    ) -> Logprobs | None:
        if not self._sampler.wants_logprobs(rows):
            return None
        counts = [len(row) for row in tokens]
        idx = [
            place.start + n
            for place, count in zip(_places(requests), counts, strict=True)
            for n in range(count)
        ]
        by_row = [r for r, count in zip(requests, counts, strict=True) for _ in range(count)]
        flat = [token for row in tokens for token in row]
        found = self._sampler.logprobs(raw[idx], flat, np.repeat(rows, counts), by_row) or []
        ends = np.cumsum(counts).tolist()
        return [_joined(found[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def _expand(requests: Sequence[Request]) -> tuple[list[Request], list[int], IntArray]:
    """The request and the number of drafts before it for every row, and rows a request."""
    counts = np.array([1 + len(r.draft_ids) for r in requests], dtype=np.int64)
    by_row = [r for r in requests for _ in range(1 + len(r.draft_ids))]
    offsets = [n for r in requests for n in range(1 + len(r.draft_ids))]
    return by_row, offsets, counts


def _places(requests: Sequence[Request]) -> list[range]:
    """Rows of logits of each request."""
    places, start = [], 0
    for r in requests:
        end = start + 1 + len(r.draft_ids)
        places.append(range(start, end))
        start = end
    return places


def _joined(rows: Sequence[list[TokenLogprob] | None]) -> list[TokenLogprob] | None:
    """The entries of one request's rows behind one another; None where it asked for none."""
    found = [entry for row in rows if row is not None for entry in row]
    return found or None


def _trial_key(r: Request, position: int) -> int:
    return trial_key(r.params.seed or 0, position, _ACCEPT, r.num_tokens)
