"""Server-sent events, rendered without building the same JSON twice.

What all chunks of an answer share is rendered once; a chunk costs one string escape. A dialect is
how one endpoint words its chunks and its whole answer.
"""

from __future__ import annotations

import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

from ..request import TokenLogprob
from ..tokenizer import Tokenizer
from .sequence import Delta, Sequence

DONE = b"data: [DONE]\n\n"
quote = encode_basestring_ascii  # a JSON string, without json.dumps' bookkeeping


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields every chunk of one answer repeats."""

    prefix: str
    model: str
    has_usage: bool = False  # OpenAI: with include_usage every earlier chunk says "usage": null
    answer_id: str = field(init=False)
    created_s: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answer_id", f"{self.prefix}-{uuid.uuid4().hex}")
        object.__setattr__(self, "created_s", int(time.time()))

    def fields(self, kind: str) -> dict[str, Any]:
        """id, object, created and model, in OpenAI's order."""
        return {
            "id": self.answer_id,
            "object": kind,
            "created": self.created_s,
            "model": self.model,
        }

    def head(self, kind: str) -> str:
        """`data: {"id": ... ` up to and including `"choices":[`."""
        return f'data: {compact(self.fields(kind))[:-1]},"choices":['

    def tail(self, usage: dict[str, Any] | None) -> str:
        """From the end of the choices to the end of the event."""
        if usage is not None:
            return f'],"usage":{compact(usage)}}}\n\n'
        return '],"usage":null}\n\n' if self.has_usage else "]}\n\n"


class Dialect(ABC):
    """How one endpoint words its answer; a subclass says what is its own."""

    prompt_field: ClassVar[str]  # where a request of this endpoint has its prompt
    chunk_kind: ClassVar[str]
    whole_kind: ClassVar[str]

    def __init__(self, envelope: Envelope, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.envelope = envelope
        self._head = envelope.head(self.chunk_kind)
        self._plain_tail = self._unfinished(None)

    @abstractmethod
    def delta_field(self, text: str) -> str:
        """The JSON member that carries new text."""

    @abstractmethod
    def whole_field(self, text: str) -> dict[str, Any]:
        """The same for an answer that did not stream."""

    @abstractmethod
    def logprobs(self, sequence: Sequence, rows: Seq[TokenLogprob]) -> dict[str, Any]:
        """The next log-probabilities of a sequence, in order, in this endpoint's shape."""

    def opening(self, sequences: Seq[Sequence], usage: dict[str, Any] | None) -> str:
        """What a stream says before its first text; nothing by default. usage: as for a chunk."""
        return ""

    def chunk(self, sequence: Sequence, delta: Delta, usage: dict[str, Any] | None) -> str:
        """One event. usage is given only where this very chunk must carry it."""
        return self._event(sequence, self.delta_field(delta.text), delta, usage)

    def last(self, extras: dict[str, Any]) -> str:
        """The chunk with empty choices that carries usage, timings, or both."""
        return f"{self._head}],{compact(extras)[1:]}\n\n"

    def whole(self, sequences: Seq[Sequence], extras: dict[str, Any]) -> dict[str, Any]:
        """The answer of a request that did not stream. extras: usage, timings."""
        choices = [
            {
                "index": s.index,
                **self.whole_field(s.text),
                "logprobs": self.logprobs(s, s.logprobs) if s.logprobs else None,
                "finish_reason": s.finish_reason,
                "stop_reason": s.stop_reason,
            }
            for s in sequences
        ]
        return {**self.envelope.fields(self.whole_kind), "choices": choices, **extras}

    def _unfinished(self, usage: dict[str, Any] | None) -> str:
        """The end of a chunk that neither finishes its choice nor has log-probabilities."""
        return f',"logprobs":null,"finish_reason":null}}{self.envelope.tail(usage)}'

    def _event(
        self, sequence: Sequence, member: str, delta: Delta, usage: dict[str, Any] | None
    ) -> str:
        """A chunk around the JSON member that carries what is new."""
        start = f'{self._head}{{"index":{sequence.index},{member}'
        if usage is None and delta.finish_reason is None and not delta.logprobs:
            return start + self._plain_tail
        rows = compact(self.logprobs(sequence, delta.logprobs)) if delta.logprobs else "null"
        finish = _finish_fields(sequence, delta)
        return f'{start},"logprobs":{rows},{finish}}}{self.envelope.tail(usage)}'


def error_event(body: dict[str, Any]) -> bytes:
    """A failure after the stream began, as vLLM sends it: an event, then the end."""
    return f"data: {compact(body)}\n\n".encode()


def _finish_fields(sequence: Sequence, delta: Delta) -> str:
    """finish_reason, and stop_reason beside it once there is one."""
    if delta.finish_reason is None:
        return '"finish_reason":null'
    stop = json.dumps(sequence.stop_reason)
    return f'"finish_reason":{quote(delta.finish_reason)},"stop_reason":{stop}'


def compact(value: object) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))
