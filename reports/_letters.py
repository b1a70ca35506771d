"""Strangers' words on a page: a model's name, a class, what an endpoint answered.

Markup is escaped where it is printed; this is about letters that would act without being markup:
control characters, and those that turn the direction of everything after them.
"""

from __future__ import annotations

import re

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """The text with a mark in place of every letter that acts; words of any script stay."""
    return _ACTING.sub("\ufffd", text)
