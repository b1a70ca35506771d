"""Endpoint dialects by the name of the endpoint a traffic class speaks to."""

from __future__ import annotations

from harness.load.dialects.base import TOKEN_PATTERN, Body, Delta, Dialect, Whole
from harness.load.dialects.chat import Chat
from harness.load.dialects.completions import Completions
from harness.load.dialects.embeddings import Embeddings
from harness.load.dialects.transcriptions import Transcriptions, WrittenTranscriptions
from harness.scenario import document as doc

DIALECTS: dict[str, Dialect] = {
    "chat": Chat(), "completions": Completions(), "embeddings": Embeddings(),
    "transcriptions": Transcriptions(),
}  # fmt: skip

_WRITTEN: Dialect = WrittenTranscriptions()


def dialect_of(traffic: doc.TrafficClass) -> Dialect:
    """What a class speaks: its endpoint's, in the format it asks for."""
    work = traffic.workload
    is_json = not isinstance(work, doc.AudioWorkload) or "json" in work.response_format
    return DIALECTS[traffic.endpoint] if is_json else _WRITTEN


__all__ = ["DIALECTS", "TOKEN_PATTERN", "Body", "Delta", "Dialect", "Whole", "dialect_of"]
