"""The error taxonomy: what the wire and the answer say together becomes one class.

Order: what ended the exchange from outside (connection, limit, cut) before what the server said,
what it said before what it left out.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from harness.load.answer import Answer
from harness.load.faults import WireFault
from harness.load.http1 import ResponseReader
from harness.load.redact import shown_url

# of transcripts that are no JSON
_WRITTEN = ("text/plain", "text/vtt", "text/srt", "application/x-subrip", "application/json")
_ERROR_REASONS = ("error", "failed", "abort", "aborted")


class Outcome(NamedTuple):
    """error_class: a member of ERROR_CLASSES, empty on success. detail: not yet redacted."""

    error_class: str
    detail: str


def classify(fault: WireFault | None, reader: ResponseReader, answer: Answer) -> Outcome:
    """The class of an exchange that is over."""
    status = reader.status
    if status >= 300:
        # the status stands even where the body that explains it broke off
        target = reader.headers.get("location", "")
        said = _said(bytes(reader.body))
        if status < 400 and target:
            said = f"a redirect to {shown_url(target)}, which is not followed"
        return _status_class(status, said)
    if fault is not None and fault.error_class not in ("truncated", "malformed"):
        return Outcome(fault.error_class, fault.detail)
    if answer.error is not None:
        return Outcome("stream_error", _message(answer.error))
    if not answer.is_stream:
        return _whole_outcome(fault, reader, answer)
    problem = _unfit_answer(reader, answer) if reader.has_head else None
    if problem:
        return problem
    if fault is not None:
        return Outcome(fault.error_class, fault.detail)
    if answer.finish in _ERROR_REASONS:
        return Outcome("stream_error", f"finish_reason is '{answer.finish}'")
    if answer.num_bad:
        return Outcome("malformed", f"{answer.num_bad} events are not JSON of the right shape")
    if not answer.finish:
        return Outcome("truncated", "the answer ended without a finish_reason")
    if not answer.chunk_end:
        return Outcome("empty", "the answer finished without a token")
    return Outcome("", "")


def _whole_outcome(fault: WireFault | None, reader: ResponseReader, answer: Answer) -> Outcome:
    """An answer in one piece was asked for: JSON or words, uncompressed, with something in it."""
    if reader.has_head and (coding := _coding(reader)):
        return Outcome("malformed", coding)
    if fault is not None:
        return Outcome(fault.error_class, fault.detail)
    usual = "application/json" if answer.is_json else "text/plain"
    kind = reader.headers.get("content-type", usual).partition(";")[0].strip().lower()
    if answer.is_json and kind != usual:
        return Outcome("malformed", f"content type {kind} instead of JSON")
    if not answer.is_json and kind not in _WRITTEN:
        return Outcome("malformed", f"content type {kind} instead of words alone")
    whole = answer.whole
    if whole.problem:
        return Outcome("malformed", whole.problem)
    if answer.num_inputs and not whole.num_vectors:
        return Outcome("empty", "the answer holds no vector")
    return Outcome("", "")


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header, from a number or a date; None where it says neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def status_class(status: int) -> str:
    """The error class of a status of 300 or more."""
    return "throttled" if status == 429 else "http_5xx" if status >= 500 else "http_4xx"


def _status_class(status: int, said: str) -> Outcome:
    name = status_class(status)
    return Outcome(name, f"status {status}: {said}" if said else f"status {status}")


def _unfit_answer(reader: ResponseReader, answer: Answer) -> Outcome | None:
    """A stream was asked for, uncompressed: anything else is malformed, or an error in a 200."""
    if coding := _coding(reader):
        return Outcome("malformed", coding)
    kind = reader.headers.get("content-type", "text/event-stream").partition(";")[0].strip().lower()
    is_stream = kind == "text/event-stream"
    if is_stream and answer.num_events:
        return None
    value = _json_of(reader.body)  # whatever it is called, some send one for an error
    error = value.get("error") if isinstance(value, dict) else None
    if error:
        return Outcome("stream_error", _message(error))
    if kind == "application/json" or (is_stream and value is not None):
        return Outcome("malformed", "plain JSON instead of an event stream")
    return (
        None if is_stream
        else Outcome("malformed", f"content type {kind} instead of an event stream")
    )  # fmt: skip


def _coding(reader: ResponseReader) -> str:
    """What is wrong with the body's encoding; empty for nothing."""
    coding = reader.headers.get("content-encoding", "identity").lower()
    return "" if coding == "identity" else (
        f"content-encoding {coding} though identity was asked for"
    )  # fmt: skip


def _json_of(body: bytes | bytearray) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _said(body: bytes) -> str:
    """An error body in one line: its message where it is the usual JSON."""
    value = _json_of(body)
    error = value.get("error") if isinstance(value, dict) else None
    return _message(error) if error is not None else body[:2000].decode("utf-8", "replace").strip()


def _message(error: Any) -> str:
    if isinstance(error, dict):
        if isinstance(error.get("error"), dict):
            error = error["error"]
        parts = [str(error[k]) for k in ("type", "code", "message") if error.get(k) is not None]
        return ": ".join(parts) or json.dumps(error)
    return str(error)
