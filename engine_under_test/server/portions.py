"""A request of many inputs reaches the engine in portions, so that nobody waits behind all of it.

The engine serves in order of arrival. An input that is handed over when another is done stands
behind whoever came meanwhile, and a batch of a thousand takes no more of the queue than a few
steps need. No clock: what is done alone decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..config import EngineConfig
from ..request import Request

STEPS = 3  # worth of work: a step that runs, one launched ahead of its end, one that waits


class Portions:
    """The inputs of one HTTP request, in order. limits: of the engine."""

    def __init__(self, requests: Sequence[Request], limits: EngineConfig) -> None:
        self._left = deque(requests)
        # half of the queue at most: one client never fills it
        self._most = min(STEPS * limits.max_num_seqs, max(1, limits.max_waiting // 2))
        self._most_tok = STEPS * limits.max_num_batched_tokens
        self._num = self._num_tok = 0  # handed over and not yet done

    def take(self) -> list[Request]:
        """Those to hand over now: one at least where none is there, none while enough are."""
        taken = []
        while self._left and self._num < self._most and self._num_tok < self._most_tok:
            request = self._left.popleft()
            self._num += 1
            self._num_tok += request.num_prompt
            taken.append(request)
        return taken

    def done(self, request: Request) -> None:
        """The engine has finished with it."""
        self._num -= 1
        self._num_tok -= request.num_prompt
