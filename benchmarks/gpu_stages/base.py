"""What every stage gets: sizes, a notebook that survives it, and how long it may take."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Point = dict[str, Any]


class DoesNotFit(Exception):
    """This card's memory does not hold what a stage is about: a finding, not a failure."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large everything is; TOY rehearses the same lines on a CPU."""

    layers: int | None  # of every shape; None: all of them
    dtype: str
    cache_tokens: int | None  # of the KV cache; None: what the card leaves
    batches: tuple[int, ...]
    contexts: tuple[int, ...]
    prompts: tuple[int, ...]
    budgets: tuple[int, ...]  # tokens of a step, for chunked prefill
    spec_batches: tuple[int, ...]
    spec_lengths: tuple[int, ...]
    steps: int  # of a decode point
    copy_bytes: int
    matmul: int  # rows of a square product
    rival: tuple[int, int, int]  # requests at once, tokens in, tokens out
    serve_s: int  # of a load point
    serve_lengths: tuple[int, int]


FULL = Sizes(
    layers=None, dtype="bfloat16", cache_tokens=None, batches=(1, 8, 32, 64, 128, 256),
    contexts=(128, 1024, 4096, 16384), prompts=(512, 2048, 8192, 32768),
    budgets=(512, 2048, 8192), spec_batches=(1, 8, 32, 64, 128), spec_lengths=(1, 3, 5, 7),
    steps=64, copy_bytes=4 * 2**30, matmul=8192, rival=(32, 1024, 512), serve_s=15,
    serve_lengths=(1024, 128),
)  # fmt: skip
TOY = Sizes(
    layers=1, dtype="float32", cache_tokens=1024, batches=(1, 2), contexts=(8, 20),
    prompts=(9, 20), budgets=(8, 64), spec_batches=(2,), spec_lengths=(3,), steps=2,
    copy_bytes=2**22, matmul=256, rival=(2, 8, 4), serve_s=2, serve_lengths=(24, 4),
)  # fmt: skip


class Context:
    """One run of one stage."""

    def __init__(self, stage: str, folder: Path, sizes: Sizes, deadline_s: float) -> None:
        self.stage, self.folder, self.sizes = stage, folder, sizes
        self.is_toy = sizes is TOY
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._file = folder / f"{stage}.jsonl"
        self._end_s = time.monotonic() + deadline_s
        self._known = {p["key"] for p in read_points(self._file) if is_final(p)}
        self._failed = {p["key"] for p in read_points(self._file) if "failed" in p}

    def shape(self, name: str) -> str:
        """The shape to run where a stage means `name`."""
        return "debug" if self.is_toy else name

    @property
    def main_context(self) -> int:
        """Tokens; what the bars are about."""
        return 1024 if 1024 in self.sizes.contexts else self.sizes.contexts[0]

    def is_due(self, key: str, takes_s: float = 5.0) -> bool:
        """Whether a point is still missing and there is time for it."""
        return key not in self._known and self.left_s > takes_s

    def has_failed(self, key: str) -> bool:
        """Whether an earlier run failed there: its turn comes last, or it would hide the rest."""
        return key in self._failed

    @property
    def left_s(self) -> float:
        return self._end_s - time.monotonic()

    def put(self, key: str, **values: Any) -> None:
        """Keep a point for good; it is not measured again, unless it says that it was not."""
        self._known.add(key)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(f"{self.stage}  {key}  {_short(values)}", flush=True)

    def attempt(self, key: str, measure: Callable[[], Mapping[str, Any]], **what: Any) -> bool:
        """Keep what measure found, beside `what`; or why it failed, which is no reason to lose the
        other points: False. Raises where the device is lost, and nothing more can run here."""
        try:
            found = measure()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.put(key, **what, failed=f"{type(error).__name__}: {error}"[:300])
            self.sync()  # after an illegal access or a launch that failed it raises for good
            return False
        self.put(key, **what, **found)
        return True

    def known(self, key: str, name: str) -> float | None:
        """A figure of an earlier point of this stage; None where there is none."""
        for point in read_points(self._file):
            if point["key"] == key and is_final(point):
                return float(point[name])
        return None

    def ceiling(self, name: str) -> float | None:
        """A figure of the stage `ceilings`; None where it has not run."""
        for point in read_points(self.folder / "ceilings.jsonl"):
            if point["key"] == name:
                return float(point["value"])
        return None

    def sync(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], repeats: int, warm: int = 2) -> float:
        """Of one call, the mean of `repeats` behind one another."""
        for _ in range(warm):
            work()
        self.sync()
        started_s = time.perf_counter()
        for _ in range(repeats):
            work()
        self.sync()
        return (time.perf_counter() - started_s) / repeats


def read_points(file: Path) -> list[Point]:
    """The points of a stage, of each key the last; a line that was cut is ignored."""
    points: dict[str, Point] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                point = json.loads(line)
                points[point["key"]] = point
            except (ValueError, KeyError, TypeError):
                continue
    return [*points.values()]


def is_final(point: Point) -> bool:
    """Whether it says what was asked: not that something was missing, failed or was wrong."""
    return "skipped" not in point and "failed" not in point and point.get("ok") is not False


def _short(values: Point) -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, float):
            parts.append(f"{name}={value:.4g}")
        elif isinstance(value, int | str | bool):
            parts.append(f"{name}={value}")
    return " ".join(parts)
