"""The synchronous engine: add requests, step until there is no work. Knows no asyncio.

One step schedules, runs the model, and hands back what each request gained. Not thread-safe: one
thread owns an EngineCore, and whoever serves it passes requests to that thread.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from .config import EngineConfig, ModelConfig
from .errors import QueueFull
from .models import load_model
from .request import Request, RequestOutput
from .runner import ModelRunner
from .scheduler import Scheduler, SchedulerOutput
from .stats import EngineStats

StepHook = Callable[[int, float], None]


class EngineCore:
    """An engine over one model.

    step_hook(step index, step seconds) is called at the end of every step that ran something,
    before its outputs are handed back: what it sleeps delays them. Raises ModelError, ConfigError.
    """

    model_config: ModelConfig
    dtype_name: str  # resolved: float32 | bfloat16 | float64
    max_model_len: int
    eos_ids: tuple[int, ...]
    weights_digest: str  # sha256 over the sha256 of each weight file, or of shape and seed

    def __init__(self, config: EngineConfig, step_hook: StepHook | None = None) -> None:
        raise NotImplementedError

    def add(self, request: Request) -> None:
        """Queue a request; sets its seed and timings.admitted_ns (unless already set).

        Raises RequestRefused when it is empty, too long for the context window or for the whole
        cache, or its id is in use; QueueFull when max_waiting requests wait.
        """

    def abort(self, request_id: str) -> None:
        """Drop a request and free its blocks now. No output follows; unknown ids are ignored."""

    def step(self) -> list[RequestOutput]:
        """Run one step; [] when there is no work."""

    @property
    def has_work(self) -> bool: ...

    def stats(self) -> EngineStats: ...
