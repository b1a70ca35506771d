"""Schedule: everything that will be sent and when, as arrays; pure and reproducible.

The same scenario, point and seed give the same bytes (see `sha256`), whatever the number of
workers: worker w of W takes rows i with i mod W == w (open) or slots s with s mod W == w
(closed). What a request says is made from its row by content.py; the anti-cache salt is outside.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ArrivalLaw:
    """The process an open stage was asked to follow; outside the hash, which holds its outcome.

    kind: constant, poisson, gamma, trace or idle_burst.  cv: of the gaps of the unit-rate process.
    t_s, req_per_s: breakpoints of the rate, linear between, level after the last; empty for trace
    and idle_burst.
    """

    kind: str
    cv: float = 0.0
    t_s: tuple[float, ...] = ()
    req_per_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class StageSchedule:
    """One stage: rows 0..n-1, each a request.

    Open: row i is sent once, at intended_ns[i] after the stage's start (ascending, int64).
    Closed: intended_ns is all zero; slot s takes rows s, s+C, s+2C ... and wraps round at n (the
    salt keeps wrapped prompts unique); slot s starts at slot_start_ns[s]; before its t-th request
    it thinks think_ns[row] (0 for none). Concurrency is len(slot_start_ns); 0 for open.
    class_id: index into the point's traffic classes.  asked_in, asked_out: tokens (asked_in -1:
    as the data set has it; asked_out -1: not limited).
    content_id: seeds the text, or is the row of a data set or trace.
    prefix_group: -1 for none.
    cancel_ns, cancel_tok: when the client leaves, by time from the intended send or by chunks of
    text received; -1 for never. Empty where no class cancels.
    batch: texts of an embeddings request (asked_in is their sum), 0 for others; empty where no
    class embeds.  audio_ms: length of a clip, 0 for others; empty where no class sends audio.
    Phases by intended time from the stage's start: warm-up [0, warmup_ns), window [warmup_ns,
    warmup_ns + window_ns), then cool-down of at most cooldown_ns (stopped once every measured
    request has ended).  num_measured: where the window is a count instead of a time, it ends after
    this many measured requests: window_ns is 0 for closed; for open it ends, exclusive, at the
    arrival that comes next.  law: open only.
    """

    index: int
    name: str
    kind: Literal["open", "closed"]
    intended_ns: Int64Array
    class_id: Int32Array
    asked_in: Int32Array
    asked_out: Int32Array
    content_id: Int64Array
    prefix_group: Int32Array
    think_ns: Int64Array
    slot_start_ns: Int64Array
    warmup_ns: int
    window_ns: int
    cooldown_ns: int
    num_measured: int = 0
    law: ArrivalLaw | None = None
    cancel_ns: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    cancel_tok: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    batch: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    audio_ms: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))

    def __len__(self) -> int:
        return len(self.class_id)

    @property
    def concurrency(self) -> int:
        return len(self.slot_start_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """All stages of one point, in order; the next starts when the load of the former stops."""

    stages: tuple[StageSchedule, ...]
    drain_ns: int

    def sha256(self) -> str:
        """Hex digest over every array and every phase length, in a fixed order and byte order."""
        digest = hashlib.sha256(b"harness-schedule-1")
        for stage in self.stages:
            phases = (
                stage.warmup_ns, stage.window_ns, stage.cooldown_ns, stage.num_measured,
                stage.concurrency,
            )  # fmt: skip
            digest.update(f"{stage.name}|{stage.kind}|{len(stage)}|{phases}".encode())
            for name in (
                "intended_ns", "class_id", "asked_in", "asked_out", "content_id", "prefix_group",
                "think_ns", "slot_start_ns",
            ):  # fmt: skip
                array: npt.NDArray[np.integer] = getattr(stage, name)
                little = array.astype(array.dtype.newbyteorder("<"), copy=False)
                digest.update(np.ascontiguousarray(little).tobytes())
            if len(stage.cancel_ns):
                digest.update(stage.cancel_ns.astype("<i8", copy=False).tobytes())
                digest.update(stage.cancel_tok.astype("<i4", copy=False).tobytes())
            for own in (stage.batch, stage.audio_ms):
                if len(own):
                    digest.update(own.astype("<i4", copy=False).tobytes())
        digest.update(str(self.drain_ns).encode())
        return digest.hexdigest()
