"""The columns a finished request leaves behind. Raw facts only: every metric is derived from them.

All `_ns` columns are int64 nanoseconds on one monotonic axis (the worker's CLOCK_MONOTONIC plus
its offset to the master); null where the request never got that far.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1

# Error classes, in the order the report lists them. `` (empty) is success.
ERROR_CLASSES = (
    "dns", "connect", "tls", "timeout_send", "timeout_first_byte", "timeout_total", "stalled",
    "http_4xx", "throttled", "http_5xx", "stream_error", "truncated", "malformed", "empty",
    "invalid_output", "cancelled", "cut", "stale", "client_fault",
)  # fmt: skip
# Outside every rate: the scenario's own doing, the end of the run, or our fault.
NOT_VALID = ("cancelled", "cut", "stale", "client_fault")
# How error_detail of class `connect` begins where nobody listened: refused, reset, no route. One
# that took too long has other words: an overloaded target does that.
NOBODY_LISTENS = "cannot connect: "

# Endpoints that answer at once: no token of theirs is streamed, so none has a time.
WHOLE_APIS = ("embeddings", "transcriptions")

PHASES = ("warmup", "measured", "cooldown")
TOKEN_SOURCES = ("usage_continuous", "usage_final", "tokenizer", "characters", "absent")

STAMPS = (
    "intended", "released", "dns", "tcp", "tls", "sent", "sent_last", "headers", "first_byte",
    "first_token", "first_visible", "last_token", "end",
)  # fmt: skip

REQUEST_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("point", pa.int32()),
        ("stage", pa.int32()),  # index of the stage
        ("class", pa.string()),
        ("target", pa.string()),
        ("api", pa.string()),  # endpoint it was sent to; null in old records: one that streams
        ("request_id", pa.string()),
        ("row", pa.int64()),  # row of the stage's schedule
        ("ordinal", pa.int64()),  # arrival ordinal in the stage; differs from row when closed wraps
        ("attempt", pa.int32()),  # 0; then one more each retry, of the same stage and ordinal
        ("session", pa.string()),
        ("turn", pa.int32()),
        ("worker", pa.int32()),
        ("phase", pa.string()),  # warmup | measured | cooldown, by intended time
        ("status", pa.int32()),  # HTTP status, 0 when none came
        ("error_class", pa.string()),  # empty on success
        ("error_detail", pa.string()),  # one redacted line
        ("finish_reason", pa.string()),
        ("retry_after_s", pa.float64()),
        ("n_in", pa.int32()),
        ("n_out", pa.int32()),  # null when absent
        ("n_reasoning", pa.int32()),
        ("n_recount", pa.int32()),  # by our tokenizer, of a sample; null elsewhere
        ("n_first", pa.int32()),  # tokens in the first token-bearing chunk
        ("tok_source", pa.string()),
        ("asked_in", pa.int32()),
        ("asked_out", pa.int32()),
        ("cached_tok", pa.int32()),
        ("first_call_ns", pa.int64()),
        ("first_argument_ns", pa.int64()),  # first byte of a call's arguments, where one is asked
        ("call_done_ns", pa.int64()),  # the first complete and valid call
        ("is_fit", pa.bool_()),  # a complete answer keeps its schema or calls; null: none asked
        ("audio_s", pa.float64()),  # of the recording that was sent; null where none was
        ("image_count", pa.int32()),
        ("vector_count", pa.int32()),  # embeddings of the answer; null where none was asked
        ("timings", pa.string()),  # what the server told of this request, JSON: server_timings.py
        *[(f"{stamp}_ns", pa.int64()) for stamp in STAMPS if stamp not in ("dns", "tcp", "tls")],
        # durations, 0 on a reused connection
        ("dns_ns", pa.int64()),
        ("tcp_ns", pa.int64()),
        ("tls_ns", pa.int64()),
        # one entry a chunk that bears a token (text of any kind), in order
        ("chunk_ns", pa.list_(pa.int64())),
        ("chunk_tok", pa.list_(pa.float32())),  # tokens it carried; spread by bytes if not told
        ("chunk_uncertain", pa.list_(pa.bool_())),  # its stamp may be > 1 ms late (coalesced)
        ("chunk_user_ns", pa.list_(pa.int64())),  # when user space read it; null unless asked for
        ("first_uncertain", pa.bool_()),
        ("num_events", pa.int32()),
        ("num_receives", pa.int32()),
        ("num_coalesced", pa.int32()),  # token chunks that shared a receive with an earlier one
        ("num_uncertain", pa.int32()),
        ("recv_lag_max_ns", pa.int64()),
        ("recv_lag_p50_ns", pa.int64()),
        ("bytes_in", pa.int64()),
        ("conn_reused", pa.bool_()),
        ("stamp_source", pa.string()),  # kernel | user
        ("fault", pa.string()),  # x-harness-fault of the reply
    ],
    metadata={b"harness.schema_version": str(SCHEMA_VERSION).encode()},
)

# One row a second and series: what the target said of itself, long form.
SERVER_SCHEMA = pa.schema(
    [
        ("t_ns", pa.int64()),  # of the reading, on the axis of the requests
        ("name", pa.string()),
        ("labels", pa.string()),  # `a="1",b="2"`, in order of name
        ("value", pa.float64()),
        ("kind", pa.string()),  # counter, gauge, histogram, summary, info, unknown
    ],
    metadata={b"harness.schema_version": str(SCHEMA_VERSION).encode()},
)

# Columns of requests and clients that hold a time on the axis, or lists of them; every other `_ns`
# column is a duration. Rows of another host are shifted by these when they are read from the spool.
ABSOLUTE_NS = (
    *(f"{stamp}_ns" for stamp in STAMPS if stamp not in ("dns", "tcp", "tls")),
    "first_call_ns", "first_argument_ns", "call_done_ns", "chunk_ns", "chunk_user_ns", "t_ns",
)  # fmt: skip

# One row a second and worker, and one at its end of the point: the load generator's own health.
CLIENT_SCHEMA = pa.schema(
    [
        ("worker", pa.int32()),
        ("t_ns", pa.int64()),
        ("stage", pa.int32()),
        ("in_flight", pa.int32()),
        ("scheduled", pa.int64()),  # cumulative: arrivals due
        ("sent", pa.int64()),  # cumulative
        ("finished", pa.int64()),  # cumulative
        ("failed", pa.int64()),  # cumulative
        ("num_blocked", pa.int64()),  # cumulative: held by max_in_flight
        ("blocked_s", pa.float64()),
        ("cpu_ratio", pa.float64()),  # of one core, since the last row
        ("steal_ratio", pa.float64()),  # of the machine
        ("send_lag_p50_ns", pa.int64()),
        ("send_lag_p99_ns", pa.int64()),
        ("send_lag_max_ns", pa.int64()),
        ("recv_lag_p50_ns", pa.int64()),
        ("recv_lag_p99_ns", pa.int64()),
        ("recv_lag_max_ns", pa.int64()),
        ("hub_lag_p99_ns", pa.int64()),
        ("hub_lag_max_ns", pa.int64()),
        ("num_receives", pa.int64()),  # cumulative
        ("num_coalesced", pa.int64()),  # cumulative
        ("gc_pause_max_ns", pa.int64()),
        ("clock_step_ns", pa.int64()),  # REALTIME against MONOTONIC since the last row
        ("slew_ppm", pa.float64()),
        ("suspend_ns", pa.int64()),  # the machine slept: BOOTTIME against MONOTONIC
        ("rss_bytes", pa.int64()),
        ("tcp_retransmits", pa.int64()),  # by this worker's own connections; null: not told
        ("conn_dropped", pa.int64()),  # kept connections the server closed, since the last row
        # the worker's clock against the master's, over the point
        ("clock_offset_ns", pa.int64()),  # at its start; taken out of every stamp
        ("clock_uncertainty_ns", pa.int64()),
        ("clock_drift_ppm", pa.float64()),  # what the uncertainty does not explain; null: unknown
        ("has_kernel_stamps", pa.bool_()),  # whether this worker's host gives them
    ],
    metadata={b"harness.schema_version": str(SCHEMA_VERSION).encode()},
)
