"""What a client does besides waiting: it gives up early, or asks again.

Both are off by default. A client that leaves is the scenario's doing and no failure of the target;
a retry is a record of its own that keeps the first intended time, so that it hides nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.scenario.distributions import Document, Lengths, Times
from harness.units import Seconds, Share

# what the wire alone tells, at once; what only the parsed answer shows is never retried
RetryOn = Literal[
    "dns", "connect", "tls", "timeout_send", "timeout_first_byte", "timeout_total", "stalled",
    "throttled", "http_5xx",
]  # fmt: skip


class Cancel(Document):
    """Users who leave: a seeded share of requests ends with the connection closed."""

    share: Share = Field(description="Of the requests; an answer that ends sooner is whole.")
    after: Times | None = Field(
        default=None, description="Time from the intended send, met within 20 ms."
    )
    after_tokens: Lengths | None = Field(
        default=None, description="Or once this many chunks with text came (a token each, mostly)."
    )


class Retry(Document):
    """Users who ask again. Each attempt is a record; latency counts from the first."""

    attempts: int = Field(ge=2, le=10, description="Sends of one request at most, the first too.")
    on: tuple[RetryOn, ...] = Field(
        default=("connect", "throttled", "http_5xx"), min_length=1, description="Error classes."
    )
    wait: Seconds = Field(
        default=0.5,
        description="Before the first retry; doubles each time, spread by a seeded 50 to 100%.",
    )
    max_wait: Seconds = Field(
        default=60.0, description="Longest wait; a Retry-After beyond it is not waited for."
    )
