"""/v1/chat/completions: messages through the model's template, answers as an assistant's words."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

from ..request import TokenLogprob
from ..tokenizer import BadTemplate, Tokenizer
from .errors import bad_request
from .protocol import ChatBody
from .sequence import Sequence
from .sse import Dialect, quote


def prompt_text(body: ChatBody, tokenizer: Tokenizer) -> str:
    """The rendered prompt. Raises ApiError for content or messages the model cannot read."""
    if tokenizer.chat_template is None:
        raise bad_request("this model has no chat template; use /v1/completions", "messages")
    messages = [_plain(n, message) for n, message in enumerate(body.messages)]
    try:
        return tokenizer.chat_template.render(
            messages,
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

    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"

    def opening(self, sequences: Seq[Sequence]) -> str:
        role = '"delta":{"role":"assistant","content":""}'
        return "".join(
            f'{self._head}{{"index":{s.index},{role}{self._plain_tail}' for s in sequences
        )

    def delta_field(self, text: str) -> str:
        return f'"delta":{{"content":{quote(text)}}}'

    def whole_field(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}}

    def logprobs(self, rows: Seq[TokenLogprob]) -> dict[str, Any]:
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
