"""Runs that carry no verdict: interrupted, killed, cut short, or refused by the target throughout.

Their records are kept and their figures shown, but no rule is called kept or broken.
"""

from __future__ import annotations

from collections import Counter

import pyarrow.compute as pc

from harness.decisions import Headline
from harness.errors import TargetError
from harness.estimate import Outcome
from harness.records import PointRecords, Run
from harness.records.schema import NOT_VALID

# the target was not there, said no, or said nothing
REFUSALS = (
    "dns", "connect", "tls", "timeout_send", "timeout_first_byte", "http_4xx", "throttled",
    "http_5xx",
)  # fmt: skip
_WORDS = {"interrupted": "interrupted", "running": "killed, or still runs"}


def refusal_of(run: Run) -> TargetError | None:
    """What to tell where every request of every point was refused; None where one was not."""
    counts: Counter[str] = Counter()
    last = ""
    for records in run.points:
        rows = records.requests()
        for found in pc.value_counts(rows["error_class"]).to_pylist():
            counts[found["values"]] += found["counts"]
        if any(name not in (*REFUSALS, *NOT_VALID) for name in counts):
            return None
        said = [text for text in rows["error_detail"].to_pylist() if text]
        last = said[-1] if said else last
    for name in NOT_VALID:
        counts.pop(name, None)
    if not counts:
        return None
    kinds = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    return TargetError(
        "the target refused every request",
        where=", ".join(sorted({str(p.meta.get("base_url", "")) for p in run.points})),
        why=f"{kinds}; the last one: {last}" if last else kinds,
        do=f"see the endpoint's log; the records are kept in {run.path.name}",
    )


def departure_of(run: Run) -> TargetError | None:
    """What to tell of a search that ended because its target went away; None where none did."""
    for records in run.points:
        why = records.meta.get("gone")
        if records.is_partial and why:
            return TargetError(
                f"target {records.meta['target']} no longer answers",
                where=str(records.meta.get("base_url", "")),
                why=f"{why}; seen at {records.label}, which therefore says nothing of its rate",
                do=f"start it again, then: harness run --resume {run.path.name}",
            )
    return None


def no_verdict(run: Run, num_points: int, refusal: TargetError | None) -> Headline:
    """The one sentence of such a run."""
    if refusal is not None:
        return Headline(
            "REFUSED: no verdict.", f"The target refused every request: {refusal.why}.",
            Outcome.INVALID.value,
        )  # fmt: skip
    complete = sum(not p.is_partial for p in run.points)
    how = _WORDS.get(run.manifest.status, "cut short")
    reasons = [f" Point {p.label}: {reason}." for p in run.points if (reason := reason_of(p))]
    return Headline(
        "PARTIAL: no verdict.",
        f"The run was {how}: {complete} of {num_points} points complete.{''.join(reasons[:2])}",
        Outcome.INVALID.value,
    )


def reason_of(records: PointRecords) -> str:
    """Why a point was not measured to its end; empty where it was."""
    return str(records.meta.get("reason") or "") if records.is_partial else ""
