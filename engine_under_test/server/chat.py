"""/v1/chat/completions: messages through the model's template, answers as an assistant's words."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Sequence as Seq
from typing import Any

from ..request import TokenLogprob
from ..tokenizer import BadTemplate, Tokenizer
from .errors import bad_request
from .protocol import ChatBody
from .requests import check_length
from .sequence import Delta, Sequence
from .sse import Dialect, Envelope, compact, quote
from .tools import CallDelta, ToolCallParser


def prompt_text(body: ChatBody, tokenizer: Tokenizer, window: int) -> str:
    """The rendered prompt. Raises ApiError for content or messages the model cannot read.

    window: the context window. What exceeds it for certain, a message being a token at least, is
    refused before the template runs: other streams would have to wait for it.
    """
    if tokenizer.chat_template is None:
        raise bad_request("this model has no chat template; use /v1/completions", "messages")
    check_length(len(body.messages), window, "messages")
    messages = [_plain(n, message) for n, message in enumerate(body.messages)]
    for message in messages:
        check_length(tokenizer.at_least(message["content"]), window, "messages")
    if body.callable_tools:
        text = json.dumps(body.callable_tools, ensure_ascii=False, separators=(",", ":"))
        check_length(tokenizer.at_least(text), window, "tools")
    try:
        return tokenizer.chat_template.render(
            messages,
            tools=body.callable_tools,
            add_generation_prompt=body.add_generation_prompt,
            variables=body.chat_template_kwargs,
        )
    except BadTemplate as error:
        raise bad_request(
            f"the chat template refuses these messages: {error}", "messages"
        ) from None


def _plain(n: int, message: dict[str, Any]) -> dict[str, Any]:
    """A message whose content is text; text parts are joined by newlines, as vLLM does."""
    where = f"messages.{n}"
    if not isinstance(message.get("role"), str):
        raise bad_request(f"{where}.role must be a string", "messages")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return {**message, "content": content or ""}
    if not isinstance(content, list):
        raise bad_request(f"{where}.content must be text or a list of parts", "messages")
    texts = []
    for m, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise bad_request(
                f"{where}.content.{m}: parts of type {str(kind)[:40]!r} are not supported",
                "messages",
                "unsupported_content",
            )
        texts.append(part["text"])
    return {**message, "content": "\n".join(texts)}


class ChatDialect(Dialect):
    """Deltas of an assistant message; the stream opens with its role."""

    prompt_field = "messages"
    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"

    def opening(self, sequences: Seq[Sequence], usage: dict[str, Any] | None) -> str:
        role, tail = '"delta":{"role":"assistant","content":""}', self._unfinished(usage)
        return "".join(f'{self._head}{{"index":{s.index},{role}{tail}' for s in sequences)

    def delta_field(self, text: str) -> str:
        return f'"delta":{{"content":{quote(text)}}}'

    def whole_field(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}}

    def logprobs(self, sequence: Sequence, rows: Seq[TokenLogprob]) -> dict[str, Any]:
        return {
            "content": [
                {
                    **self._token(row.token_id, row.logprob),
                    "top_logprobs": [self._token(token, value) for token, value in row.top],
                }
                for row in rows
            ]
        }

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        return {
            "token": self.tokenizer.token_text(token_id),
            "logprob": logprob,
            "bytes": list(self.tokenizer.token_bytes(token_id)),
        }


class ToolChatDialect(ChatDialect):
    """The same where the client offered tools: calls in the model's text become tool_calls."""

    def __init__(self, envelope: Envelope, tokenizer: Tokenizer) -> None:
        super().__init__(envelope, tokenizer)
        self._parsers: dict[int, ToolCallParser] = defaultdict(ToolCallParser)

    def chunk(self, sequence: Sequence, delta: Delta, usage: dict[str, Any] | None) -> str:
        """Empty while the parser holds everything back and nothing else is due."""
        parser = self._parsers[sequence.index]
        parts = parser.push(delta.text)
        content, reason = parts.content, delta.finish_reason
        if reason is not None:
            content += parser.flush().content
            reason = _finish_reason(reason, parser.num_calls)
        if not (content or parts.calls or reason or delta.logprobs or usage is not None):
            return ""
        member: dict[str, Any] = {"content": content} if content or not parts.calls else {}
        if parts.calls:
            member["tool_calls"] = [_call_delta(call) for call in parts.calls]
        shown = Delta(content, delta.logprobs, reason)
        return self._event(sequence, f'"delta":{compact(member)}', shown, usage)

    def whole(self, sequences: Seq[Sequence], extras: dict[str, Any]) -> dict[str, Any]:
        answer = super().whole(sequences, extras)
        for choice in answer["choices"]:
            calls = choice["message"].get("tool_calls", [])
            choice["finish_reason"] = _finish_reason(choice["finish_reason"], len(calls))
        return answer

    def whole_field(self, text: str) -> dict[str, Any]:
        parser = ToolCallParser()
        parts = parser.push(text)
        content = parts.content + parser.flush().content
        calls: list[dict[str, Any]] = []
        for delta in parts.calls:
            if delta.name is not None:
                calls.append(_call_delta(delta))
                del calls[-1]["index"]
            else:
                calls[delta.index]["function"]["arguments"] += delta.arguments
        message: dict[str, Any] = {"role": "assistant", "content": content or None}
        return {"message": {**message, "tool_calls": calls} if calls else message}


def _call_delta(call: CallDelta) -> dict[str, Any]:
    """A call's first piece brings its id and name, later ones only argument text."""
    if call.name is None:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    return {
        "index": call.index,
        "id": f"call_{uuid.uuid4().hex}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _finish_reason(reason: str, num_calls: int) -> str:
    return "tool_calls" if num_calls and reason == "stop" else reason
