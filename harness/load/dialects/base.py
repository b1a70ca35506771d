"""What a dialect is: the path, the body of a request, and the meaning of its answer.

A dialect knows nothing of time, sockets or records. Of a stream `read` gets one decoded event and
says what text of which kind it carries; whether that makes a token-bearing chunk is decided by the
reader. An answer that comes whole is read by `read_whole`.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json

from harness.load.facts import TargetFacts
from harness.load.shapes import Shapes
from harness.traffic import SALT_MARK, Content, Span

# A non-empty string of a kind that counts as a token; only to see, unparsed, whether a stream lives
TOKEN_PATTERN = re.compile(
    rb'"(?:content|reasoning_content|reasoning|refusal|text|arguments|name)"\s*:\s*"[^"]'
)

# what an event may tell beside its text; such an event is not plain text
BESIDE = frozenset(("timings", "perf_metrics", "x_groq"))


class Delta(NamedTuple):
    """What one event adds. finish: the finish reason, empty where there is none yet.

    visible: content or refusal.  hidden: reasoning.  call: tool name and arguments.
    """

    visible: str
    hidden: str
    call: str
    finish: str


NOTHING = Delta("", "", "", "")


@dataclass(frozen=True, slots=True)
class Body:
    """A serialised request around the place of its salt; no salt where tail is None.

    is_marked: the mark still stands in head, in each place of the salt.  shared: bytes behind head
    and tail that other requests have too; end: what comes behind those.
    """

    head: bytes
    tail: bytes | None
    is_marked: bool = False
    shared: Span | None = None
    end: bytes = b""


class Whole(NamedTuple):
    """What an answer that comes at once holds. problem: why it is not what the protocol says.

    num_vectors, num_dims: of embeddings, and the length of each; encoding: how they are written.
    text: of a recording.
    """

    usage: dict[str, Any] | None = None
    error: Any = None
    problem: str = ""
    num_vectors: int = 0
    num_dims: int = 0
    text: str = ""
    encoding: str = ""


class Dialect(Protocol):
    """One endpoint of the OpenAI family."""

    path: str
    is_stream: bool
    is_json: bool  # of an answer without a stream
    content_type: str  # of a request
    shapes: Shapes  # of events that plain_text knows

    def encode(self, content: Content, facts: TargetFacts, model: str) -> Body:
        """The JSON body, streaming asked for where there is one, with only those fields the
        endpoint takes."""
        ...

    def plain_text(self, event: dict[str, Any]) -> str | None:
        """The text of an event that adds visible text and nothing else; None for any other. Only a
        short cut: `read` says the same. Never raises."""
        ...

    def read(self, event: dict[str, Any]) -> Delta:
        """What the event adds. Raises KeyError, TypeError, AttributeError on another shape."""
        ...

    def read_whole(self, body: bytes) -> Whole:
        """What an answer without a stream holds. Never raises."""
        ...


class Streamed:
    """A dialect that is asked for a stream; plain JSON is then no answer."""

    is_stream, is_json = True, True
    content_type = "application/json"

    def read_whole(self, body: bytes) -> Whole:
        return Whole(problem="plain JSON instead of an event stream")


class Unstreamed:
    """A dialect without events."""

    is_stream, is_json = False, True
    content_type = "application/json"
    shapes = Shapes(("data",))

    def plain_text(self, event: dict[str, Any]) -> str | None:
        return None

    def read(self, event: dict[str, Any]) -> Delta:
        return NOTHING

    def read_whole(self, body: bytes) -> Whole:
        try:
            answer = from_json(body)
        except ValueError:
            return Whole(problem="the body is not JSON")
        if not isinstance(answer, dict):
            return Whole(problem="the body is not a JSON object")
        if answer.get("error"):
            return Whole(error=answer["error"])
        usage = answer.get("usage")
        return self.read_object(answer, usage if isinstance(usage, dict) else None)

    @abstractmethod
    def read_object(self, answer: dict[str, Any], usage: dict[str, Any] | None) -> Whole:
        """What an answer holds that is an object and no error. Never raises."""


def common_fields(content: Content, facts: TargetFacts, model: str) -> dict[str, Any]:
    """Fields that all text dialects share."""
    body: dict[str, Any] = {"model": model, "stream": True, **content.fields}
    if facts.takes_stream_options:
        body["stream_options"] = {"include_usage": True}
        if facts.takes_continuous_usage:
            body["stream_options"]["continuous_usage_stats"] = True
    if content.max_tokens is not None:
        name = "max_completion_tokens" if facts.uses_max_completion_tokens else "max_tokens"
        body[name] = content.max_tokens
    sampling = content.sampling
    for field in ("temperature", "top_p", "seed"):
        value = getattr(sampling, field)
        if value is not None:
            body[field] = value
    wants_full_length = sampling.ignore_eos is True or (
        sampling.ignore_eos == "auto" and content.max_tokens is not None and not content.fields
    )
    if wants_full_length and (facts.takes_ignore_eos or sampling.ignore_eos is True):
        body["ignore_eos"] = True
    elif wants_full_length and facts.takes_min_tokens:
        body["min_tokens"] = content.max_tokens
    return body


def split_at_salt(body: dict[str, Any], is_salted: bool) -> Body:
    """Serialise, and cut where the salt goes."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if not is_salted:
        return Body(text, None)
    head, mark, tail = text.partition(SALT_MARK.encode())
    assert mark, "a salted prompt carries the mark"
    return Body(head, tail)


def marked(body: dict[str, Any]) -> Body:
    """Serialise, the marks left where they are: more than one text is salted."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Body(text, None, is_marked=True)
