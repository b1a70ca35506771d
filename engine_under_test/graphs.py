"""A whole decode step as one CUDA graph: embedding to drawn token, by batch size and tokens each.

A graph's shapes, addresses and grids are frozen. So there is one for each bucket of sequences (the
batch is padded with rows that write to block 0) and for each number of tokens a sequence (1, or
1 + k with drafts on trial); inputs come in one copy, the rest is on the device already: block
table, temperatures, seeds, and the tokens drawn before. Without a GPU the same step runs
uncaptured, which is how the tests run it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from . import kernels
from .attention.triton_paged import TritonBackend
from .batch import MAX_SHORT, FlatBatch, IntArray, RowTable
from .device import to_device
from .models import Llama
from .sampler import Sampler

BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MAX_WARM_TOK = 256  # of a step with drafts: larger ones hardly pay, and wait for their first use
Work = Callable[[], None]
Capture = Callable[[Work], Work]  # records what a function does to the device; returns its replay


class CudaCapture:
    """Graphs that share a pool of memory: nobody runs two of them at a time."""

    def __init__(self) -> None:
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, work: Work) -> Work:
        """Runs work once beside the recording: it compiles kernels and the libraries take their
        workspaces, neither of which may happen in a graph."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            work()
        torch.cuda.current_stream().wait_stream(self._side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        return graph.replay


@dataclass(frozen=True, slots=True)
class StepParts:
    """What a step runs on. last_tokens [max_rows + 1]: the token drawn last in every row."""

    model: Llama
    attention: TritonBackend
    table: RowTable
    sampler: Sampler
    last_tokens: torch.Tensor


class StaticStep:
    """num_seqs sequences of q tokens each, every tensor at a fixed address."""

    def __init__(self, parts: StepParts, num_seqs: int, q: int) -> None:
        self.num_seqs, self.q = num_seqs, q
        self._parts = parts
        self._pad_row = len(parts.last_tokens) - 1
        num_tokens, device = num_seqs * q, parts.model.device
        self._inputs = torch.zeros(3 * num_tokens + num_seqs, dtype=torch.int64, device=device)
        sizes = [num_tokens, num_tokens, num_tokens, num_seqs]
        self._ids, self._positions, self._slots, self._rows = torch.split(self._inputs, sizes)
        self._rows.fill_(self._pad_row)
        self._replay: Work | None = None
        self.logits = self.tokens = torch.empty(0)

    def load(self, batch: FlatBatch) -> None:
        """Put a batch of at most num_seqs sequences in place; the rest is padding."""
        packed = np.zeros(len(self._inputs), dtype=np.int64)
        num_tokens, start = self.num_seqs * self.q, 0
        for values in (batch.input_ids, batch.positions, batch.slot_mapping):
            packed[start : start + len(values)] = values.numpy()
            start += num_tokens
        packed[start:] = self._pad_row
        packed[start : start + len(batch.rows)] = batch.rows
        self._inputs.copy_(to_device(packed, self._inputs.device), non_blocking=True)

    def run(self) -> None:
        """Compute self.logits [num_seqs * q, V] and self.tokens [num_seqs * q], padding included.

        With q = 1 the tokens are also what the next step finds in last_tokens.
        """
        (self._replay or self._compute)()

    def capture(self, capture: Capture) -> None:
        """Record the step: from now on run() is its replay."""
        self._replay = capture(self._compute)

    def _compute(self) -> None:
        p, q = self._parts, self.q
        rows = self._rows
        rows_of_tokens = rows if q == 1 else rows.unsqueeze(1).repeat(1, q).view(-1)
        # A placeholder is a token that the step before drew.
        ids = torch.where(self._ids < 0, p.last_tokens[rows_of_tokens], self._ids)
        seq_lens = self._positions.view(-1, q)[:, -1] + 1
        table = p.table.on_device(p.model.device)
        meta = p.attention.uniform(self._slots, seq_lens, rows, table, q)
        batch = FlatBatch(
            ids, self._positions, self._slots, _NONE, _NONE, _NONE, p.table,
            num_decodes=self.num_seqs if q == 1 else 0, logits_idx=None,
        )  # fmt: skip
        self.logits = p.model.raw_logits(p.model.forward(batch, p.attention, meta))
        temperatures, seeds = p.sampler.on_device()
        self.tokens = kernels.draw(
            self.logits, temperatures, seeds, self._positions + 1, rows_of_tokens
        )
        if q == 1:
            p.last_tokens.index_copy_(0, rows, self.tokens)


_NONE: IntArray = np.zeros(0, dtype=np.int64)


class GraphRunner:
    """Static steps by bucket and q, captured when first needed or by warm_up().

    lengths: the q that are worth a graph.  capture None: steps run as they are.
    num_replays counts steps that ran as one; num_captures the graphs there are.
    """

    def __init__(
        self, parts: StepParts, max_num_seqs: int, lengths: Sequence[int], capture: Capture | None
    ) -> None:
        self.num_replays = self.num_captures = 0
        self._parts = parts
        self._buckets = [b for b in BUCKETS if b < max_num_seqs] + [max_num_seqs]
        self._lengths = [q for q in lengths if q <= MAX_SHORT]
        self._capture = capture
        self._steps: dict[tuple[int, int], StaticStep] = {}

    def warm_up(self, num_seqs: int | None = None) -> None:
        """Capture what steps will ask for, the largest first: smaller ones fit in its memory.

        num_seqs: only what so many sequences will ask for.
        """
        self._upload()
        buckets = self._buckets if num_seqs is None else [self._bucket(num_seqs)]
        for q in self._lengths:
            for bucket in reversed(buckets):
                if q == 1 or q * bucket <= MAX_WARM_TOK:
                    self._step(bucket, q)

    def run(self, batch: FlatBatch, q: int) -> StaticStep:
        """Run a batch of q tokens each in the smallest bucket that holds it."""
        self._upload()
        step = self._step(self._bucket(len(batch.rows)), q)
        step.load(batch)
        step.run()
        self.num_replays += 1
        return step

    def length_of(self, batch: FlatBatch) -> int:
        """Tokens of each sequence, where all have as many and want all logits; else 0."""
        q = int(batch.cu_q[1])
        if (
            q not in self._lengths
            or batch.logits_idx is not None
            or len(batch.rows) > self._buckets[-1]
        ):
            return 0
        return q if bool((np.diff(batch.cu_q) == q).all()) else 0

    def _upload(self) -> None:
        """What changed on the host reaches the device before a graph reads it, or is captured."""
        self._parts.table.on_device(self._parts.model.device)
        self._parts.sampler.on_device()

    def _bucket(self, num_seqs: int) -> int:
        return self._buckets[bisect_left(self._buckets, num_seqs)]

    def _step(self, bucket: int, q: int) -> StaticStep:
        step = self._steps.get((bucket, q))
        if step is None:
            step = self._steps[bucket, q] = StaticStep(self._parts, bucket, q)
            if self._capture is not None:
                step.capture(self._capture)
                self.num_captures += 1
        return step
