"""A launched step's tokens: on their way from the device, or here already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from .plan import SampledTokens
from .pooling import Vectors, by_id


class StepHandle(Protocol):
    """tokens() waits until the step is done."""

    def tokens(self) -> SampledTokens: ...


class Done:
    """Of a step that was run to its end."""

    def __init__(self, sampled: SampledTokens) -> None:
        self._sampled = sampled

    def tokens(self) -> SampledTokens:
        return self._sampled


class OnItsWay:
    """Of a step that runs: one token for each place in `places`, of num_seqs sequences.

    tokens: None where none was drawn.  vectors: of prompts that ended in it.  The copies to pinned
    memory are queued behind the step; an event tells when they have arrived.
    """

    def __init__(
        self,
        tokens: torch.Tensor | None,
        places: Sequence[int],
        num_seqs: int,
        vectors: Vectors | None = None,
    ) -> None:
        self._places = places
        self._num_seqs = num_seqs
        self._tokens = _toward_host(tokens) if tokens is not None else None
        self._vectors = _toward_host(vectors.values) if vectors is not None else None
        self._ids = vectors.ids if vectors is not None else []
        self._event: torch.cuda.Event | None = None
        given = tokens if tokens is not None else vectors.values if vectors is not None else None
        if given is not None and given.device.type != "cpu":
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def tokens(self) -> SampledTokens:
        if self._event is not None:
            self._event.synchronize()
        token_ids: list[list[int]] = [[] for _ in range(self._num_seqs)]
        if self._tokens is not None:
            for place, token in zip(self._places, self._tokens.tolist(), strict=True):
                token_ids[place] = [token]
        sampled = SampledTokens(token_ids)
        if self._vectors is not None:
            sampled.embeddings = by_id(self._ids, self._vectors)
        return sampled


def _toward_host(values: torch.Tensor) -> torch.Tensor:
    if values.device.type == "cpu":
        return values.clone()  # a graph's next run draws into the same place
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return pinned.copy_(values, non_blocking=True)


Submit = Callable[[Callable[[], StepHandle]], StepHandle]


def at_once(work: Callable[[], StepHandle]) -> StepHandle:
    """How a step is submitted: its operations are issued now; a GPU queues them by itself."""
    return work()
