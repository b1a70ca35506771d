"""Embeddings: an answer in one piece, due when the first token of a text would be."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

from harness.testing._ask import Ask, BadRequest, read_json
from harness.testing._events import STAMPS, Answer
from harness.testing.script import Behaviour

_ENTRIES = {"nan": "NaN", "null": "null", "text": '"1.0"'}


def read_texts(payload: bytes) -> Ask:
    """Parse a body of /v1/embeddings: one text, or a list of them. Raises BadRequest."""
    body = read_json(payload)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise BadRequest(400, "input must be a text or a non-empty list of texts", param="input")
    return Ask(
        is_chat=False, is_stream=False, max_tok=None,
        prompt_words=sum(len(text.split()) for text in texts), opening=texts[0][:80],
        wants_usage=True, wants_usage_always=False, body=body, num_texts=len(texts),
    )  # fmt: skip


class VectorAnswer(Answer):
    """What an Exchange asks of an answer; none of it is streamed."""

    def __init__(self, behaviour: Behaviour, ask: Ask, model: str) -> None:
        self.behaviour, self.ask, self.model = behaviour, ask, model
        self.output_tok, self.token_chunks = 0, []
        tokens = behaviour.tokens
        self.prompt_tok = (
            round(tokens.prompt_slope * ask.prompt_words) + tokens.prompt_fixed * ask.num_texts
        )

    def whole(self) -> bytes:
        """One JSON template with the four holes of every answer."""
        vectors = self.behaviour.vectors
        dims = vectors.wrong_dims or self.ask.body.get("dimensions") or vectors.dims
        rows = [
            f'{{"object":"embedding","index":{i},"embedding":{self._vector(i, dims)}}}'
            for i in range(max(0, self.ask.num_texts + vectors.delta))
        ]
        usage = self.usage(0)
        told = f',"usage":{json.dumps(usage)}' if usage else ""
        model = json.dumps(self.model).replace("%", "%%")
        return (
            f'{{"id":"embd-%b","object":"list","data":[{",".join(rows)}],"model":{model}{told}'
            f',"x_script":{{"k":0,{STAMPS}}}}}'
        ).encode()

    def _vector(self, i: int, dims: int) -> str:
        """A JSON list, or the same as float32 in base64 where that is asked for."""
        numbers = [((7 * i + 3 * d) % 11 - 5) / 8 for d in range(dims)]
        entry = self.behaviour.vectors.entry
        if self.ask.body.get("encoding_format") == "base64":
            numbers[-1] = math.nan if entry == "nan" else numbers[-1]
            packed = struct.pack(f"<{dims}f", *numbers)[: -2 if entry == "text" else None]
            return json.dumps(base64.b64encode(packed).decode())
        told = [str(number) for number in numbers]
        told[-1] = _ENTRIES.get(entry, told[-1])
        return f"[{','.join(told)}]"

    def usage(self, num_tok: int) -> dict[str, Any] | None:
        usage = self.behaviour.usage
        if usage.where == "absent" or usage.values == "null":
            return None
        count = 0 if usage.values == "zero" else self.prompt_tok
        count += usage.wrong_by if usage.values == "wrong" else 0
        return {"prompt_tokens": count, "total_tokens": count}
