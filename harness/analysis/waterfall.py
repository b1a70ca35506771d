"""Where single requests spent their time: the slowest ones, and some drawn at random beside them.

A fixed number of rows, whatever the point holds. The split is the client's own; the server's queue
is shown inside it where the server tells it request by request.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import Frame
from harness.analysis.timings import read_timings

NUM_SLOWEST = NUM_RANDOM = 50
STALL_RATIO = 5.0  # times its request's own median gap: shorter ones are its rhythm


@dataclass(frozen=True, slots=True)
class Passage:
    """One request. intended_s: from the window's start; all else seconds from there, None where it
    did not get so far.

    sent_s: written to the connection.  connect_s: of the time before, for name, TCP and TLS.
    server_queue_s: after the send, as the server tells it.  end_s: of the answer or the failure.
    stall_s: begin and end of its longest gap between chunks, empty where that is no stall.
    """

    intended_s: float
    end_s: float
    class_name: str
    error_class: str = ""
    sent_s: float | None = None
    connect_s: float = 0.0
    server_queue_s: float | None = None
    first_token_s: float | None = None
    stall_s: tuple[float, ...] = ()
    output_tok: float | None = None


@dataclass(frozen=True, slots=True)
class Waterfall:
    """slowest: longest first.  random: drawn from all num_requests, longest first; empty where the
    slowest are all of them."""

    num_requests: int
    slowest: tuple[Passage, ...]
    random: tuple[Passage, ...] = ()


def waterfall(frame: Frame, rng: np.random.Generator) -> Waterfall | None:
    """Of the valid requests of the window that ended; None where none did. Of a retried one the
    attempt that decided it, from its first intended send."""
    took_s = frame.end_s - frame.intended_s
    members = frame.is_measured & frame.is_valid & frame.is_last & np.isfinite(took_s)
    found = np.flatnonzero(members)
    if not len(found):
        return None
    ordered = found[np.argsort(-took_s[found], kind="stable")]
    drawn = np.zeros(0, np.int64)
    if len(ordered) > NUM_SLOWEST:
        places = rng.choice(len(ordered), min(NUM_RANDOM, len(ordered)), replace=False)
        drawn = ordered[np.sort(places)]
    return Waterfall(
        len(found),
        tuple(_passage(frame, int(i)) for i in ordered[:NUM_SLOWEST]),
        tuple(_passage(frame, int(i)) for i in drawn),
    )


def _passage(frame: Frame, i: int) -> Passage:
    begin = float(frame.intended_s[i])
    (told,) = read_timings((frame.timings[i],)) if frame.timings else ({},)
    queue_ms = told.get("queue_ms")
    return Passage(
        intended_s=_digits(begin),
        end_s=_digits(frame.end_s[i] - begin),
        class_name=str(frame.class_name[i]),
        error_class=str(frame.error_class[i]),
        sent_s=_known(frame.sent_s[i] - begin),
        connect_s=_digits(frame.connect_s[i]),
        server_queue_s=_digits(queue_ms / 1e3) if isinstance(queue_ms, int | float) else None,
        first_token_s=_known(frame.first_token_s[i] - begin),
        stall_s=_stall(frame, i),
        output_tok=_known(frame.n_out[i]),
    )


def _stall(frame: Frame, i: int) -> tuple[float, ...]:
    at = frame.chunk_s[frame.offsets[i] : frame.offsets[i + 1]] - frame.intended_s[i]
    gaps = np.diff(at)
    if len(gaps) < 3:
        return ()
    k = int(gaps.argmax())
    if gaps[k] < STALL_RATIO * max(float(np.median(gaps)), 1e-6):
        return ()
    return (_digits(at[k]), _digits(at[k + 1]))


def _known(value: float) -> float | None:
    return _digits(value) if np.isfinite(value) else None


def _digits(value: float) -> float:
    """To the microsecond: finer than anything drawn, and short in a file."""
    return round(float(value), 6)
