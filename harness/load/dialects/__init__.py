"""Endpoint dialects by the name of the endpoint a traffic class speaks to."""

from __future__ import annotations

from harness.load.dialects.base import TOKEN_PATTERN, Body, Delta, Dialect, Whole
from harness.load.dialects.chat import Chat
from harness.load.dialects.completions import Completions
from harness.load.dialects.embeddings import Embeddings
from harness.load.dialects.transcriptions import Transcriptions

DIALECTS: dict[str, Dialect] = {
    "chat": Chat(), "completions": Completions(), "embeddings": Embeddings(),
    "transcriptions": Transcriptions(),
}  # fmt: skip

__all__ = ["DIALECTS", "TOKEN_PATTERN", "Body", "Delta", "Dialect", "Whole"]
