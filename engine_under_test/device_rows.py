"""What a draw on the device needs to know of each row, kept there from step to step."""

from __future__ import annotations

import numpy as np
import torch

from .device import to_device


class DeviceRows:
    """Temperature and mixed seed of every row, kept on the device; rows that changed are copied.

    The last row is padding's, and greedy.
    """

    def __init__(self, max_rows: int, device: torch.device) -> None:
        self._temperatures = torch.zeros(max_rows + 1, dtype=torch.float64, device=device)
        self._seeds = torch.zeros(max_rows + 1, dtype=torch.int64, device=device)
        self._changed: dict[int, tuple[float, int]] = {}

    def set(self, row: int, temperature: float, seed: int) -> None:
        """temperature 0: greedy.  seed: mixed."""
        self._changed[row] = temperature, seed

    def upload(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Both tensors, [max_rows + 1], with all that was set."""
        if self._changed:
            temperatures = np.array([t for t, _ in self._changed.values()], dtype=np.float64)
            seeds = np.array([s for _, s in self._changed.values()], dtype=np.int64)
            rows = np.array([*self._changed], dtype=np.int64)
            packed = np.stack([rows, seeds, temperatures.view(np.int64)])
            moved = to_device(packed, self._seeds.device)
            self._seeds.index_copy_(0, moved[0], moved[1])
            self._temperatures.index_copy_(0, moved[0], moved[2].view(torch.float64))
            self._changed.clear()
        return self._temperatures, self._seeds
