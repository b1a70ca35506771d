"""A request as it came: HTTP/1.1 framing of the head and body, then what the JSON asks for.

Only as much of HTTP as a benchmark client sends; anything else is answered 4xx, never guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 64 * 2**20


class BadRequest(Exception):
    """Answered with that status and this message."""

    def __init__(self, status: int, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and fields. headers: names in lower case. size: bytes up to the body."""

    method: str
    path: str
    headers: dict[str, str]
    size: int

    @property
    def body_bytes(self) -> int:
        try:
            length = int(self.headers.get("content-length", "0"))
        except ValueError:
            length = -1
        if length < 0 or length > MAX_BYTES:
            raise BadRequest(413 if length > MAX_BYTES else 400, "content-length is not served")
        return length


def read_head(data: bytes | bytearray) -> Head | None:
    """The head at the start of data, or None while it is incomplete. Raises BadRequest."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > 65536:
            raise BadRequest(431, "the head is longer than 64 KiB")
        return None
    lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(400, "this is not an HTTP/1.1 request")
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "transfer-encoding" in headers:
        raise BadRequest(411, "a request needs content-length")
    return Head(words[0], words[1].partition("?")[0], headers, end + 4)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks for. prompt_words: white-space words of all its texts.  num_texts: to
    embed.  audio_s: to be transcribed.

    opening: the start of the last text, where a unique prompt differs from all others.
    """

    is_chat: bool
    is_stream: bool
    max_tok: int | None
    prompt_words: int
    opening: str
    wants_usage: bool
    wants_usage_always: bool
    body: dict[str, Any]
    num_texts: int = 0
    audio_s: float = 0.0


def read_json(payload: bytes) -> dict[str, Any]:
    """The object a body holds. Raises BadRequest."""
    try:
        body = json.loads(payload)
    except ValueError as error:
        raise BadRequest(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest(400, "the body is not a JSON object")
    return body


def read_ask(payload: bytes, *, is_chat: bool) -> Ask:
    """Parse a body of /v1/chat/completions or /v1/completions. Raises BadRequest."""
    body = read_json(payload)
    max_tok = body.get("max_completion_tokens") or body.get("max_tokens")
    if max_tok is not None and (not isinstance(max_tok, int) or max_tok < 1):
        raise BadRequest(400, "max_tokens must be a whole number above 0", param="max_tokens")
    options = body.get("stream_options") or {}
    texts = _texts(body, is_chat)
    return Ask(
        is_chat=is_chat,
        is_stream=bool(body.get("stream")),
        max_tok=max_tok,
        prompt_words=sum(len(text.split()) for text in texts),
        opening=texts[-1][:80] if texts else "",
        wants_usage=bool(options.get("include_usage")),
        wants_usage_always=bool(options.get("continuous_usage_stats")),
        body=body,
    )


def _texts(body: dict[str, Any], is_chat: bool) -> list[str]:
    if is_chat:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadRequest(400, "messages must be a non-empty list", param="messages")
        parts: list[str] = []
        for message in messages:
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, str):
                parts.append(content)
            elif isinstance(content, list):
                parts += [str(part.get("text", "")) for part in content if isinstance(part, dict)]
        return parts
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        return [prompt[0]]
    raise BadRequest(400, "prompt must be one text", param="prompt")


def has_field(body: dict[str, Any], dotted: str) -> bool:
    """Whether the request has that key; `stream_options.include_usage` reaches inside."""
    value: Any = body
    for name in dotted.split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True
