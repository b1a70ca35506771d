"""A launched step's tokens: on their way from the device, or here already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from .plan import SampledTokens


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

    The copy to pinned memory is queued behind the step; an event tells when it has arrived.
    """

    def __init__(self, tokens: torch.Tensor, places: Sequence[int], num_seqs: int) -> None:
        self._places = places
        self._num_seqs = num_seqs
        self._event: torch.cuda.Event | None = None
        if tokens.device.type == "cpu":
            self._tokens = tokens.clone()  # a graph's next run draws into the same place
        else:
            self._tokens = torch.empty(tokens.shape, dtype=tokens.dtype, pin_memory=True)
            self._tokens.copy_(tokens, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def tokens(self) -> SampledTokens:
        if self._event is not None:
            self._event.synchronize()
        token_ids: list[list[int]] = [[] for _ in range(self._num_seqs)]
        for place, token in zip(self._places, self._tokens.tolist(), strict=True):
            token_ids[place] = [token]
        return SampledTokens(token_ids)


Submit = Callable[[Callable[[], StepHandle]], StepHandle]


def at_once(work: Callable[[], StepHandle]) -> StepHandle:
    """How a step is submitted: its operations are issued now; a GPU queues them by itself."""
    return work()
