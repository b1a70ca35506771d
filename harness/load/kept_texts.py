"""Whose text is kept, so that people can read some of the answers: at most `output.samples`.

Of an open stage a seeded choice of its measured rows. How many a closed stage will send nobody
knows before, so there it is the first measured ones of each worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.traffic import Schedule

if TYPE_CHECKING:
    from harness.load.exchange import Exchange


class KeptTexts:
    """Asked several times of one exchange, it says the same. Belongs to one worker."""

    def __init__(self, schedule: Schedule, most: int, seed: int, num_workers: int) -> None:
        """most: over all stages and workers, but at least one a stage and worker where not 0."""
        rng = np.random.default_rng(seed)
        each = max(1, most // len(schedule.stages)) if most else 0
        self._rows: set[tuple[int, int]] = set()
        self._num_left: dict[int, int] = {}  # closed stage -> how many more
        self._taken: set[tuple[int, int]] = set()
        for index, stage in enumerate(schedule.stages):
            if stage.kind == "closed":
                self._num_left[index] = -(-each // num_workers)
                continue
            offset = stage.intended_ns - stage.warmup_ns
            rows = np.flatnonzero((offset >= 0) & (offset < stage.window_ns))
            picked = rng.choice(rows, min(each, len(rows)), replace=False)
            self._rows |= {(index, int(row)) for row in picked}

    def __call__(self, exchange: Exchange) -> bool:
        arrival = exchange.arrival
        place = (arrival.stage, arrival.ordinal)
        if arrival.stage not in self._num_left:
            return place in self._rows
        is_new = arrival.phase == "measured" and place not in self._taken
        if is_new and self._num_left[arrival.stage]:
            self._num_left[arrival.stage] -= 1
            self._taken.add(place)
        return place in self._taken
