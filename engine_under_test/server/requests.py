"""From a parsed body to engine requests: encode, check against the window, fan out to n choices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import TypeVar

from ..request import Request, SamplingParams, Timings
from ..tokenizer import Tokenizer
from .completions import Prompt, echoed
from .errors import bad_request
from .models import ServedModel
from .protocol import ChatBody, GenerationBody
from .sequence import Sequence
from .sse import Dialect

Encoded = TypeVar("Encoded")
LONG_PROMPT_CHARS = 8192  # from here on encoding leaves the event loop: it takes milliseconds
SEED_MASK = 2**63 - 1


async def encode(
    tokenizer: Tokenizer,
    prompts: Seq[Prompt],
    window: int,
    field: str,
    *,
    add_special_tokens: bool,
) -> list[list[int]]:
    """Each prompt's tokens.

    Raises ApiError, before encoding, for a text that cannot fit the context window.
    """
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    for text in texts:
        check_length(tokenizer.at_least(text), window, field)

    def ids_of(prompt: Prompt) -> list[int]:
        if not isinstance(prompt, str):
            return prompt
        return tokenizer.encode(prompt, add_special_tokens=add_special_tokens)

    return await beside(sum(map(len, texts)), lambda: [ids_of(prompt) for prompt in prompts])


async def beside(num_chars: int, encode: Callable[[], Encoded]) -> Encoded:
    """encode(), of so much text; other streams go on where that takes long."""
    return encode() if num_chars < LONG_PROMPT_CHARS else await asyncio.to_thread(encode)


def check_length(least: int, window: int, field: str, num_answer: int = 1) -> None:
    """Raises ApiError where a prompt of at least so many tokens is too long for its answer."""
    if least + num_answer > window:
        raise bad_request(
            f"This model's maximum context length is {window} tokens. However, your prompt has at "
            f"least {least}.",
            field,
            "context_length_exceeded",
        )


def check_counts(
    raw: object,
    window: int,
    fields: Seq[str] = ("messages", "prompt"),
    num_answer: int = 1,
) -> None:
    """Raises ApiError for more messages or token ids than fit, before each of them is looked at."""
    if isinstance(raw, dict):
        for field in fields:
            items = raw.get(field)
            if isinstance(items, list) and items and isinstance(items[0], dict | int):
                check_length(len(items), window, field, num_answer)


def check_number(num_prompts: int, n: int, model: ServedModel, field: str) -> None:
    """Raises ApiError for more sequences than may ever wait, before a prompt is encoded."""
    if not num_prompts:
        raise bad_request("there is no prompt", field)
    max_waiting = model.engine_config.max_waiting
    if num_prompts * n > max_waiting:
        # Not 429: no wait would ever make room.
        raise bad_request(
            f"{num_prompts} prompts with 'n' {n} are more than the {max_waiting} sequences "
            f"that may wait",
            "n" if n > 1 else field,
        )


def fan_out(
    body: GenerationBody,
    prompts: Seq[list[int]],
    max_tokens: int | None,
    model: ServedModel,
    tokenizer: Tokenizer,
    dialect: Dialect,
    received_ns: int,
) -> list[Sequence]:
    """One sequence for each prompt and choice, prompts outermost. Raises ApiError.

    max_tokens None: whatever room the prompt leaves; 0: the answer is the prompt's echo.
    """
    answer_id, prompt_field = dialect.envelope.answer_id, dialect.prompt_field
    echoes = echoed(body, tokenizer) or [""] * len(prompts)
    sequences: list[Sequence] = []
    has_calls = isinstance(body, ChatBody) and bool(body.callable_tools)
    stops = [] if body.has_form else body.stop
    for prompt_ids, echo in zip(prompts, echoes, strict=True):
        room = _check_prompt(prompt_ids, max_tokens, model, prompt_field)
        # One token is drawn even where none is wanted: it ends the request, and is not shown.
        params = body.sampling(room if max_tokens is None else max(max_tokens, 1))
        check_ids("stop_token_ids", params.stop_token_ids, model)
        check_ids("logit_bias", [token for token, _ in params.logit_bias], model)
        for choice in range(body.n):
            index = len(sequences)
            request = Request(
                request_id=f"{answer_id}-{index}",
                prompt_ids=prompt_ids,
                params=params if body.seed is None else _reseed(params, body.seed, choice),
                priority=body.priority,
                cache_salt=body.cache_salt,
                timings=Timings(received_ns=received_ns),
            )
            sequence = Sequence(request, index, tokenizer, stops, echo, has_calls)
            sequence.is_echo_only = max_tokens == 0
            sequences.append(sequence)
    return sequences


def check_ids(field: str, token_ids: Seq[int], model: ServedModel, item: str = "") -> None:
    """Raises ApiError for what is no token of the model. item: of a field that holds many."""
    vocab_size, highest = model.model_config.vocab_size, max(token_ids, default=0)
    if highest >= vocab_size:  # none is negative: bodies and tokenizers see to that
        raise bad_request(
            f"'{field}{item}': token id {highest} is outside the vocabulary of {vocab_size}", field
        )


def _check_prompt(
    prompt_ids: list[int], max_tokens: int | None, model: ServedModel, prompt_field: str
) -> int:
    """Tokens of room left. Raises ApiError (context_length_exceeded)."""
    if not prompt_ids:
        raise bad_request("the prompt is empty", prompt_field)
    check_ids(prompt_field, prompt_ids, model)
    room = model.max_model_len - len(prompt_ids)
    if room < (max_tokens or 1):
        raise bad_request(
            f"This model's maximum context length is {model.max_model_len} tokens. However, you "
            f"requested {len(prompt_ids) + (max_tokens or 1)} tokens ({len(prompt_ids)} in the "
            f"prompt, {max_tokens or 1} in the completion).",
            prompt_field,
            "context_length_exceeded",
        )
    return room


def _reseed(params: SamplingParams, seed: int, choice: int) -> SamplingParams:
    """Each choice draws its own noise; choice 0 draws what n = 1 would have drawn."""
    # An odd multiplier (2^64 / golden ratio) spreads consecutive choices over all seeds.
    return replace(params, seed=(seed + choice * 0x9E3779B97F4A7C15) & SEED_MASK)
