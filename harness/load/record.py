"""From a finished exchange to its row: stamps are put to offsets, tokens to chunks.

Runs after the stream, in slices; nothing here can move a stamp. Which receive holds an event's
blank line is found by offset. Chunks of one receive share its stamp; where the time in which the
earlier ones may have come exceeds 1 ms they are marked uncertain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.load.answer import Answer
from harness.load.classify import classify, retry_after_s
from harness.load.clock import Axis
from harness.load.exchange import Exchange
from harness.load.redact import conceal, redact, storable
from harness.load.server_timings import server_timings
from harness.load.sse import read_events
from harness.load.usage import Usage, is_believable, read_usage
from harness.load.wire import NUM_STAMPS

UNCERTAIN_NS = 1_000_000
MOST_RECOUNTS = 1_000
MOST_FINISH = 64  # characters of a finish reason
Int64Array = npt.NDArray[np.int64]
CountTokens = Callable[[str], int]


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
    """

    run_id: str
    point: int
    target: str
    worker: int
    axis: Axis
    count_tokens: CountTokens | None = None
    chars_per_token: float = 0.0
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
        keep = context.count_tokens is not None or context.keep_text(exchange)
        answer = exchange.answer = Answer(exchange.plan.dialect, keep)
    reader = exchange.reader
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


def make_record(
    exchange: Exchange, context: RecordContext, breathe: Callable[[], None], prompt: str
) -> Record:
    """The row of an exchange that is over. prompt: its body, to keep it out of the error text."""
    answer = absorb(exchange, context, breathe, is_final=True)
    outcome = classify(exchange.fault, exchange.reader, answer)
    stamps = _Stamps(exchange, context.axis)
    usage = read_usage(answer.usage or {})
    tokens = _count_tokens(answer, usage, exchange, context)
    headers, arrival = exchange.reader.headers, exchange.arrival
    visible, call = answer.first_visible, answer.first_call
    chunk_ns, num_chunks = stamps.of(answer.chunk_end), len(answer.chunk_end)
    uncertain, num_coalesced = stamps.doubts(answer)
    secrets = exchange.plan.secrets
    row: dict[str, Any] = {
        "run_id": context.run_id,
        "point": context.point,
        "stage": arrival.stage,
        "class": exchange.plan.name,
        "target": context.target,
        "request_id": exchange.request_id,
        "row": arrival.row,
        "ordinal": arrival.ordinal,
        "attempt": arrival.attempt,
        "worker": context.worker,
        "phase": arrival.phase,
        "status": exchange.reader.status,
        "error_class": outcome.error_class,
        "error_detail": redact(outcome.detail, secrets, prompt) or None,
        "finish_reason": conceal(answer.finish, secrets)[:MOST_FINISH] or None,
        "retry_after_s": retry_after_s(headers.get("retry-after")),
        "n_in": usage.n_in,
        "n_out": tokens.n_out,
        "n_reasoning": tokens.n_reasoning,
        "n_first": tokens.n_first,
        "tok_source": tokens.source,
        "n_recount": _recount(answer, tokens, exchange, context),
        "asked_in": exchange.asked_in if exchange.asked_in > 0 else None,
        "asked_out": exchange.asked_out if exchange.asked_out > 0 else None,
        "cached_tok": usage.cached_tok,
        "first_call_ns": int(chunk_ns[call]) if call >= 0 else None,
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
        "chunk_uncertain": uncertain,
        "chunk_user_ns": (stamps.user_of(answer.chunk_end) if context.keeps_user_stamps else None),
        "first_uncertain": bool(uncertain[0]) if num_chunks else None,
        "num_events": answer.num_events,
        "num_receives": stamps.num,
        "num_coalesced": num_coalesced,
        "num_uncertain": int(uncertain.sum()),
        "recv_lag_max_ns": int(stamps.lag_ns.max()) if stamps.num else None,
        "recv_lag_p50_ns": _median(stamps.lag_ns) if stamps.num else None,
        "bytes_in": stamps.num_body_bytes,
        "conn_reused": exchange.connection_reused,
        "stamp_source": stamps.source,
        "fault": conceal(headers.get("x-harness-fault", ""), secrets) or None,
    }
    return Record(row, stamps.lag_ns, _sample(exchange, answer, context))


def _median(values: Int64Array) -> int:
    """Of at least one number. np.median says the same at ten times the cost for so few."""
    ordered, half = np.sort(values), len(values) // 2
    upper = int(ordered[half])
    return upper if len(values) % 2 else (int(ordered[half - 1]) + upper) // 2


class _Stamps:
    """The receives of an exchange on the axis."""

    def __init__(self, exchange: Exchange, axis: Axis) -> None:
        axis.refresh()  # a step since the last sample must be known before stamps are mapped
        table = np.array(exchange.receives, dtype=np.int64).reshape(-1, NUM_STAMPS)
        kernel, self._user_ns, poll, self._offset = table.T
        user = self._user_ns
        mapped, self._is_kernel = axis.map(kernel, user)
        self.num = len(table)
        self.ns = np.maximum.accumulate(mapped) if self.num else mapped
        self.lag_ns = user - self.ns
        # earlier bytes of a receive came after the poll before and after the read before
        since = np.maximum(poll, np.concatenate([poll[:1], user[:-1]]))
        self._is_wide = self.ns - since > UNCERTAIN_NS
        self.source = "kernel" if self.num and self._is_kernel.all() else "user"
        self.num_body_bytes = int(self._offset[-1]) if self.num else 0
        head, has_body = exchange.head_row, self.num_body_bytes > 0
        self.headers_ns = int(self.ns[head]) if 0 <= head < self.num else None
        first = int(np.searchsorted(self._offset, 1)) if has_body else 0
        self.first_byte_ns = int(self.ns[first]) if has_body else None
        is_whole = exchange.fault is None and exchange.reader.is_done and self.num > 0
        # the end of a connection has no stamp of the kernel's
        ends_by_itself = is_whole and not exchange.reader.ends_with_connection
        self.end_ns = int(self.ns[-1]) if ends_by_itself else exchange.end_ns

    def of(self, ends: list[int]) -> Int64Array:
        """When these body offsets were reached, [n] ns."""
        return self.ns[self._receive_of(ends)]

    def user_of(self, ends: list[int]) -> Int64Array:
        """When user space had read up to these body offsets, [n] ns."""
        return self._user_ns[self._receive_of(ends)]

    def _receive_of(self, ends: list[int]) -> Int64Array:
        at = np.searchsorted(self._offset, np.array(ends, dtype=np.int64))
        return np.minimum(at, max(0, self.num - 1))

    def doubts(self, answer: Answer) -> tuple[npt.NDArray[np.bool_], int]:
        """Uncertain token chunks, [n], and how many shared a receive with an earlier one.

        A kernel stamp is that of the last segment of a receive: exact for the event that ends with
        it, late by an unknown time for those before.
        """
        at = self._receive_of(answer.chunk_end)
        if not len(at):
            return np.zeros(0, dtype=bool), 0
        per_receive = np.bincount(self._receive_of(answer.event_end), minlength=self.num)
        is_shared = (per_receive > 1) | ~self._is_kernel
        is_last = (self._offset[at] == np.array(answer.chunk_end)) & self._is_kernel[at]
        is_uncertain = (self._is_wide & is_shared)[at] & ~is_last
        return is_uncertain, int(np.count_nonzero(np.diff(at) == 0))


class _Tokens(NamedTuple):
    source: str
    n_out: int | None
    n_reasoning: int | None
    n_first: int | None
    chunk_tok: npt.NDArray[np.float32] | None


def _count_tokens(
    answer: Answer, usage: Usage, exchange: Exchange, context: RecordContext
) -> _Tokens:
    """The best source there is: told by chunk, told at the end, tokenizer, characters, none."""
    sizes = np.array(answer.chunk_bytes, dtype=np.float64)
    has_hidden = answer.num_hidden_bytes > 0 or bool(usage.n_reasoning)
    reasoning = usage.n_reasoning
    if reasoning is None and usage.n_out is not None and not answer.num_hidden_bytes:
        reasoning = 0
    if is_believable(
        usage, int(sizes.sum()), exchange.asked_out, answer.finish, has_hidden=has_hidden
    ):
        assert usage.n_out is not None
        told = _told_by_chunk(answer, usage.n_out)
        if told is not None:
            first = int(told[0])
            return _Tokens("usage_continuous", usage.n_out, reasoning, first, told)
        return _spread("usage_final", usage.n_out, reasoning, sizes)
    if context.count_tokens is not None and answer.visible:
        visible, hidden, call = _count_parts(answer, context.count_tokens)
        return _spread("tokenizer", visible + hidden + call, hidden, sizes)
    if context.chars_per_token and len(sizes):
        n_out = max(1, round(float(sizes.sum()) / context.chars_per_token))
        return _spread("characters", n_out, None, sizes)
    return _Tokens("absent", None, None, None, None)


def _count_parts(answer: Answer, count: CountTokens) -> tuple[int, int, int]:
    """Tokens of the whole content, reasoning and call, apart: a token never spans two of them."""
    visible, hidden, call = (
        count(storable(text)) if text else 0
        for text in ("".join(answer.visible), "".join(answer.hidden), "".join(answer.calls))
    )
    return visible, hidden, call


def _recount(
    answer: Answer, tokens: _Tokens, exchange: Exchange, context: RecordContext
) -> int | None:
    """Our own count beside the server's; None where there is nothing to hold against each other."""
    count = context.count_tokens
    is_told = tokens.source in ("usage_continuous", "usage_final")
    if count is None or not is_told or not answer.visible or not context.recounts.take(exchange):
        return None
    return sum(_count_parts(answer, count))


def _told_by_chunk(answer: Answer, n_out: int) -> npt.NDArray[np.float32] | None:
    """Tokens of each chunk from cumulative counts; None where they are no such counts."""
    told = np.array(answer.chunk_usage, dtype=np.int64)
    if not len(told) or answer.num_usage < len(told) or told[0] <= 0 or told[-1] > n_out:
        return None
    steps = np.diff(told, prepend=0)
    if (steps < 0).any() or (len(told) > 1 and told[-1] == told[0]):
        return None  # an echo of the total in each chunk
    return steps.astype(np.float32)


def _spread(
    source: str, n_out: int, reasoning: int | None, sizes: npt.NDArray[np.float64]
) -> _Tokens:
    """One token a chunk where the counts agree (an end token apart), else by bytes."""
    if not len(sizes):
        return _Tokens(source, n_out, reasoning, None, None)
    if len(sizes) in (n_out, n_out - 1):
        ones = np.ones(len(sizes), dtype=np.float32)
        return _Tokens(source, n_out, reasoning, 1, ones)
    shares = (n_out * sizes / sizes.sum()).astype(np.float32)
    return _Tokens(source, n_out, reasoning, max(1, round(float(shares[0]))), shares)


def _sample(exchange: Exchange, answer: Answer, context: RecordContext) -> dict[str, Any] | None:
    if not context.keep_text(exchange):
        return None
    texts = {"visible": answer.visible, "reasoning": answer.hidden, "calls": answer.calls}
    secrets = exchange.plan.secrets
    return {
        "request_id": exchange.request_id,
        "stage": exchange.arrival.stage,
        "row": exchange.arrival.row,
    } | {name: conceal("".join(parts), secrets) for name, parts in texts.items()}
