"""Endpoint dialects by the name of the endpoint a traffic class speaks to."""

from __future__ import annotations

from harness.load.dialects.base import TOKEN_PATTERN, Body, Delta, Dialect, Whole
from harness.load.dialects.chat import Chat
from harness.load.dialects.completions import Completions
from harness.load.dialects.embeddings import Embeddings

DIALECTS: dict[str, Dialect] = {
    "chat": Chat(), "completions": Completions(), "embeddings": Embeddings()
}  # fmt: skip

__all__ = ["DIALECTS", "TOKEN_PATTERN", "Body", "Delta", "Dialect", "Whole"]
