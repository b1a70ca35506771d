"""From logits to tokens.

Order: token bitmask (grammars), logit_bias, penalties, min_tokens, temperature (0 is greedy),
min_p, top_k, top_p, draw. What no row of the batch uses is skipped; a greedy batch is one argmax.
Log-probabilities are those of the raw logits, before all of it.

A row of logits belongs to one position of one request. Where a request has drafts it has several
rows: `offsets` says how many of its draft_ids stand before the token that a row draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import NamedTuple

import numpy as np
import torch

from .argmax import argmax
from .batch import BoolArray, IntArray
from .device import CPU, to_device
from .device_rows import DeviceRows
from .filters import filter_min_p, filter_top_k, filter_top_p
from .logit_edits import LogitEdits, apply_bitmask
from .logprobs import token_logprobs
from .noise import gumbel_of, mixed_seed, stream_key
from .plan import SampledTokens
from .request import Request, TokenLogprob


class _Need(IntFlag):
    """What a row asks for beyond an argmax."""

    DRAW = 1
    MIN_P = 2
    TOP_K = 4
    TOP_P = 8
    EDIT = 16
    LOGPROBS = 32


# Below it a draw is greedy, as in vLLM: dividing by less would overflow and decide nothing.
MIN_TEMPERATURE = 1e-5
_FILTER = _Need.MIN_P | _Need.TOP_K | _Need.TOP_P


class DrawPlan(NamedTuple):
    """What a draw needs of its requests, taken down before the host moves on: N rows of logits.

    seeds, positions: of each; empty where nothing is drawn at random.
    """

    rows: IntArray
    needs: IntArray
    seeds: list[int]
    positions: list[int]


class Sampler:
    """Per-row sampling settings, kept from a request's first step to its last.

    uses_kernels: draw by the Triton kernel, which leaves tokens on the device; else by torch.
    """

    def __init__(
        self,
        max_rows: int,
        vocab_size: int,
        eos_ids: tuple[int, ...],
        device: torch.device = CPU,
        uses_kernels: bool = False,
    ) -> None:
        self._device = device
        self._row_table = DeviceRows(max_rows, device) if uses_kernels else None
        self._vocab_size = vocab_size
        self._eos_ids = eos_ids
        self._needs: IntArray = np.zeros(max_rows, dtype=np.int64)
        self._temperature = np.ones(max_rows, dtype=np.float64)
        self._min_p = np.zeros(max_rows, dtype=np.float64)
        self._top_p = np.ones(max_rows, dtype=np.float64)
        self._top_k: IntArray = np.zeros(max_rows, dtype=np.int64)
        self._edits: dict[int, LogitEdits] = {}
        self._token_ids = torch.arange(vocab_size)

    def assign(self, row: int, r: Request) -> None:
        """A request got this row."""
        p, needs = r.params, _Need(0)
        self._temperature[row], self._min_p[row], self._top_p[row] = 1.0, 0.0, 1.0
        self._top_k[row] = 0
        if p.temperature >= MIN_TEMPERATURE:
            needs |= _Need.DRAW
            self._temperature[row], self._min_p[row] = p.temperature, p.min_p
            self._top_p[row], self._top_k[row] = p.top_p, min(p.top_k, self._vocab_size)
            needs |= _Need.MIN_P if p.min_p > 0 else 0
            needs |= _Need.TOP_K if 0 < p.top_k < self._vocab_size else 0
            needs |= _Need.TOP_P if p.top_p < 1 else 0
        needs |= _Need.LOGPROBS if p.logprobs is not None else 0
        if self._row_table is not None:
            drawn_at = p.temperature if needs & _Need.DRAW else 0.0
            self._row_table.set(row, drawn_at, mixed_seed(p.seed or 0))
        self._edits.pop(row, None)
        if LogitEdits.is_needed(r):
            needs |= _Need.EDIT
            self._edits[row] = LogitEdits(r, self._vocab_size, self._eos_ids)
        self._needs[row] = int(needs)

    def sample(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None = None,
        bitmask: torch.Tensor | None = None,
    ) -> SampledTokens:
        """One token a row of logits.

        logits: [N, V], edited in place.  rows, requests: N, aligned.  offsets: N drafts before
        each; None: none anywhere.  bitmask: [N, ceil(V / 32)] int32, bit v % 32 of word v // 32
        allows token v; None: everything is allowed.
        """
        plan = self.plan(rows, requests, offsets)
        needs = int(np.bitwise_or.reduce(plan.needs))
        is_edited = bool(needs & _Need.EDIT) or bitmask is not None
        raw = logits.clone() if is_edited and needs & _Need.LOGPROBS else logits
        self._edit(logits, rows, requests, offsets, bitmask)
        tokens: list[int] = self.draw(logits, plan).tolist()
        return SampledTokens([[t] for t in tokens], self.logprobs(raw, tokens, rows, requests))

    def plan(
        self, rows: IntArray, requests: Sequence[Request], offsets: Sequence[int] | None = None
    ) -> DrawPlan:
        """Everything that `draw` needs to know of the requests. Arguments as for `sample`."""
        needs = self._needs[rows]
        if not int(np.bitwise_or.reduce(needs)) & _Need.DRAW:
            return DrawPlan(rows, needs, [], [])
        seeds = [r.params.seed or 0 for r in requests]
        if offsets is None:
            positions = [r.num_tokens for r in requests]
        else:
            positions = [r.num_tokens + n for r, n in zip(requests, offsets, strict=True)]
        return DrawPlan(rows, needs, seeds, positions)

    def draw(self, logits: torch.Tensor, plan: DrawPlan) -> torch.Tensor:
        """[N] int64 where the logits [N, V] are, which are edited already and may be overwritten.

        On a GPU nobody waits for it.
        """
        needs = int(np.bitwise_or.reduce(plan.needs))
        if not needs & _Need.DRAW:
            return argmax(logits)
        if self._row_table is not None:
            return self._draw_by_kernel(logits, plan, needs)
        return self._draw_mixed(logits, plan)

    def is_plain(self, rows: IntArray) -> bool:
        """Whether no row needs more of the host than its temperature, seed and filters."""
        return not int(np.bitwise_or.reduce(self._needs[rows])) & (_Need.EDIT | _Need.LOGPROBS)

    def is_unfiltered(self, rows: IntArray) -> bool:
        """Whether a draw from these rows needs neither filters nor the host."""
        beyond = _FILTER | _Need.EDIT | _Need.LOGPROBS
        return not int(np.bitwise_or.reduce(self._needs[rows])) & beyond

    def on_device(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Temperatures and mixed seeds of all rows, up to date; see kernels.draw."""
        assert self._row_table is not None, "only kernels read rows on the device"
        return self._row_table.upload()

    def distribution(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None = None,
        bitmask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[N, V] probabilities that `sample` would draw from; greedy rows have all mass on one.

        Arguments as for `sample`; logits are edited in place.
        """
        self._edit(logits, rows, requests, offsets, bitmask)
        is_drawn = to_device(self.is_drawn(rows), logits.device)
        best = argmax(logits).unsqueeze(1)
        self._filter(logits, rows, self._needs[rows])
        one_hot = torch.zeros_like(logits).scatter_(1, best, 1.0)
        return torch.where(is_drawn.unsqueeze(1), logits.softmax(dim=-1), one_hot)

    def likeliest(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None = None,
    ) -> list[int]:
        """What each row would give at temperature 0. Arguments as for `sample`."""
        self._edit(logits, rows, requests, offsets, None)
        tokens: list[int] = argmax(logits).tolist()
        return tokens

    def wants_logprobs(self, rows: IntArray) -> bool:
        """Whether any row wants log-probabilities."""
        return bool((self._needs[rows] & _Need.LOGPROBS).any())

    def is_drawn(self, rows: IntArray) -> BoolArray:
        """[N]: whether each row draws at random rather than taking the likeliest."""
        return (self._needs[rows] & _Need.DRAW) > 0

    def logprobs(
        self, raw: torch.Tensor, tokens: Sequence[int], rows: IntArray, requests: Sequence[Request]
    ) -> list[list[TokenLogprob] | None] | None:
        """Of each row's token: its own, its rank, the most likely alternatives; None: unasked.

        raw: [N, V] logits before any edit.  tokens: N.
        """
        wanted = np.flatnonzero(self._needs[rows] & _Need.LOGPROBS).tolist()
        if not wanted:
            return None
        num_tops = [requests[i].params.logprobs or 0 for i in wanted]
        chosen = token_logprobs(raw[wanted], [tokens[i] for i in wanted], num_tops)
        found: list[list[TokenLogprob] | None] = [None] * len(tokens)
        for i, row in zip(wanted, chosen, strict=True):
            found[i] = [row]
        return found

    def _edit(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None,
        bitmask: torch.Tensor | None,
    ) -> None:
        """Everything that comes before temperature. On the host, where the tokens are counted."""
        edited = np.flatnonzero(self._needs[rows] & _Need.EDIT).tolist()
        if bitmask is None and not edited:
            return
        on_host = logits.cpu()  # itself, if it is there
        if bitmask is not None:
            apply_bitmask(on_host, bitmask)
        for i in edited:
            drafts = requests[i].draft_ids[: offsets[i]] if offsets is not None else ()
            self._edits[int(rows[i])].apply(on_host[i], drafts)
        if on_host is not logits:
            logits.copy_(on_host)

    def _draw_by_kernel(self, logits: torch.Tensor, plan: DrawPlan, needs: int) -> torch.Tensor:
        from .kernels import draw

        temperatures, seeds = self.on_device()
        placed = to_device(np.stack([plan.rows, np.array(plan.positions)]), logits.device)
        rows, positions = placed[0], placed[1]
        if not needs & _FILTER:
            return draw(logits, temperatures, seeds, positions, rows)
        scores = logits.clone() if needs & _Need.LOGPROBS else logits
        self._filter(scores, plan.rows, plan.needs)  # divides by the temperature
        is_drawn = (temperatures[rows] > 0).double()
        own = torch.arange(len(rows), device=rows.device)
        return draw(scores, is_drawn, seeds[rows], positions, own)

    def _draw_mixed(self, logits: torch.Tensor, plan: DrawPlan) -> torch.Tensor:
        """Draw where temperature > 0, argmax elsewhere."""
        rows, needs = plan.rows, plan.needs
        is_drawn = (needs & _Need.DRAW) > 0
        keys = [stream_key(seed, p) for seed, p in zip(plan.seeds, plan.positions, strict=True)]
        if is_drawn.all():
            keeps_raw = (needs & _Need.LOGPROBS).any()
            return self._draw(logits.clone() if keeps_raw else logits, rows, needs, keys)
        tokens = argmax(logits)
        drawn = np.flatnonzero(is_drawn)
        places = torch.from_numpy(drawn)
        chosen = [keys[i] for i in drawn.tolist()]
        tokens[places] = self._draw(logits[places], rows[drawn], needs[drawn], chosen)
        return tokens

    def _draw(
        self, scores: torch.Tensor, rows: IntArray, needs: IntArray, keys: Sequence[int]
    ) -> torch.Tensor:
        """argmax(scores / temperature + Gumbel noise) over what the filters left."""
        self._filter(scores, rows, needs)
        noise_keys = torch.tensor(keys)
        if int(np.bitwise_or.reduce(needs)) & _FILTER:
            # Noise only for tokens that can still win; it is the same noise either way.
            row, token = (scores > -torch.inf).nonzero(as_tuple=True)
            scores[row, token] += gumbel_of(noise_keys[row], token)
        else:
            scores += gumbel_of(noise_keys.unsqueeze(1), self._token_ids)
        return argmax(scores)

    def _filter(self, scores: torch.Tensor, rows: IntArray, needs: IntArray) -> None:
        """Temperature, min_p, top_k and top_p in place; greedy rows keep neutral values."""
        scores /= self._column(self._temperature, rows, scores).unsqueeze(1)
        used = int(np.bitwise_or.reduce(needs))
        if used & _Need.MIN_P:
            filter_min_p(scores, self._column(self._min_p, rows, scores))
        if used & _Need.TOP_K:
            filter_top_k(scores, to_device(self._top_k[rows], scores.device))
        if used & _Need.TOP_P:
            filter_top_p(scores, self._column(self._top_p, rows, scores))

    def _column(self, values: np.ndarray, rows: IntArray, like: torch.Tensor) -> torch.Tensor:
        return to_device(values[rows], like.device).to(like.dtype)
