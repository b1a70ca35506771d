"""Requests of one point that failed in one way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failures:
    """num of num_sent requests of the point.  sample: what one of them was told."""

    point: str
    error_class: str
    num: int
    num_sent: int
    sample: str
