"""One sentence of a result, as console, report and pull request print it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Headline:
    """answer: the bold part.  detail: the rest.  outcome: an Outcome's value, empty for none."""

    answer: str
    detail: str
    outcome: str = ""
