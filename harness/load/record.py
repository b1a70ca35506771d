"""From finished exchanges to their rows: stamps are put to offsets, tokens to chunks.

Runs after the stream, in slices; nothing here can move a stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.load.answer import Answer
from harness.load.classify import classify, retry_after_s
from harness.load.clock import Axis
from harness.load.exchange import Exchange
from harness.load.expectations import Fitness
from harness.load.redact import conceal, redact
from harness.load.server_timings import server_timings
from harness.load.sse import read_events
from harness.load.stamps import Int64Array, Stamps, read_stamps
from harness.load.tokens import (
    CountTokens,
    Float32Array,
    Tokens,
    count_tokens,
    no_output,
    recount,
    told_by_chunk,
)
from harness.load.usage import read_usage

MOST_RECOUNTS = 1_000
MOST_FINISH = 64  # characters of a finish reason
_NOTHING_ASKED = Fitness()


class Recounts:
    """Which answers are counted a second time: the first 1,000 measured ones of a worker."""

    def __init__(self, most: int = MOST_RECOUNTS) -> None:
        self._left = most

    def take(self, exchange: Exchange) -> bool:
        """Whether this one is; it then counts against the limit."""
        is_taken = self._left > 0 and exchange.arrival.phase == "measured"
        self._left -= is_taken
        return is_taken


@dataclass(frozen=True, slots=True)
class RecordContext:
    """What all rows of a point share. count_tokens: by the model's tokenizer, None without one.

    chars_per_token: 0 unless the scenario estimates tokens by characters.  keeps_user_stamps: the
    user stamp of each chunk is stored beside its kernel stamp, for a check of the client itself.
    believes_prompts: False where the endpoint counts prompts as no tokenizer does.
    """

    run_id: str
    point: int
    target: str
    worker: int
    axis: Axis
    count_tokens: CountTokens | None = None
    chars_per_token: float = 0.0
    believes_prompts: bool = True
    keep_text: Callable[[Exchange], bool] = field(default=lambda _: False)
    keeps_user_stamps: bool = False
    recounts: Recounts = field(default_factory=Recounts)


class Record(NamedTuple):
    """row: by column name. sample: the answer's text where it was asked for."""

    row: dict[str, Any]
    recv_lag_ns: Int64Array
    sample: dict[str, Any] | None


def absorb(
    exchange: Exchange, context: RecordContext, breathe: Callable[[], None], *, is_final: bool
) -> Answer:
    """Parse what the body holds so far and forget those bytes; `breathe` may switch greenlets."""
    answer = exchange.answer
    if answer is None:
        expected = exchange.plan.expectation is not None
        keep = expected or context.count_tokens is not None or context.keep_text(exchange)
        answer = exchange.answer = Answer(exchange.plan.dialect, keep)
        answer.num_inputs = exchange.num_inputs
    reader = exchange.reader
    if not answer.is_stream:
        if is_final and reader.status < 300 and reader.is_done and reader.body:
            answer.feed_whole(bytes(reader.body))
            reader.body_base += len(reader.body)
            reader.body.clear()
        return answer
    kind = reader.headers.get("content-type", "text/event-stream")
    if reader.status >= 300 or not kind.lower().startswith("text/event-stream"):
        return answer
    events = read_events(reader.body, reader.body_base, is_final=is_final)
    if exchange.fault is not None:
        events.drop_unclosed()
    if is_final and not len(events) and not answer.num_events:
        return answer  # no event stream, whatever it says: classify reads what it is
    del reader.body[: events.consumed]
    reader.body_base += events.consumed
    answer.feed(events, breathe)
    return answer


def make_records(
    exchanges: Sequence[Exchange],
    context: RecordContext,
    breathe: Callable[[], None],
    prompt_of: Callable[[Exchange], str],
) -> Iterator[Record]:
    """The rows of exchanges that are over and absorbed, in order; many at a time cost less each.

    prompt_of: a request's body, to keep it out of error texts; asked only where there is one.
    """
    answers = [exchange.answer for exchange in exchanges if exchange.answer is not None]
    stamps = read_stamps(exchanges, answers, context.axis, breathe)
    told = told_by_chunk(answers)
    for exchange, answer, found, counts in zip(exchanges, answers, stamps, told, strict=True):
        breathe()
        yield _record(exchange, answer, found, counts, context, prompt_of)


def _record(
    exchange: Exchange,
    answer: Answer,
    stamps: Stamps,
    told: Float32Array | None,
    context: RecordContext,
    prompt_of: Callable[[Exchange], str],
) -> Record:
    arrival, plan, reader = exchange.arrival, exchange.plan, exchange.reader
    error_class, detail = classify(exchange.fault, reader, answer)
    fitness = _NOTHING_ASKED
    if plan.expectation is not None and not error_class:
        fitness = plan.expectation.judge(answer)
        if plan.expectation.is_required and not fitness.is_fit:
            error_class, detail = "invalid_output", fitness.reason
    usage, headers, secrets = read_usage(answer.usage or {}), reader.headers, plan.secrets
    tokens = (
        count_tokens(
            answer, told, usage, exchange.asked_out, context.count_tokens, context.chars_per_token
        )
        if answer.is_stream
        else no_output(usage)
    )
    chunk_ns, num_chunks = stamps.chunk_ns, len(answer.chunk_end)
    visible, call = answer.first_visible, answer.first_call
    row: dict[str, Any] = {
        "run_id": context.run_id,
        "point": context.point,
        "stage": arrival.stage,
        "class": plan.name,
        "target": context.target,
        "api": plan.api,
        "request_id": exchange.request_id,
        "row": arrival.row,
        "ordinal": arrival.ordinal,
        "attempt": arrival.attempt,
        "worker": context.worker,
        "phase": arrival.phase,
        "status": reader.status,
        "error_class": error_class,
        "error_detail": (redact(detail, secrets, prompt_of(exchange)) or None) if detail else None,
        "finish_reason": conceal(answer.finish, secrets)[:MOST_FINISH] or None,
        "retry_after_s": retry_after_s(headers.get("retry-after")),
        "n_in": usage.n_in if context.believes_prompts else None,
        "n_out": tokens.n_out,
        "n_reasoning": tokens.n_reasoning,
        "n_first": tokens.n_first,
        "tok_source": tokens.source,
        "n_recount": _recount(answer, tokens, exchange, context),
        "asked_in": exchange.asked_in if exchange.asked_in > 0 else None,
        "asked_out": exchange.asked_out if exchange.asked_out > 0 else None,
        "cached_tok": usage.cached_tok,
        "first_call_ns": int(chunk_ns[call]) if call >= 0 else None,
        "first_argument_ns": _at(chunk_ns, fitness.first_argument),
        "call_done_ns": _at(chunk_ns, fitness.call_done),
        "is_fit": fitness.is_fit,
        "audio_s": exchange.audio_ms / 1e3 if exchange.audio_ms else None,
        "vector_count": answer.whole.num_vectors if exchange.num_inputs else None,
        "timings": server_timings(headers, answer.timings, answer.perf_metrics),
        "intended_ns": arrival.intended_ns,
        "released_ns": exchange.released_ns or None,
        "sent_ns": exchange.sent_ns or None,
        "sent_last_ns": exchange.sent_last_ns or None,
        "headers_ns": stamps.headers_ns,
        "first_byte_ns": stamps.first_byte_ns,
        "first_token_ns": int(chunk_ns[0]) if num_chunks else None,
        "first_visible_ns": int(chunk_ns[visible]) if visible >= 0 else None,
        "last_token_ns": int(chunk_ns[-1]) if num_chunks else None,
        "end_ns": stamps.end_ns,
        "dns_ns": exchange.dns_ns,
        "tcp_ns": exchange.tcp_ns,
        "tls_ns": exchange.tls_ns,
        "chunk_ns": chunk_ns,
        "chunk_tok": tokens.chunk_tok,
        "chunk_uncertain": stamps.chunk_uncertain,
        "chunk_user_ns": stamps.chunk_user_ns if context.keeps_user_stamps else None,
        "first_uncertain": bool(stamps.chunk_uncertain[0]) if num_chunks else None,
        "num_events": answer.num_events,
        "num_receives": stamps.num,
        "num_coalesced": stamps.num_coalesced,
        "num_uncertain": stamps.num_uncertain,
        "recv_lag_max_ns": stamps.lag_max_ns,
        "recv_lag_p50_ns": stamps.lag_p50_ns,
        "bytes_in": stamps.num_body_bytes,
        "conn_reused": exchange.connection_reused,
        "stamp_source": stamps.source,
        "fault": conceal(headers.get("x-harness-fault", ""), secrets) or None,
    }
    return Record(row, stamps.lag_ns, _sample(exchange, answer, context))


def _at(chunk_ns: Int64Array, chunk: int) -> int | None:
    return int(chunk_ns[chunk]) if chunk >= 0 else None


def _recount(
    answer: Answer, tokens: Tokens, exchange: Exchange, context: RecordContext
) -> int | None:
    """Our own count beside the server's; None where there is nothing to hold against each other."""
    count = context.count_tokens
    if count is None or not tokens.are_told or not answer.visible:
        return None
    return recount(answer, count) if context.recounts.take(exchange) else None


def _sample(exchange: Exchange, answer: Answer, context: RecordContext) -> dict[str, Any] | None:
    if not context.keep_text(exchange):
        return None
    visible = answer.visible or [answer.whole.text]
    texts = {"visible": visible, "reasoning": answer.hidden, "calls": answer.calls}
    secrets = exchange.plan.secrets
    return {
        "request_id": exchange.request_id,
        "stage": exchange.arrival.stage,
        "row": exchange.arrival.row,
    } | {name: conceal("".join(parts), secrets) for name, parts in texts.items()}
