"""Whether a request is sent again, and when: known at its end, from the wire alone.

What only the parsed answer tells (an error event, no token) comes too late to act on and is never
retried. The waits are seeded: the same run asks again at the same times after the same failures.
"""

from __future__ import annotations

import random

from harness.load.classify import retry_after_s, status_class
from harness.load.exchange import Exchange
from harness.scenario.document import Retry

NS_PER_S = 1_000_000_000


def wire_class(exchange: Exchange) -> str:
    """The error class as far as status and fault tell it; empty for an answer that came."""
    status = exchange.reader.status
    if status >= 300:
        return status_class(status)
    return exchange.fault.error_class if exchange.fault is not None else ""


def retry_wait_ns(exchange: Exchange, rule: Retry | None, seed: int) -> int | None:
    """How long to wait before the next attempt; None where there is none.

    A Retry-After is kept to the second, and where it asks for more than max_wait the client gives
    up. Else `wait` doubles with each attempt up to max_wait, times a seeded factor of 0.5 to 1.
    """
    arrival = exchange.arrival
    if rule is None or arrival.attempt + 1 >= rule.attempts:
        return None
    if wire_class(exchange) not in rule.on:
        return None
    asked_s = retry_after_s(exchange.reader.headers.get("retry-after"))
    if asked_s is not None:
        return round(asked_s * NS_PER_S) if asked_s <= rule.max_wait else None
    wait_s = min(rule.max_wait, rule.wait * 2.0**arrival.attempt)
    key = f"{seed} {arrival.stage} {arrival.ordinal} {arrival.attempt}"
    return round(wait_s * random.Random(key).uniform(0.5, 1.0) * NS_PER_S)
