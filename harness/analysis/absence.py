"""Whether somebody listened where requests went: a target that died, was restarted, or is gone.

A request that met nobody (connection refused, no route, no address) says nothing of what its rate
does to the target. One refusal may be chance, such as one replica of several; a stretch of them in
order of intended send, with no answer between, is an absence. A connection that only took too long
is none: an overloaded target does that. Decides nothing: whether the target is back only asking
it tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.records.schema import NOBODY_LISTENS, NOT_VALID

LEAST_REFUSED = 3  # in a row, with no other answer between
# answers all the same, though not good ones
_ANSWERS = ("", "invalid_output", "empty", "malformed")


@dataclass(frozen=True, slots=True)
class Absence:
    """num_refused: measured requests in stretches that met nobody.  ends_silent: the last requests
    of the load brought no answer, so that the target may be gone."""

    num_refused: int
    ends_silent: bool


def absence_of(requests: pa.Table) -> Absence:
    """requests: REQUEST_SCHEMA, of one point; what was cut, cancelled or our fault is left out."""
    is_valid = pc.invert(pc.is_in(requests["error_class"], pa.array(NOT_VALID)))
    rows = requests.select(["intended_ns", "error_class", "error_detail", "phase"])
    rows = rows.filter(is_valid).sort_by("intended_ns")
    classes, details = (rows[name].to_pylist() for name in ("error_class", "error_detail"))
    is_refused = np.array(
        [
            name == "dns" or (name == "connect" and (said or "").startswith(NOBODY_LISTENS))
            for name, said in zip(classes, details, strict=True)
        ],
        dtype=bool,
    )
    is_measured = np.array([phase == "measured" for phase in rows["phase"].to_pylist()], dtype=bool)
    turns = np.flatnonzero(np.diff(np.concatenate([[False], is_refused, [False]])))
    num_refused = sum(
        int(is_measured[begin:end].sum())
        for begin, end in zip(turns[::2], turns[1::2], strict=True)
        if end - begin >= LEAST_REFUSED
    )
    last = classes[-LEAST_REFUSED:]
    ends_silent = bool(last) and not any(name in _ANSWERS for name in last)
    return Absence(num_refused, ends_silent or (bool(last) and bool(is_refused[-1])))
