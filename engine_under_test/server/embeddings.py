"""/v1/embeddings: a vector for each input, as text or token ids, one or many.

Inputs are prompts of which nothing is generated: each is a request of its own, in the batch with
everybody else's, and no more of them are there at a time than keep it busy (portions.py). A vector
is rendered as it arrives, and an answer of megabytes is never rendered in one go: other clients'
streams go on meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Sequence as Seq
from typing import Any, Literal

import numpy as np
import pydantic_core
from pydantic import BaseModel, ConfigDict, Field

from ..async_engine import AsyncEngine
from ..faults import RequestFault
from ..models import LoraAdapter
from ..request import NO_TOKENS, FloatArray, Request, RequestOutput, Timings
from ..tokenizer import Tokenizer
from .accounting import request_timings
from .completions import Prompt, prompts
from .errors import ApiError, bad_request
from .exchange import Exchange
from .following import following
from .models import MAX_INPUT_TOK, MAX_INPUTS, ServedModel
from .portions import Portions
from .protocol import Prompts
from .requests import beside, check_ids

FIELD = "input"


class EmbeddingBody(BaseModel):
    """dimensions: leading ones that are kept, and normalised anew; None: all."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str | None = None
    input: Prompts
    dimensions: int | None = Field(None, ge=1)
    encoding_format: Literal["float", "base64"] = "float"
    add_special_tokens: bool = True
    priority: int = 0
    cache_salt: str = ""


async def requests_of(
    body: EmbeddingBody,
    model: ServedModel,
    tokenizer: Tokenizer,
    adapter: LoraAdapter | None,
    received_ns: int,
) -> list[Request]:
    """One request an input, in order. Raises ApiError that names the input at fault."""
    width = model.model_config.hidden_size
    if body.dimensions is not None and body.dimensions > width:
        raise bad_request(
            f"'dimensions' {body.dimensions} is more than the {width} that the model has",
            "dimensions",
        )
    answer_id = f"embd-{uuid.uuid4().hex}"
    return [
        Request(
            request_id=f"{answer_id}-{n}",
            prompt_ids=ids,
            params=NO_TOKENS,
            priority=body.priority,
            cache_salt=body.cache_salt,
            adapter=adapter,
            pooling=model.vectors.pooling,
            timings=Timings(received_ns=received_ns),
        )
        for n, ids in enumerate(await _token_ids(body, model, tokenizer))
    ]


async def _token_ids(
    body: EmbeddingBody, model: ServedModel, tokenizer: Tokenizer
) -> list[list[int]]:
    """Of each input. Whatever can be refused before anything is encoded is."""
    given = prompts(body.input)
    if not given:
        raise bad_request(f"'{FIELD}' is empty", FIELD)
    if len(given) > MAX_INPUTS:
        raise bad_request(
            f"'{FIELD}' has {len(given)} items; a request may have {MAX_INPUTS}", FIELD
        )
    num_chars = least = 0
    for n, item in enumerate(given):
        if not item:
            raise bad_request(f"'{FIELD}{_place(given, n)}' is empty", FIELD)
        if isinstance(item, str):
            num_chars += len(item)
            least += _checked(tokenizer.at_least(item), given, n, model, "at least ")
    _check_total(least, "at least ")

    def encode() -> list[list[int]]:
        found, total = [], 0
        for n, item in enumerate(given):
            ids = item
            if isinstance(ids, str):
                ids = tokenizer.encode(ids, add_special_tokens=body.add_special_tokens)
            total += _checked(len(ids), given, n, model)
            if total > MAX_INPUT_TOK:
                break  # what is behind it only makes it worse
            check_ids(FIELD, ids, model, _place(given, n))
            found.append(ids)
        _check_total(total, "at least " if len(found) < len(given) else "")
        return found

    return await beside(num_chars, encode)


def _place(given: Seq[Prompt], n: int) -> str:
    """How the n-th input is named behind the field; not at all where it is the only one."""
    return f".{n}" if len(given) > 1 else ""


def _checked(num: int, given: Seq[Prompt], n: int, model: ServedModel, least: str = "") -> int:
    """num tokens, where they fit the context window."""
    if num > model.max_model_len:
        raise bad_request(
            f"This model's maximum context length is {model.max_model_len} tokens. However, "
            f"'{FIELD}{_place(given, n)}' has {least}{num}.",
            FIELD,
            "context_length_exceeded",
        )
    return num


def _check_total(num: int, least: str) -> None:
    if num > MAX_INPUT_TOK:
        raise bad_request(
            f"the inputs have {least}{num} tokens together; a request may have {MAX_INPUT_TOK}: "
            "send fewer at a time",
            FIELD,
        )


class EmbeddingAnswer:
    """Serves the inputs of one request over one exchange. Use once.

    model: of the engine.  name: that of the model or adapter, in the answer.
    """

    def __init__(
        self,
        exchange: Exchange,
        engine: AsyncEngine,
        requests: list[Request],
        body: EmbeddingBody,
        model: ServedModel,
        name: str,
        fault: RequestFault | None = None,
    ) -> None:
        self._exchange = exchange
        self._engine = engine
        self._requests = requests
        self._body = body
        self._model = model
        self._name = name
        self._fault = fault
        self._indices = {r.request_id: n for n, r in enumerate(requests)}
        self._parts = [b""] * len(requests)  # JSON of each input's vector, once it is there

    async def serve(self) -> None:
        """Answers. Raises ApiError only while nothing has been sent, and ClientGone."""
        num_left, engine = len(self._requests), self._engine
        portions = Portions(self._requests, self._model.engine_config)
        first = len(portions.take())
        async with following(self._exchange, engine, self._requests, FIELD, first) as stream:
            while num_left:
                arrived = await stream.next()
                for output, _ in arrived:
                    portions.done(self._requests[self._indices[output.request_id]])
                if more := portions.take():
                    engine.submit(more, stream)  # before rendering: the engine need not wait
                for output, _ in arrived:
                    self._take(output)
                    num_left -= 1
                    await asyncio.sleep(0)  # rendering one takes as long as others may wait
        fault = self._fault
        if fault is not None and fault.error_status:
            message = "injected by the fault plan"
            raise ApiError(fault.error_status, message, code="injected_fault")
        is_cut = fault is not None and fault.truncation == "cut_bytes"
        data = [part for p in self._parts for part in (b",", p)][1:]
        parts = [b'{"object":"list","data":[', *data, b"]," + self._end()[1:]]
        await self._exchange.send_parts(200, parts, is_cut=is_cut)

    def _take(self, output: RequestOutput) -> None:
        if output.embedding is None:
            error = output.error or "the engine could not finish this request"
            raise ApiError(500, error, code="engine_error")
        index = self._indices[output.request_id]
        vector = rendered(
            output.embedding, self._body.dimensions, self._body.encoding_format,
            is_normalized=self._model.vectors.is_normalized,
        )  # fmt: skip
        self._parts[index] = (
            b'{"object":"embedding","index":%d,"embedding":' % index + vector + b"}"
        )

    def _end(self) -> bytes:
        """The members behind the data, as an object of their own."""
        num_tok = sum(r.num_prompt for r in self._requests)
        members: dict[str, Any] = {
            "model": self._name,
            "usage": {"prompt_tokens": num_tok, "total_tokens": num_tok},
        }
        if self._exchange.header("x-harness-timings") == "1":
            whole = _together([r.timings for r in self._requests])
            members["timings"] = request_timings(whole, num_tok, whole.last_ns, time.monotonic_ns())
        return json.dumps(members, separators=(",", ":")).encode()


def rendered(
    embedding: FloatArray,
    dimensions: int | None,
    encoding: Literal["float", "base64"],
    *,
    is_normalized: bool = True,
) -> bytes:
    """JSON of the leading dimensions, normalised to length 1 in float64, as float32 either way.

    is_normalized: False for a model whose vectors have the length that they come with.

    base64: little-endian.  Raises ApiError for a vector that is not finite.
    """
    vector = embedding[:dimensions].astype(np.float64)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length):
        raise ApiError(500, "the model's hidden states are not finite", code="engine_error")
    single = (vector / (length or 1.0) if is_normalized else vector).astype("<f4")
    if encoding == "base64":
        return b'"' + base64.b64encode(single.tobytes()) + b'"'
    return pydantic_core.to_json(single.tolist())


def _together(rows: Seq[Timings]) -> Timings:
    """Of the request as a whole: from its first input's first step to its last one's last."""
    return Timings(
        received_ns=rows[0].received_ns,
        admitted_ns=rows[0].admitted_ns,
        scheduled_ns=min(t.scheduled_ns for t in rows),
        first_ns=max(t.last_ns for t in rows),
        last_ns=max(t.last_ns for t in rows),
        preempted_ns=sum(t.preempted_ns for t in rows),
        prefill_steps=sum(t.prefill_steps for t in rows),
        preemptions=sum(t.preemptions for t in rows),
        cached_tokens=sum(t.cached_tokens for t in rows),
    )
