"""The request table as arrays: one view that every metric reads, in order of intended send.

Stamps become float seconds from the window's start (NaN where the request never got that far);
the subtraction is done in integers first, since nanoseconds since boot do not fit a float. Chunks
stay flat, with offsets. Missing columns (an older schema) read as null. Computes no metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.records.schema import NOT_VALID, WHOLE_APIS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
TextArray = npt.NDArray[np.str_]

_NULL_NS = np.iinfo(np.int64).min
_TOKENS = ("n_in", "n_out", "n_first", "asked_in", "asked_out", "cached_tok", "n_recount")


@dataclass(frozen=True)
class Frame:
    """n requests and their m token-bearing chunks.

    *_s: [n] seconds from t0, NaN for null (dns_s, tcp_s, tls_s are durations).  n_in .. n_recount:
    [n] tokens, NaN for null.  chunk_s, chunk_tok, chunk_is_uncertain: [m]; request i owns the
    chunks offsets[i] .. offsets[i+1].  error_class: empty on success.
    """

    window_s: float
    intended_s: FloatArray
    released_s: FloatArray
    sent_s: FloatArray
    first_token_s: FloatArray
    first_visible_s: FloatArray
    last_token_s: FloatArray
    end_s: FloatArray
    connect_s: FloatArray
    n_in: FloatArray
    n_out: FloatArray
    n_first: FloatArray
    asked_in: FloatArray
    asked_out: FloatArray
    cached_tok: FloatArray
    n_recount: FloatArray
    class_name: TextArray
    error_class: TextArray
    error_detail: tuple[str, ...]
    tok_source: TextArray
    fault: TextArray
    stage: IntArray
    arrival: IntArray  # [n] stage and ordinal as one number: that of a request, for each attempt
    is_first: BoolArray  # the first attempt of its request
    is_last: BoolArray  # and the one that decided it: no later attempt is on record
    is_first_uncertain: BoolArray
    offsets: IntArray
    chunk_s: FloatArray
    chunk_tok: FloatArray
    chunk_is_uncertain: BoolArray
    first_argument_s: FloatArray
    call_done_s: FloatArray
    fit: FloatArray  # [n] 1: the answer is what its class asks for, 0: it is not, NaN: not asked
    audio_s: FloatArray  # [n] audio sent, NaN where none was
    num_vectors: FloatArray  # [n] embeddings that came, NaN where none was asked
    is_streamed: BoolArray  # [n] its endpoint streams tokens; false where answers come whole
    timings: tuple[str, ...] = ()  # [n] JSON of what the server told, empty for nothing

    def __len__(self) -> int:
        return len(self.intended_s)

    @cached_property
    def num_chunks(self) -> IntArray:
        """[n] chunks of each request."""
        return np.diff(self.offsets)

    @cached_property
    def chunk_owner(self) -> IntArray:
        """[m] index of the request a chunk belongs to."""
        return np.repeat(np.arange(len(self)), self.num_chunks)

    @cached_property
    def is_measured(self) -> BoolArray:
        """Intended in [t0, t1)."""
        return (self.intended_s >= 0) & (self.intended_s < self.window_s)

    @cached_property
    def is_success(self) -> BoolArray:
        return np.asarray(self.error_class == "", dtype=np.bool_)

    @cached_property
    def is_out(self) -> BoolArray:
        """Outside every rate: cancelled, cut, or our own fault."""
        return self.is_class(*NOT_VALID)

    @cached_property
    def is_valid(self) -> BoolArray:
        return np.logical_not(self.is_out)

    @cached_property
    def is_failed(self) -> BoolArray:
        """The target's failures, 429 among them."""
        return self.is_valid & ~self.is_success

    @cached_property
    def is_cut(self) -> BoolArray:
        """Still running when the run ended: censored."""
        return self.is_class("cut")

    @cached_property
    def was_sent(self) -> BoolArray:
        """Left the dispatcher; a refused connection was attempted all the same."""
        return np.isfinite(self.sent_s) | np.isfinite(self.released_s)

    @cached_property
    def begin_s(self) -> FloatArray:
        """[n] when it began to wait for its answer: intended, or for a retry when it was sent."""
        again = np.where(np.isfinite(self.released_s), self.released_s, self.intended_s)
        return np.where(self.is_first, self.intended_s, again)

    def is_class(self, *error_classes: str) -> BoolArray:
        return np.isin(self.error_class, error_classes)

    def has_tokens(self, scope: str) -> bool:
        """Whether anything of a scope can have a time of a token; true of an empty one."""
        members = self.scope(scope)
        return bool(not members.any() or self.is_streamed[members].any())

    def scope(self, name: str) -> BoolArray:
        """Requests of a traffic class; every request for `all`."""
        if name == "all":
            return np.ones(len(self), dtype=np.bool_)
        return np.asarray(self.class_name == name, dtype=np.bool_)


def elapsed_s(later_s: FloatArray, earlier_s: FloatArray) -> FloatArray:
    """later - earlier, to the nanosecond the stamps have; equal waits stay equal."""
    return np.asarray(np.round(later_s - earlier_s, 9))


def read_frame(requests: pa.Table, t0_ns: int, t1_ns: int) -> Frame:
    """The table in order of intended send (ties keep their order); rows never intended are left."""
    table = requests.combine_chunks()
    table = table.filter(pc.is_valid(table["intended_ns"]))
    order = np.argsort(table["intended_ns"].to_numpy(), kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        table = table.take(pa.array(order)).combine_chunks()
    is_first, is_last = _attempts(table)
    offsets, chunk_ns = _lists(table, "chunk_ns", pa.int64())
    chunk_tok = _lists(table, "chunk_tok", pa.float32())
    uncertain = _lists(table, "chunk_uncertain", pa.bool_())
    stamps = {
        f"{name}_s": _stamp(table, f"{name}_ns", t0_ns)
        for name in (
            "intended", "released", "sent", "first_token", "first_visible", "last_token", "end",
            "first_argument", "call_done",
        )
    }  # fmt: skip
    return Frame(
        window_s=(t1_ns - t0_ns) / 1e9,
        **stamps,
        connect_s=sum(
            (_duration(table, f"{k}_ns") for k in ("dns", "tcp", "tls")), start=_zeros(table)
        ),
        **{name: _number(table, name) for name in _TOKENS},
        class_name=_text(table, "class"),
        error_class=_text(table, "error_class"),
        error_detail=_texts(table, "error_detail"),
        tok_source=_text(table, "tok_source"),
        fault=_text(table, "fault"),
        stage=np.nan_to_num(_number(table, "stage")).astype(np.int64),
        arrival=_arrival(table),
        is_first=is_first,
        is_last=is_last,
        is_first_uncertain=_number(table, "first_uncertain") == 1,
        offsets=offsets,
        chunk_s=(chunk_ns.astype(np.int64, copy=False) - t0_ns) / 1e9,
        chunk_tok=_match(*chunk_tok, offsets),
        chunk_is_uncertain=_match(*uncertain, offsets) == 1,
        fit=_number(table, "is_fit"),
        audio_s=_number(table, "audio_s"),
        num_vectors=_number(table, "vector_count"),
        is_streamed=~np.isin(_text(table, "api"), WHOLE_APIS),
        timings=_texts(table, "timings"),
    )


def _attempts(table: pa.Table) -> tuple[BoolArray, BoolArray]:
    """[n] first and last attempt of a request, told by stage and ordinal; both where it has one."""
    attempt = np.nan_to_num(_number(table, "attempt")).astype(np.int64)
    alone = np.ones(table.num_rows, dtype=np.bool_)
    if not len(attempt) or attempt.min() == attempt.max():
        return alone, alone
    stage, ordinal = (np.nan_to_num(_number(table, k)) for k in ("stage", "ordinal"))
    order = np.lexsort((attempt, ordinal, stage))
    same = (np.diff(stage[order]) == 0) & (np.diff(ordinal[order]) == 0)
    is_first, is_last = alone.copy(), alone.copy()
    is_first[order[1:]] = ~same
    is_last[order[:-1]] = ~same
    return is_first, is_last


def _arrival(table: pa.Table) -> IntArray:
    stage, ordinal = (np.nan_to_num(_number(table, k)) for k in ("stage", "ordinal"))
    return np.asarray(stage.astype(np.int64) * 2**40 + ordinal.astype(np.int64), dtype=np.int64)


def _column(table: pa.Table, name: str) -> pa.Array | None:
    if name not in table.column_names:
        return None
    column = table[name].combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _zeros(table: pa.Table) -> FloatArray:
    return np.zeros(table.num_rows)


def _stamp(table: pa.Table, name: str, t0_ns: int) -> FloatArray:
    column = _column(table, name)
    if column is None:
        return np.full(table.num_rows, np.nan)
    raw = pc.fill_null(column, _NULL_NS).to_numpy(zero_copy_only=False)
    is_null = raw == _NULL_NS
    seconds = (np.where(is_null, t0_ns, raw) - t0_ns) / 1e9
    return np.where(is_null, np.nan, seconds)


def _duration(table: pa.Table, name: str) -> FloatArray:
    return np.nan_to_num(_number(table, name)) / 1e9


def _number(table: pa.Table, name: str) -> FloatArray:
    column = _column(table, name)
    if column is None:
        return np.full(table.num_rows, np.nan)
    return np.asarray(
        pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False)
    )


def _text(table: pa.Table, name: str) -> TextArray:
    """Empty for null. A few distinct words, so a word is found once and copied by its code."""
    column = _column(table, name)
    if column is None or not len(column):
        return np.full(table.num_rows, "")
    words = pc.fill_null(column.cast(pa.string()), "").dictionary_encode()
    known: TextArray = np.array(words.dictionary.to_pylist(), dtype=np.str_)
    return np.asarray(known[words.indices.to_numpy()])


def _texts(table: pa.Table, name: str) -> tuple[str, ...]:
    """Long or rare, so not in an array of fixed width; empty for null."""
    column = _column(table, name)
    if column is None:
        return ("",) * int(table.num_rows)
    texts: list[str] = pc.fill_null(column.cast(pa.string()), "").to_pylist()
    return tuple(texts)


def _lists(
    table: pa.Table, name: str, kind: pa.DataType
) -> tuple[IntArray, npt.NDArray[np.generic]]:
    """(offsets [n+1], values); a null list is empty, a null entry 0."""
    column = _column(table, name)
    if column is None or table.num_rows == 0:
        return np.zeros(table.num_rows + 1, dtype=np.int64), np.zeros(0, kind.to_pandas_dtype())
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    values = pc.fill_null(column.flatten(), False if kind == pa.bool_() else 0)
    return offsets, np.asarray(values.to_numpy(zero_copy_only=False))


def _match(own: IntArray, values: npt.NDArray[np.generic], offsets: IntArray) -> FloatArray:
    """[m] the list beside chunk_ns; zeros for the requests that have none, as those have no
    chunk_tok whose tokens nobody counted. own: its offsets.  offsets: those of chunk_ns."""
    lengths = np.diff(offsets)
    is_told = np.diff(own) == lengths
    if is_told.all():
        return values.astype(np.float64)
    matched = np.zeros(int(offsets[-1]))
    matched[np.repeat(is_told, lengths)] = values[np.repeat(is_told, np.diff(own))]
    return matched
