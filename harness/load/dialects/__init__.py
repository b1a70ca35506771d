"""Endpoint dialects by the name a traffic class gives in `api`."""

from __future__ import annotations

from harness.load.dialects.base import TOKEN_PATTERN, Body, Delta, Dialect
from harness.load.dialects.chat import Chat
from harness.load.dialects.completions import Completions

DIALECTS: dict[str, Dialect] = {"chat": Chat(), "completions": Completions()}

__all__ = ["DIALECTS", "TOKEN_PATTERN", "Body", "Delta", "Dialect"]
