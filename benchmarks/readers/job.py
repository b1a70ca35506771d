"""What every reader is asked to do, and how its work is judged, so that only the reading differs.

Readers keep bytes and stamps and interpret nothing while streams run; the error of an event is the
stamp of the read that completed it minus the `send_ns` the endpoint wrote into it.
"""

from __future__ import annotations

import bisect
import json
import re
import signal
import time
from dataclasses import dataclass, field

_STAMPS = re.compile(rb'"due_ns": *(\d+),"send_ns": *(\d+)\}\}\r?\n')
LATE_S = 0.25


@dataclass(slots=True)
class Stream:
    """raw: what came, in reads.  ends[i], stamps[i]: offset reached by read i and its time, ns."""

    raw: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)

    def add(self, data: bytes, stamp_ns: int) -> None:
        self.raw += data
        self.ends.append(len(self.raw))
        self.stamps.append(stamp_ns)


@dataclass(slots=True)
class Job:
    """host, port: the endpoint.  lead_s: from the first request to the first token, at least."""

    host: str
    port: int
    num_streams: int
    num_tok: int
    lead_s: float
    cpu_from_s: float = 0.0
    cpu_until_s: float = 0.0

    @property
    def path(self) -> str:
        return "/v1/chat/completions"

    @property
    def body(self) -> bytes:
        return json.dumps({
            "model": "scripted", "stream": True, "max_tokens": self.num_tok,
            "messages": [{"role": "user", "content": "hello"}],
        }).encode()  # fmt: skip

    @property
    def request(self) -> bytes:
        """The whole request, for readers that write it themselves."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: application/json"
            f"\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body

    def start(self) -> None:
        """CPU counts from just before the first token: connecting is not reading."""

        def note(*_: object) -> None:
            self.cpu_from_s = time.process_time()

        signal.signal(signal.SIGALRM, note)
        signal.setitimer(signal.ITIMER_REAL, self.lead_s * 0.8)

    def stop(self) -> None:
        """The last stream has ended."""
        self.cpu_until_s = time.process_time()

    def judge(self, streams: list[Stream]) -> dict[str, float]:
        """Numbers of this run; see benchmarks/README.md for what each means."""
        errors, late, dues, stamps = [], [], [], []
        for stream in streams:
            for match in _STAMPS.finditer(stream.raw):
                due_ns, send_ns = int(match[1]), int(match[2])
                # an event is there with its blank line; a line reader may end before it
                at = bisect.bisect_left(stream.ends, match.end())
                stamp_ns = stream.stamps[min(at, len(stream.stamps) - 1)]
                errors.append(stamp_ns - send_ns)
                late.append(send_ns - due_ns)
                dues.append(due_ns)
                stamps.append(stamp_ns)
        num_chunks = len(errors)
        deadline_ns = max(dues) + LATE_S * 1e9
        num_reads = sum(len(stream.ends) for stream in streams)
        return {
            "num_chunks": num_chunks,
            "missing_chunks": self.num_streams * (self.num_tok + 1) - num_chunks,
            "cpu_us_per_chunk": 1e6 * (self.cpu_until_s - self.cpu_from_s) / num_chunks,
            "error_p50_ms": quantile(errors, 0.5) / 1e6,
            "error_p99_ms": quantile(errors, 0.99) / 1e6,
            "kept_ratio": sum(stamp <= deadline_ns for stamp in stamps) / num_chunks,
            "chunks_per_read": num_chunks / max(1, num_reads),
            "server_late_p99_ms": quantile(late, 0.99) / 1e6,
        }


def quantile(values: list[int], p: float) -> float:
    """The order statistic at or above p."""
    return float(sorted(values)[min(len(values) - 1, int(p * len(values)))])
