"""What the endpoint did, request by request: the truth that a client's records are held against."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class RequestLog:
    """One generation request. Times are ns on CLOCK_MONOTONIC.

    ordinal: place among the arrivals, from 0. request_id: its X-Request-Id, empty without one.
    start_ns: recv_ns, or later when it had to queue.
    opening: the first 80 characters of the prompt's last text.
    due_ns, send_ns: of every stamped event in order, from its script and right before its send.
    fault: index of the script's fault it fell to, or None.
    outcome: running, done, closed, reset, hang (by script) or client_closed.
    """

    ordinal: int
    path: str
    recv_ns: int
    start_ns: int
    opening: str = ""
    status: int = 200
    prompt_tok: int = 0
    output_tok: int = 0
    fault: int | None = None
    outcome: str = "running"
    request_id: str = ""
    end_ns: int | None = None
    due_ns: array[int] = field(default_factory=lambda: array("q"))
    send_ns: array[int] = field(default_factory=lambda: array("q"))

    def to_json(self) -> dict[str, Any]:
        row = {name: getattr(self, name) for name in self.__slots__}
        return row | {"due_ns": list(self.due_ns), "send_ns": list(self.send_ns)}
