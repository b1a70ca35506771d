"""Request bytes, made before the start and kept in a memory-mapped file.

A row's body is serialised once; at the send only the salt, the two headers that depend on it and
what many bodies share are added: a sound is kept once, not in each of them. The file is unlinked
at once: it ends with the process, and nothing of it is in the run directory.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import tempfile
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.load.dialects import Body, Dialect
from harness.load.expectations import Expectation
from harness.load.facts import TargetFacts
from harness.traffic import SALT_MARK, ContentMaker, Schedule, Span, StageSchedule

NUM_HASHED = 256
MOST_MAPPED = 32 * 1024 * 1024  # bytes of bodies that may lie in our memory
_NO_TAIL, _MARKED = -1, -2
_MARK = SALT_MARK.encode()
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """How one traffic class speaks. head: the request's fixed lines, up to `Content-Length: `.

    secrets: what the environment gave for its key and headers; no record holds any of it.
    expectation: what its answers are held to, None for nothing.  api: the dialect's name.
    """

    name: str
    dialect: Dialect
    model: str
    head: bytes
    secrets: tuple[str, ...]
    expectation: Expectation | None = None
    api: str = "chat"


def shard_rows(stage: StageSchedule, worker: int, num_workers: int) -> Iterable[int]:
    """Rows of a stage that this worker may send.

    Open: i mod W. Closed: slot s belongs to s mod W and takes rows s, s + C, ... modulo n; when C
    does not divide n a slot that wraps meets any row.
    """
    if stage.kind == "open":
        return range(worker, len(stage), num_workers)
    if len(stage) % stage.concurrency:
        return range(len(stage))
    rows = np.arange(len(stage))
    return map(int, rows[rows % stage.concurrency % num_workers == worker])


class _Shared(NamedTuple):
    """span: bytes of a body behind the first `at` of its own."""

    at: int
    span: Span


class Bodies:
    """Bodies of the rows that a worker may send; `breathe` lets the hub run meanwhile.

    num_bytes: of the file.
    """

    def __init__(
        self,
        schedule: Schedule,
        maker: ContentMaker,
        classes: tuple[ClassPlan, ...],
        facts: TargetFacts,
        worker: int,
        num_workers: int,
        breathe: Callable[[], None],
    ) -> None:
        # by stage and row: where its body begins, its size, where its salt goes
        self._places: list[tuple[array[int], array[int], array[int]]] = []
        self._shared: dict[tuple[int, int], _Shared] = {}
        self._num_bytes_read = 0
        with tempfile.TemporaryFile(prefix="harness-bodies-") as file:
            at = 0
            for index, stage in enumerate(schedule.stages):
                begins, sizes, cuts = (array("q", bytes(8 * len(stage))) for _ in range(3))
                for row in shard_rows(stage, worker, num_workers):
                    body = _encode(maker, classes, facts, index, row)
                    tail = body.tail or b""
                    own = len(body.head) + len(tail)
                    begins[row], sizes[row] = at, own + len(body.end)
                    if body.shared is not None:
                        self._shared[index, row] = _Shared(own, body.shared)
                    cuts[row] = _NO_TAIL if body.tail is None else len(body.head)
                    if body.is_marked:
                        cuts[row] = _MARKED
                    at += file.write(body.head) + file.write(tail) + file.write(body.end)
                    breathe()
                self._places.append((begins, sizes, cuts))
            file.flush()
            self.num_bytes = at
            self._map = mmap.mmap(file.fileno(), max(at, 1)) if at else None

    def body(self, stage: int, row: int, salt: str) -> bytes:
        """The JSON body of a row, salted where it asks for it. KeyError where another worker's."""
        at, size, cut = (column[row] for column in self._places[stage])
        if self._map is None or not size:
            raise KeyError(f"row {row} of stage {stage}")
        raw = self._map[at : at + size]
        self._num_bytes_read += size
        if self._num_bytes_read > MOST_MAPPED and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # what was read stays in the file, not in us
            self._num_bytes_read = 0
        if cut == _MARKED:
            return raw.replace(_MARK, salt.encode())
        parts = [raw] if cut == _NO_TAIL else [raw[:cut], salt.encode(), raw[cut:]]
        if (shared := self._shared.get((stage, row))) is not None:
            last = parts.pop()
            behind = shared.at - (size - len(last))  # of its own bytes, in the last part
            parts += [last[:behind], shared.span.read(), last[behind:]]
        return b"".join(parts)

    def close(self) -> None:
        if self._map is not None:
            self._map.close()


def opening_sha256(
    schedule: Schedule, maker: ContentMaker, classes: tuple[ClassPlan, ...], facts: TargetFacts,
    breathe: Callable[[], None],
) -> str:  # fmt: skip
    """Of the schedule's first 256 bodies without salts, whichever worker sends them: equal on every
    worker, or they would not send the same. What bodies share is read once."""
    digest, left = hashlib.sha256(), NUM_HASHED
    shared: dict[int, bytes] = {}  # by identity of the source, which the maker keeps
    for index, stage in enumerate(schedule.stages):
        for row in range(min(left, len(stage))):
            body = _encode(maker, classes, facts, index, row)
            digest.update(body.head + (body.tail or b"") + body.end)
            if (span := body.shared) is not None:
                if (key := id(span.source)) not in shared:
                    shared[key] = hashlib.sha256(span.source).digest()
                digest.update(shared[key] + b"%d %d" % (span.start, span.num_bytes))
            breathe()
        left -= min(left, len(stage))
    return digest.hexdigest()


def _encode(
    maker: ContentMaker, classes: tuple[ClassPlan, ...], facts: TargetFacts, stage: int, row: int
) -> Body:
    content = maker.make(stage, row)
    plan = classes[content.class_index]
    return plan.dialect.encode(content, facts, plan.model)


def request_bytes(plan: ClassPlan, body: bytes, request_id: str) -> bytes:
    """The whole request as it goes on the wire."""
    return b"%s%d\r\nX-Request-Id: %s\r\n\r\n%s" % (
        plan.head, len(body), request_id.encode(), body,
    )  # fmt: skip


def request_head(
    path: str,
    authority: str,
    secret: str,
    headers: dict[str, str],
    *,
    is_stream: bool = True,
    is_json: bool = True,
    content_type: str = "application/json",
) -> bytes:
    """Fixed header lines of a class. A header of the scenario replaces ours by name."""
    lines = {
        "host": authority,
        "user-agent": "inference-harness",
        "accept": "text/event-stream" if is_stream else _JSON if is_json else "text/*, */*;q=0.5",
        "accept-encoding": "identity",
        "content-type": content_type,
        "x-harness-timings": "1",
    }
    if secret:
        lines["authorization"] = f"Bearer {secret}"
    lines |= {name.lower(): value for name, value in headers.items()}
    for name, value in lines.items():
        if any(c in value for c in "\r\n\0") or any(c in name for c in "\r\n\0: "):
            raise ValueError(f"header {json.dumps(name)} holds a line break")
    text = "".join(f"{name.title()}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{text}Content-Length: ".encode("latin-1")
